//! Reads plain requests: those that browsers send through a front end all day.
//!
//! Owns: which requests are plain, what their header sections say.
//! Must not know: sockets, who answers.
//!
//! hyper speaks for every other request. It takes as many instructions to read and write two header
//! sections as everything else that is done about a request. The guard has found the bytes sound, and
//! what is sound has one reading; a test and a fuzz target hold it to hyper's.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use super::Gateway;
use super::guard::{Detour, Framing, Limits, Sound};
use crate::readiness::Phase;

/// The most content of a plain request: what the intake keeps in memory.
pub const CONTENT_LIMIT: usize = 64 * 1024;

/// A plain request; of its content the length is known, or all of it.
#[derive(Debug)]
pub struct Plain<C = usize> {
    /// Its header section.
    pub head: Parts,
    /// Its content, or how many bytes of it there are, up to [`CONTENT_LIMIT`].
    pub content: C,
}

/// Which fields are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// Every field.
    All,
    /// Those that may change the answer with an asset, or its log line.
    OfAsset,
}

/// The length of the header section at the start of `bytes`, if it has come to its end.
pub fn section(bytes: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, b"\r\n\r\n").map(|place| place + 4)
}

/// Whether a whole header section is plain: of HTTP/1.1, its target a path, and without a field about
/// its connection or about how its content comes; and not one that the guard would refuse.
pub fn is_plain(section: &[u8], limits: Limits) -> bool {
    let mut is_usual = true;
    let sound = Framing::judge(limits, section, |name, value| {
        is_usual &= Bearing::of(name) != Bearing::Connection || is_keep_alive(name, value);
    });
    is_usual && sound.is_ok_and(|sound| length(&sound).is_some())
}

/// Reads a whole header section; nothing if it is not plain.
pub fn read(section: &Bytes, limits: Limits, wanted: Wanted) -> Option<Plain> {
    let (mut head, ()) = Request::new(()).into_parts();
    if wanted == Wanted::All {
        head.headers.reserve(ROOM);
    }
    let mut is_usual = true;
    let sound = Framing::judge(limits, section, |name, value| {
        is_usual &= match Bearing::of(name) {
            Bearing::None if wanted == Wanted::OfAsset => true,
            Bearing::Connection if !is_keep_alive(name, value) => false,
            Bearing::None | Bearing::Some | Bearing::Connection => {
                append(&mut head.headers, section, name, value).is_some()
            }
        };
    });
    let sound = sound.ok().filter(|_| is_usual)?;
    let length = length(&sound)?;
    head.method = Method::from_bytes(sound.line.method).ok()?;
    head.uri = Uri::from_maybe_shared(section.slice_ref(sound.line.target)).ok()?;
    Some(Plain { head, content: length })
}

impl Gateway {
    /// Whether plain requests are read here. A witness wants to see what hyper makes of them, and
    /// hyper knows how a connection ends in order.
    pub fn reads_plain(&self) -> bool {
        self.witness.is_none() && self.readiness.phase() != Phase::Draining
    }
}

impl Detour for Arc<Gateway> {
    fn takes(&self, request: &[u8], limits: Limits) -> bool {
        let is_plain = |section| is_plain(section, limits);
        self.reads_plain()
            && section(request).and_then(|length| request.get(..length)).is_some_and(is_plain)
    }
}

/// The fields of most requests, with what the front end adds; for more the map grows.
const ROOM: usize = 24;

/// The length of the content, if this much of the request is plain.
fn length(sound: &Sound<'_>) -> Option<usize> {
    let is_path = sound.line.target.starts_with(b"/") && sound.line.method != b"CONNECT";
    let length = sound.length.and_then(|length| usize::try_from(length).ok())?;
    (is_path && !sound.line.is_http_1_0 && length <= CONTENT_LIMIT).then_some(length)
}

fn append(headers: &mut HeaderMap, section: &Bytes, name: &[u8], value: &[u8]) -> Option<()> {
    let value = if value.is_empty() { Bytes::new() } else { section.slice_ref(value) };
    let name = HeaderName::from_bytes(name).ok()?;
    headers.append(name, HeaderValue::from_maybe_shared(value).ok()?);
    Some(())
}

/// What HTTP/1.1 does in any case.
fn is_keep_alive(name: &[u8], value: &[u8]) -> bool {
    name.len() == CONNECTION.len() && value.eq_ignore_ascii_case(b"keep-alive")
}

const CONNECTION: &str = "connection";

/// What a field may change about the answer to a request for an asset, or about its log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bearing {
    /// Nothing.
    None,
    /// Something, as far as is known.
    Some,
    /// How the connection goes on, or how content comes.
    Connection,
}

