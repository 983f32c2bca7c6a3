//! Answers with a file: conditions, ranges, content.
//!
//! Owns: which status and which fields a request for a file gets, the file's validators.
//! Must not know: who names the file, and why the client may have it.

pub mod conditions;
pub mod ranges;
pub mod confine;
mod body;
pub mod kind;

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE,
    CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, Entry, LAST_MODIFIED, TRAILER,
};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

pub use body::{Broken, CHUNK, Content, DEADLINE, Piece};
use conditions::{Validators, Verdict, judge};
use confine::Opened;
use ranges::{Selection, Span, select};

use super::fields::Fields;

/// What a request says about the file that it wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    method: Method,
    fields: Fields,
}

impl Wanted {
    /// Keeps what decides about the answer.
    pub fn of(method: &Method, fields: &Fields) -> Self {
        let mut kept = Fields::new();
        for (name, value) in fields.iter().filter(|(name, _)| conditions::FIELDS.contains(name)) {
            kept.append_copy(name.clone(), value);
        }
        Self { method: method.clone(), fields: kept }
    }

    /// RFC 9110 §13.2.1: conditions and ranges are for what only looks.
    fn only_looks(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD)
    }
}

/// Answers with an open file. `response` has the status to answer with where no condition or range
/// says otherwise, and fields that stay, among them `ETag`, Last-Modified and Content-Type if it has
/// valid ones; `now` is the time of the answer.
///
/// 200 becomes 206, 304, 412 or 416 where the request is GET or HEAD and says so (RFC 9110 §13 to
/// §15); any other status brings the whole file.
pub fn answer(
    wanted: &Wanted,
    response: Response<()>,
    opened: Opened,
    now: SystemTime,
) -> Response<Content> {
    let (mut head, ()) = response.into_parts();
    let fields = &mut head.headers;
    for name in [CONTENT_LENGTH, CONTENT_RANGE, TRAILER] {
        fields.remove(name);
    }
    let validators = describe(fields, &opened, now);
    let is_plain = head.status == StatusCode::OK && wanted.only_looks();
    let has_ranges = is_plain && offers_ranges(fields);
    let verdict = if is_plain { judge(&wanted.fields, &validators) } else { Verdict::Whole };
    let selection = match verdict {
        Verdict::NotModified => return without_content(head, StatusCode::NOT_MODIFIED),
        Verdict::Failed => return without_content(head, StatusCode::PRECONDITION_FAILED),
        // RFC 9110 §14.2: a range is for GET alone.
        Verdict::Content if has_ranges && wanted.method == Method::GET => {
            select(&wanted.fields, opened.size)
        }
        Verdict::Content | Verdict::Whole => Selection::Whole,
    };
    let pieces = match selection {
        Selection::Whole => vec![Piece::Part(0..opened.size)],
        Selection::Unsatisfiable => {
            let range = content_range(None, opened.size);
            fields.insert(CONTENT_RANGE, range);
            return without_content(head, StatusCode::RANGE_NOT_SATISFIABLE);
        }
        Selection::Parts(parts) => {
            head.status = StatusCode::PARTIAL_CONTENT;
            partial(fields, &parts, opened.size)
        }
    };
    let content = Content::new(opened, pieces);
    let length = content.size_hint().lower();
    fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    let content = if wanted.method == Method::HEAD { Content::nothing() } else { content };
    Response::from_parts(head, content)
}

