//! Writes the fields that describe an asset, once, when the table is built.
//!
//! Owns: which fields an answer with an asset has, and how the operator changes them.
//! Must not know: requests, files, where the content is.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use regex_lite::Regex;

use crate::coding::Coding;
use crate::proxy::file::kind;

/// How assets are described.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How long an answer may be reused unasked; nothing for no `Cache-Control` at all.
    pub max_age: Option<Duration>,
    /// Files whose URL's path has one of these may be kept for ever.
    pub immutable: Vec<Regex>,
    /// Fields for files whose URL's path has the pattern; they replace forebay's own.
    pub fields: Vec<(Regex, HeaderName, HeaderValue)>,
    /// Media types by whole name, or by ending with its dot, in lower case.
    pub types: Vec<(String, String)>,
    /// The charset of text.
    pub charset: String,
    /// Whether scripts of any origin may read assets: fonts and modules need it from a CDN.
    pub allows_all_origins: bool,
}

/// What a representation is, as far as its fields tell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Described<'a> {
    /// The URL's path, decoded.
    pub(super) url: &'a str,
    /// The name of the file without its directories.
    pub(super) name: &'a str,
    pub(super) is_immutable: bool,
    pub(super) coding: Option<Coding>,
    /// Whether there are other representations of the same file.
    pub(super) varies: bool,
    pub(super) tag: &'a str,
    pub(super) size: u64,
    pub(super) modified: SystemTime,
}

/// Field lines as they are sent, each with its line end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Lines {
    all: Bytes,
    /// So many bytes from the front also belong to a 304.
    shared: usize,
}

impl Lines {
    /// The lines of 200.
    pub(super) fn all(&self) -> &Bytes {
        &self.all
    }

    /// The lines of 304 (RFC 9110 §15.4.5).
    pub(super) fn shared(&self) -> Bytes {
        self.all.slice(..self.shared)
    }
}

impl Rules {
    /// Whether a file may be kept for ever because of its URL.
    pub(super) fn is_immutable(&self, url: &str) -> bool {
        self.immutable.iter().any(|pattern| pattern.is_match(url))
    }

    /// The `Cache-Control` of what may change: WhiteNoise's order of words.
    pub(super) fn cache_control(&self) -> Option<String> {
        self.max_age.map(|age| format!("max-age={}, public", age.as_secs()))
    }

    /// Writes the field lines of a representation.
    pub(super) fn describe(&self, what: &Described<'_>) -> Lines {
        let mut fields = Fields::default();
        let cache =
            if what.is_immutable { Some(FOR_EVER.to_owned()) } else { self.cache_control() };
        if let Some(cache) = cache {
            fields.put("cache-control", cache.as_bytes());
        }
        fields.put("etag", what.tag.as_bytes());
        if what.varies {
            fields.put("vary", b"Accept-Encoding");
        }
        if self.allows_all_origins {
            fields.put("access-control-allow-origin", b"*");
        }
        // Django's SecurityMiddleware says so, and does not see these answers.
        fields.put("x-content-type-options", b"nosniff");
        fields.put("content-type", self.media_type(what.name).as_bytes());
        if let Some(coding) = what.coding {
            fields.put("content-encoding", coding.name().as_bytes());
        }
        fields.put("last-modified", httpdate::fmt_http_date(what.modified).as_bytes());
        fields.put("accept-ranges", b"bytes");
        for (pattern, name, value) in &self.fields {
            if pattern.is_match(what.url) {
                fields.put(name.as_str(), value.as_bytes());
            }
        }
        fields.put("content-length", what.size.to_string().as_bytes());
        fields.lines()
    }

    fn media_type(&self, name: &str) -> String {
        let name = name.to_lowercase();
        let own = |key: &str| self.types.iter().rev().find(|(known, _)| known == key);
        let ending = name.rfind('.').and_then(|dot| name.get(dot..));
        let kind = own(&name).or_else(|| own(ending?)).map(|(_, kind)| kind.as_str());
        kind::with_charset(kind.unwrap_or_else(|| kind::of(&name)), &self.charset)
    }
}

/// Ten years, as WhiteNoise says it.
const FOR_EVER: &str = "max-age=315360000, public, immutable";