impl Bearing {
    /// Told by length first: most fields of a browser and of the front end are found by one
    /// comparison.
    fn of(name: &[u8]) -> Self {
        let (nothing, connection): (&[&str], &[&str]) = match name.len() {
            2 => (&[], &["te"]),
            3 => (&["dnt"], &[]),
            6 => (&["accept", "cookie", "origin", "pragma"], &["expect"]),
            7 => (&["referer"], &["trailer", "upgrade"]),
            8 => (&["priority"], &[]),
            9 => (&["sec-ch-ua"], &[]),
            10 => (&["user-agent"], &[CONNECTION]),
            12 => (&["max-forwards"], &[]),
            13 => (&["cache-control"], &[]),
            14 => (&["sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user"], &[]),
            15 => (&["accept-language", "disguised-host"], &[]),
            16 => (&["sec-ch-ua-mobile"], &[]),
            17 => (&[], &["transfer-encoding"]),
            18 => (&["sec-ch-ua-platform"], &[]),
            20 => (&["x-site-deployment-id"], &[]),
            25 => (&["upgrade-insecure-requests"], &[]),
            _ => (&[], &[]),
        };
        let is_among =
            |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if is_among(nothing) {
            Self::None
        } else if is_among(connection) {
            Self::Connection
        } else {
            Self::Some
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HOST;

    const LIMITS: Limits =
        Limits { header_bytes: 1000, header_count: 20, field_bytes: 200, request_line_bytes: 100 };

    fn section_of(lines: &str) -> Bytes {
        Bytes::from(format!("{lines}\r\n\r\n").replace('\n', "\r\n").replace("\r\r", "\r"))
    }

    fn names(lines: &str, wanted: Wanted) -> Option<Vec<String>> {
        let plain = read(&section_of(lines), LIMITS, wanted)?;
        Some(plain.head.headers.keys().map(ToString::to_string).collect())
    }

    const REQUEST: &str = "GET /static/a.css?v=1 HTTP/1.1\nHost: a\nCookie: b=c\n\
        X-Forwarded-For: 203.0.113.7\nAccept-Encoding:\t br \nX-Forwarded-For: 10.0.0.1\n\
        Connection: Keep-Alive\nX-New:\nX-Forwarded-For: 10.0.0.2";

    #[test]
    fn every_field_is_read_in_order() {
        let plain = read(&section_of(REQUEST), LIMITS, Wanted::All).unwrap();
        assert_eq!(plain.head.uri.path(), "/static/a.css");
        let fields: Vec<_> = plain
            .head
            .headers
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        let wanted = [
            "host=a",
            "cookie=b=c",
            "x-forwarded-for=203.0.113.7",
            "x-forwarded-for=10.0.0.1",
            "x-forwarded-for=10.0.0.2",
            "accept-encoding=br",
            "connection=Keep-Alive",
            "x-new=",
        ];
        assert_eq!(fields, wanted);
        assert_eq!(plain.content, 0);
    }

    #[test]
    fn for_an_asset_only_what_matters_is_read() {
        let wanted = ["host", "x-forwarded-for", "accept-encoding", "connection", "x-new"];
        assert_eq!(names(REQUEST, Wanted::OfAsset).unwrap(), wanted);
    }

    #[test]
    fn content_of_known_length_is_plain_up_to_the_limit() {
        let length = |length: usize| {
            let lines = format!("POST /a HTTP/1.1\nHost: a\nContent-Length: {length}");
            read(&section_of(&lines), LIMITS, Wanted::All).map(|plain| plain.content)
        };
        assert_eq!(length(2048), Some(2048));
        assert_eq!(length(CONTENT_LIMIT), Some(CONTENT_LIMIT));
        assert_eq!(length(CONTENT_LIMIT + 1), None);
    }

    #[test]
    fn what_is_unusual_is_not_plain() {
        for lines in [
            "GET /a HTTP/1.0\nHost: a",
            "GET http://a/ HTTP/1.1\nHost: a",
            "OPTIONS * HTTP/1.1\nHost: a",
            "CONNECT a:1 HTTP/1.1\nHost: a:1",
            "GET /a HTTP/1.1\nHost: a\nConnection: close",
            "GET /a HTTP/1.1\nHost: a\nConnection: keep-alive, upgrade\nUpgrade: h2c",
            "GET /a HTTP/1.1\nHost: a\nUpgrade: websocket",
            "GET /a HTTP/1.1\nHost: a\nTransfer-Encoding: chunked",
            "GET /a HTTP/1.1\nHost: a\nTE: trailers",
            "GET /a HTTP/1.1\nHost: a\nExpect: 100-continue",
            "GET /a HTTP/1.1\nHost: a\nHost: b",
            "GET /a HTTP/1.1\nHost: a\nX : b",
            "GET /a HTTP/1.1",
        ] {
            let section = section_of(lines);
            assert!(read(&section, LIMITS, Wanted::All).is_none(), "{lines}");
            assert!(!is_plain(&section, LIMITS), "{lines}");
        }
        let unended = Bytes::from_static(b"GET /a HTTP/1.1\r\nHost: a\r\n");
        assert!(read(&unended, LIMITS, Wanted::All).is_none());
        let followed = section_of("GET /a HTTP/1.1\nHost: a\n\nGET /b HTTP/1.1\nHost: b");
        assert!(read(&followed, LIMITS, Wanted::All).is_none());
        assert_eq!(
            read(&section_of("GET /a HTTP/1.1\nHost: a"), LIMITS, Wanted::All)
                .unwrap()
                .head
                .headers
                .get(HOST)
                .unwrap(),
            "a"
        );
    }

    #[test]
    fn a_section_ends_at_its_empty_line() {
        assert_eq!(section(b"GET / HTTP/1.1\r\n\r\nabc"), Some(18));
        assert_eq!(section(b"GET / HTTP/1.1\r\nHost: a\r\n"), None);
    }
}
