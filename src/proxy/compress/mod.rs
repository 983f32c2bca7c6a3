//! Step 4c, last: compresses the application's text where it is safe and the client likes it.
//!
//! Owns: which answers are compressed, what that changes in their fields.
//! Must not know: where content comes from, how it is sent.

mod encoder;
mod stream;

use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG,
    SET_COOKIE, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::accept::Weights;
use super::answer::Answer;
use super::fields::{Fields, Name, names, text};
use super::guard::decimal;
use crate::coding::Coding;

pub use stream::{Broken, Stream};

/// What the compressor obeys.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether anything is compressed.
    pub is_on: bool,
    /// Answers that say they have fewer bytes go as they are.
    pub least: u64,
    /// Whether answers for one person are compressed too.
    pub compresses_personal: bool,
    /// The most answers that are compressed at once; more go as they are.
    pub limit: usize,
}

/// Compresses answers; all data threads share it.
#[derive(Debug)]
pub struct Compressor {
    settings: Settings,
    places: Arc<Semaphore>,
}

/// What a request says about the form of its answer.
#[derive(Debug)]
pub struct Asked {
    coding: Option<Coding>,
    is_personal: bool,
    is_head: bool,
    /// Weak tags as they were handed out here.
    known: Vec<Vec<u8>>,
}

impl Compressor {
    /// A compressor that is idle.
    pub fn new(settings: Settings) -> Self {
        Self { settings, places: Arc::new(Semaphore::new(settings.limit)) }
    }

    /// Keeps what decides about the answer; nothing where nothing is compressed.
    pub fn asked(&self, method: &Method, fields: &Fields) -> Option<Asked> {
        self.settings.is_on.then(|| Asked {
            coding: Weights::read(fields).best(),
            is_personal: PERSONAL.iter().any(|name| fields.contains(name)),
            is_head: *method == Method::HEAD,
            known: fields.get_all(&names::IF_NONE_MATCH).map(<[u8]>::to_vec).collect(),
        })
    }

    /// Changes the header section of an answer so that it fits what is done to its content; returns
    /// what compresses the content. Nothing where it goes as it is, also to HEAD, whose fields are
    /// those that GET would get.
    ///
    /// `Vary` is added wherever another request would have been answered otherwise.
    pub fn prepare<C>(&self, asked: &Asked, answer: &mut Answer<C>) -> Option<Stream> {
        if answer.status == StatusCode::NOT_MODIFIED {
            if !asked.known.is_empty() {
                keep_weak(&asked.known, answer.fields());
            }
            return None;
        }
        if !shrinks(answer, self.settings.least) || !may_be_changed(answer.fields()) {
            return None;
        }
        let fields = answer.fields();
        add_vary(fields);
        let is_personal = asked.is_personal || is_personal(fields);
        if is_personal && !self.settings.compresses_personal {
            return None;
        }
        let coding = asked.coding?;
        if asked.is_head {
            describe(coding, fields);
            return None;
        }
        let stream = Stream::new(coding, self.place()?).ok()?;
        describe(coding, fields);
        Some(stream)
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }
}

/// Whether an answer's content is a whole representation of a kind and a size that shrink.
fn shrinks<C>(answer: &Answer<C>, least: u64) -> bool {
    let has_content = !answer.status.is_informational()
        && !matches!(
            answer.status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::PARTIAL_CONTENT
        );
    let length = answer.get(&names::CONTENT_LENGTH).and_then(decimal);
    has_content
        && length.is_none_or(|length| length >= least)
        && answer.get(&names::CONTENT_TYPE).is_some_and(is_text)
}

/// Whether nobody says that content must stay as it is.
fn may_be_changed(fields: &HeaderMap) -> bool {
    !FIXED.iter().any(|name| fields.contains_key(name))
        && !has_token(fields, &CACHE_CONTROL, &["no-transform"])
}

/// Fields that describe the very bytes of the content (RFC 9110 §8.4 and §14.4, RFC 9530).
const FIXED: [HeaderName; 6] = [
    CONTENT_ENCODING,
    CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// Fields by which a request speaks for a person. The token against forgery is what an attacker
/// would guess from lengths (BREACH); Django and others send it in a field too.
const PERSONAL: [Name; 5] = [
    names::COOKIE,
    names::AUTHORIZATION,
    names::X_CSRFTOKEN,
    names::X_CSRF_TOKEN,
    names::X_MS_CLIENT_PRINCIPAL,
];

/// Whether an answer says that it is for one person.
fn is_personal(fields: &HeaderMap) -> bool {
    fields.contains_key(SET_COOKIE)
        || has_token(fields, &CACHE_CONTROL, &["private", "no-store"])
        || has_token(fields, &VARY, &["cookie", "authorization", "*"])
}

/// Whether a list has one of these elements, whatever their arguments.
fn has_token(fields: &HeaderMap, name: &HeaderName, tokens: &[&str]) -> bool {
    let lines = fields.get_all(name).iter().map(|line| line.to_str().unwrap_or_default());
    lines.flat_map(|line| line.split(',')).any(|element| {
        let element = element.split('=').next().unwrap_or_default().trim();
        tokens.iter().any(|token| element.eq_ignore_ascii_case(token))
    })
}

/// Whether a media type is one of text, or of something that shrinks like it.
fn is_text(value: &[u8]) -> bool {
    let kind = text(value).unwrap_or_default().split(';').next().unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    kind.starts_with("text/")
        || kind.ends_with("+json")
        || kind.ends_with("+xml")
        || TEXTS.contains(&kind.as_str())
}

const TEXTS: [&str; 18] = [
    "application/json",
    "application/json-seq",
    "application/x-ndjson",
    "application/jsonl",
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "application/xml",
    "application/xml-dtd",
    "application/yaml",
    "application/graphql",
    "application/rtf",
    "application/wasm",
    "application/x-sh",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/bmp",
];

fn add_vary(fields: &mut HeaderMap) {
    if !has_token(fields, &VARY, &["accept-encoding", "*"]) {
        fields.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
}

/// Describes compressed content. It has no length yet, no ranges, and not the same bytes as others
/// with the same tag (RFC 9110 §8.8.3.3): If-None-Match compares weakly and still finds it.
fn describe(coding: Coding, fields: &mut HeaderMap) {
    fields.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    fields.remove(CONTENT_LENGTH);
    fields.remove(ACCEPT_RANGES);
    if let Some(weak) = fields.get(ETAG).and_then(weakened) {
        fields.insert(ETAG, weak);
    }
}

/// A strong tag made weak.
fn weakened(tag: &HeaderValue) -> Option<HeaderValue> {
    let text = tag.as_bytes();
    let is_strong = text.starts_with(b"\"");
    is_strong.then(|| HeaderValue::from_bytes(&[b"W/", text].concat()).ok()).flatten()
}

/// Gives a 304 the weak tag that the client has: a cache must not refresh what it stored under it
/// by a strong one (RFC 9111 §4.3.4).
fn keep_weak(known: &[Vec<u8>], fields: &mut HeaderMap) {
    let Some(weak) = fields.get(ETAG).and_then(weakened) else { return };
    let is_known = known.iter().any(|line| memchr::memmem::find(line, weak.as_bytes()).is_some());
    if is_known {
        fields.insert(ETAG, weak);
        add_vary(fields);
    }
}

#[cfg(test)]
mod tests;