/// Adds the fields that describe the file, where there are none; returns those that conditions are
/// judged by.
fn describe(fields: &mut HeaderMap, opened: &Opened, now: SystemTime) -> Validators {
    let tag = fields.get(ETAG).filter(|tag| conditions::is_tag(tag.as_bytes())).cloned();
    let tag = tag.or_else(|| entity_tag(opened, now));
    if let Some(tag) = &tag {
        fields.insert(ETAG, tag.clone());
    }
    let own_date =
        fields.get(LAST_MODIFIED).and_then(|date| conditions::parse_date(date.as_bytes()));
    // RFC 9110 §8.8.2.1: never later than the answer itself.
    let modified = own_date.unwrap_or_else(|| opened.modified.min(now));
    let text = httpdate::fmt_http_date(modified);
    if let Ok(value) = HeaderValue::try_from(text) {
        fields.insert(LAST_MODIFIED, value);
    }
    if let Entry::Vacant(kind) = fields.entry(CONTENT_TYPE) {
        kind.insert(kind_of(&opened.path));
    }
    let seconds = modified.duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    let modified = seconds.ok().map(|seconds| UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    Validators { tag, modified, now }
}

/// The media type of a file. Text is said to be UTF-8, which is what Django writes.
fn kind_of(path: &Path) -> HeaderValue {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    HeaderValue::try_from(kind::with_charset(kind::of(name), "utf-8"))
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

/// The entity tag of a file: its modification time in nanoseconds and its size.
///
/// It is weak while the file is so young that it could be written again without another time, and
/// strong afterwards; reading the content for a digest would cost more than sending it. The number
/// of the inode is left out, since it differs from instance to instance.
fn entity_tag(opened: &Opened, now: SystemTime) -> Option<HeaderValue> {
    let weak = if Validators::is_settled(opened.modified, now) { "" } else { "W/" };
    let since = opened.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    let tag = format!("{weak}\"{:x}-{:x}\"", since.as_nanos(), opened.size);
    HeaderValue::try_from(tag).ok()
}

/// Says that ranges are served, unless somebody said before that they are not.
fn offers_ranges(fields: &mut HeaderMap) -> bool {
    match fields.entry(ACCEPT_RANGES) {
        Entry::Vacant(offer) => {
            offer.insert(HeaderValue::from_static("bytes"));
            true
        }
        Entry::Occupied(offer) => offer.get() == "bytes",
    }
}

/// Describes parts in the fields of a 206; returns what to send.
pub fn partial(fields: &mut HeaderMap, parts: &[Span], size: u64) -> Vec<Piece> {
    if let [part] = parts {
        fields.insert(CONTENT_RANGE, content_range(Some(part), size));
        return vec![Piece::Part(part.clone())];
    }
    let kind = fields.get(CONTENT_TYPE).cloned();
    let boundary = boundary();
    if let Ok(kind) = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}")) {
        fields.insert(CONTENT_TYPE, kind);
    }
    let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
    for part in parts {
        // RFC 9110 §14.6: the parts have the type that the whole would have.
        let mut text = format!("\r\n--{boundary}\r\n").into_bytes();
        if let Some(kind) = &kind {
            text.extend([b"Content-Type: ", kind.as_bytes(), b"\r\n"].concat());
        }
        let range = content_range(Some(part), size);
        text.extend([b"Content-Range: ", range.as_bytes(), b"\r\n\r\n"].concat());
        pieces.push(Piece::Text(Bytes::from(text)));
        pieces.push(Piece::Part(part.clone()));
    }
    pieces.push(Piece::Text(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
    pieces
}

/// RFC 9110 §14.4: a part of so many bytes, or only how many there are.
pub fn content_range(part: Option<&Span>, size: u64) -> HeaderValue {
    let text = match part {
        Some(part) => format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1)),
        None => format!("bytes */{size}"),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
}

/// 128 random bits, which nobody can have put into the file.
fn boundary() -> String {
    let number = || RandomState::new().hash_one(0);
    format!("{:016x}{:016x}", number(), number())
}

/// An answer that says something about the file instead of bringing it. The fields that describe
/// content go (RFC 9110 §15.4.5), and what belongs to the exchange stays.
fn without_content(mut head: http::response::Parts, status: StatusCode) -> Response<Content> {
    for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_DISPOSITION] {
        head.headers.remove(name);
    }
    if status != StatusCode::NOT_MODIFIED {
        // How long the file may be kept says nothing of this (RFC 9111 §3).
        head.headers.remove(CACHE_CONTROL);
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    }
    head.status = status;
    Response::from_parts(head, Content::nothing())
}

#[cfg(test)]
pub(super) mod tests;