/// Whether the operator may set a field of assets: not those that frame the answer, that choose
/// between representations, or that validators are.
pub fn may_be_set(name: &HeaderName) -> bool {
    const OWN: [&str; 14] = [
        "accept-ranges",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "date",
        "etag",
        "keep-alive",
        "last-modified",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
    ];
    !OWN.contains(&name.as_str())
}

/// Fields in the making.
#[derive(Default)]
struct Fields<'a>(Vec<(&'a str, Vec<u8>)>);

impl<'a> Fields<'a> {
    /// Puts a field in the place of one with the same name.
    fn put(&mut self, name: &'a str, value: &[u8]) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.0.push((name, value.to_vec())),
        }
    }

    fn lines(self) -> Lines {
        let (content, shared): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|(name, _)| describes_content(name));
        let shared = text(&shared);
        Lines { shared: shared.len(), all: [shared, text(&content)].concat().into() }
    }
}

/// What a 304 leaves out, since the client has it already.
fn describes_content(name: &str) -> bool {
    // CSP is about the page, whatever its name begins with; a cache keeps its newest one.
    (name.starts_with("content-") && !name.starts_with("content-security-policy"))
        || matches!(name, "last-modified" | "accept-ranges")
}

fn text(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let lines =
        fields.iter().map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat());
    lines.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::assets::tests::rules;

    const CSS: Described<'static> = Described {
        url: "/static/a.css",
        name: "a.css",
        is_immutable: false,
        coding: Some(Coding::Brotli),
        varies: true,
        tag: "\"0-br\"",
        size: 5,
        modified: SystemTime::UNIX_EPOCH,
    };

    fn lines(rules: &Rules, what: &Described<'_>) -> (String, String) {
        let lines = rules.describe(what);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(lines.all()), text(&lines.shared()))
    }

    #[test]
    fn an_asset_is_described_as_whitenoise_does_and_more() {
        let (all, shared) = lines(&rules(), &CSS);
        let wanted = "cache-control: max-age=60, public\r\netag: \"0-br\"\r\n\
            vary: Accept-Encoding\r\naccess-control-allow-origin: *\r\n\
            x-content-type-options: nosniff\r\n";
        assert_eq!(shared, wanted);
        let rest = "content-type: text/css; charset=utf-8\r\ncontent-encoding: br\r\n\
            last-modified: Thu, 01 Jan 1970 00:00:00 GMT\r\naccept-ranges: bytes\r\n\
            content-length: 5\r\n";
        assert_eq!(all, format!("{wanted}{rest}"));
    }

    #[test]
    fn what_may_not_change_is_kept_for_ever() {
        let (all, _) = lines(&rules(), &Described { is_immutable: true, ..CSS });
        assert!(all.contains("cache-control: max-age=315360000, public, immutable\r\n"), "{all}");
        let rules = Rules { max_age: None, ..rules() };
        assert!(!lines(&rules, &CSS).0.contains("cache-control"));
    }

    #[test]
    fn the_operator_adds_and_replaces_fields_by_pattern() {
        let field = |pattern: &str, name: &'static str, value: &'static str| {
            let pattern = Regex::new(pattern).unwrap();
            (pattern, HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let fields = vec![
            field(r"\.css$", "content-disposition", "attachment"),
            field("^/static/", "cache-control", "no-cache"),
            field("nothing", "x-a", "b"),
        ];
        let types = vec![(".css".to_owned(), "text/x-own".to_owned())];
        let (all, shared) = lines(&Rules { fields, types, ..rules() }, &CSS);
        assert!(shared.contains("cache-control: no-cache\r\n") && !shared.contains("max-age"));
        assert!(all.contains("content-disposition: attachment\r\n"), "{all}");
        assert!(!shared.contains("content-disposition") && !all.contains("x-a"));
        assert!(all.contains("content-type: text/x-own; charset=utf-8\r\n"), "{all}");
    }

    #[test]
    fn types_go_by_whole_name_before_ending() {
        let types = vec![
            (".x".to_owned(), "application/x".to_owned()),
            ("a.x".to_owned(), "application/ax".to_owned()),
        ];
        let rules = Rules { types, ..rules() };
        assert_eq!(rules.media_type("A.X"), "application/ax");
        assert_eq!(rules.media_type("b.x"), "application/x");
        assert_eq!(rules.media_type("b.js"), "text/javascript; charset=utf-8");
        assert_eq!(rules.media_type("b"), "application/octet-stream");
    }
}
