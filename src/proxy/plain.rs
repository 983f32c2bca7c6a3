//! Reads plain requests: those that browsers send through a front end all day.
//!
//! Owns: which requests are plain, what their header sections say.
//! Must not know: sockets, who answers.
//!
//! hyper speaks for every other request. It takes as many instructions to read and write two header
//! sections as everything else that is done about a request. The guard has found the bytes sound, and
//! what is sound has one reading; a test and a fuzz target hold it to hyper's.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::{Method, Uri, Version};
use memchr::memmem::Finder;

use super::Gateway;
use super::fields::{Fields, Head, KNOWN, Known, Name};
use super::guard::{Detour, Field, Framing, Limits, Sound};

/// The most content of a plain request: what the intake keeps in memory.
pub const CONTENT_LIMIT: usize = 64 * 1024;

/// A plain request; of its content the length is known, or all of it.
#[derive(Debug)]
pub struct Plain<C = usize> {
    /// Its header section.
    pub head: Head,
    /// Its content, or how many bytes of it there are, up to [`CONTENT_LIMIT`].
    pub content: C,
    /// Whether its client asks for no other answer on this connection.
    pub is_last: bool,
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
    /// Preparing the search takes longer than it does.
    static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));
    END.find(bytes).map(|place| place + END.needle().len())
}

/// Whether a whole header section is plain: of HTTP/1.1, its target a path, and without a field about
/// its connection, but for keeping or ending it, or about how its content comes; and not one that the
/// guard would refuse.
pub fn is_plain(section: &[u8], limits: Limits) -> bool {
    let mut is_usual = true;
    let sound = Framing::judge(limits, section, |field| is_usual &= !is_unusual(&field));
    is_usual && sound.is_ok_and(|sound| length(&sound).is_some())
}

/// Reads a whole header section; nothing if it is not plain.
pub fn read(section: &Bytes, limits: Limits, wanted: Wanted) -> Option<Plain> {
    let mut fields = Fields::over(section.clone(), if wanted == Wanted::All { ROOM } else { FEW });
    let (mut is_usual, mut is_last) = (true, false);
    let sound = Framing::judge(limits, section, |field| {
        is_usual &= !is_unusual(&field);
        is_last |= field.known == Some(CONNECTION) && !is_keep_alive(field.value);
        if wanted == Wanted::OfAsset && Bearing::of(&field) == Bearing::None {
            return;
        }
        let Field { name, known, value } = field;
        let name = known.map(Name::known).or_else(|| Name::read_other(name));
        let Some(name) = name else { return is_usual = false };
        fields.append_part(name, value);
    });
    let sound = sound.ok().filter(|_| is_usual)?;
    let content = length(&sound)?;
    let method = Method::from_bytes(sound.line.method).ok()?;
    let uri = Uri::from_maybe_shared(section.slice_ref(sound.line.target)).ok()?;
    let head = Head { method, uri, version: Version::HTTP_11, fields };
    Some(Plain { head, content, is_last })
}

impl Gateway {
    /// Whether plain requests are read here. A witness wants to see what hyper makes of them, and
    /// hyper knows how a connection ends in order.
    pub fn reads_plain(&self) -> bool {
        self.witness.is_none() && !self.readiness.is_draining()
    }
}

impl Detour for Arc<Gateway> {
    fn takes(&self, request: &[u8], limits: Limits) -> bool {
        let is_plain = |section| is_plain(section, limits);
        self.reads_plain()
            && section(request).and_then(|length| request.get(..length)).is_some_and(is_plain)
    }
}

/// The fields of most requests, with what the front end adds; for more the list grows.
const ROOM: usize = 32;

/// Those of them that matter for an asset.
const FEW: usize = 16;

/// The length of the content, if this much of the request is plain.
fn length(sound: &Sound<'_>) -> Option<usize> {
    let is_path = sound.line.target.starts_with(b"/") && sound.line.method != b"CONNECT";
    let length = sound.length.and_then(|length| usize::try_from(length).ok())?;
    (is_path && !sound.line.is_http_1_0 && length <= CONTENT_LIMIT).then_some(length)
}

const CONNECTION: Known = Known::of("connection");

/// Whether a field makes a request unusual. To keep the connection, or to end it behind the answer, is
/// what all do.
fn is_unusual(field: &Field<'_>) -> bool {
    let is_simple = field.known == Some(CONNECTION)
        && (is_keep_alive(field.value) || field.value.eq_ignore_ascii_case(b"close"));
    Bearing::of(field) == Bearing::Connection && !is_simple
}

/// Whether a Connection field says what HTTP/1.1 does in any case.
fn is_keep_alive(value: &[u8]) -> bool {
    value.eq_ignore_ascii_case(b"keep-alive")
}

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
    fn of(field: &Field<'_>) -> Self {
        let bearing = field.known.and_then(|name| BEARINGS.get(name.number()).copied());
        bearing.unwrap_or(Self::Some)
    }

    const fn of_text(name: &str) -> Self {
        match name.as_bytes() {
            b"connection" | b"expect" | b"te" | b"trailer" | b"transfer-encoding" | b"upgrade" => {
                Self::Connection
            }
            b"accept"
            | b"accept-language"
            | b"cache-control"
            | b"cookie"
            | b"disguised-host"
            | b"dnt"
            | b"max-forwards"
            | b"origin"
            | b"pragma"
            | b"priority"
            | b"referer"
            | b"sec-ch-ua"
            | b"sec-ch-ua-mobile"
            | b"sec-ch-ua-platform"
            | b"sec-fetch-dest"
            | b"sec-fetch-mode"
            | b"sec-fetch-site"
            | b"sec-fetch-user"
            | b"upgrade-insecure-requests"
            | b"user-agent"
            | b"x-site-deployment-id" => Self::None,
            _ => Self::Some,
        }
    }
}

/// By the number of a known name.
static BEARINGS: [Bearing; KNOWN.len()] = bearings();

#[expect(clippy::indexing_slicing, reason = "the place is below the length")]
const fn bearings() -> [Bearing; KNOWN.len()] {
    let mut bearings = [Bearing::Some; KNOWN.len()];
    let mut number = 0;
    while number < KNOWN.len() {
        bearings[number] = Bearing::of_text(KNOWN[number]);
        number += 1;
    }
    bearings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fields::names;

    const LIMITS: Limits =
        Limits { header_bytes: 1000, header_count: 20, field_bytes: 200, request_line_bytes: 100 };

    fn section_of(lines: &str) -> Bytes {
        Bytes::from(format!("{lines}\r\n\r\n").replace('\n', "\r\n").replace("\r\r", "\r"))
    }

    fn names(lines: &str, wanted: Wanted) -> Option<Vec<String>> {
        let plain = read(&section_of(lines), LIMITS, wanted)?;
        Some(plain.head.fields.iter().map(|(name, _)| name.to_string()).collect())
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
            .fields
            .iter()
            .map(|(name, value)| format!("{name}={}", String::from_utf8_lossy(value)))
            .collect();
        let wanted = [
            "host=a",
            "cookie=b=c",
            "x-forwarded-for=203.0.113.7",
            "accept-encoding=br",
            "x-forwarded-for=10.0.0.1",
            "connection=Keep-Alive",
            "x-new=",
            "x-forwarded-for=10.0.0.2",
        ];
        assert_eq!(fields, wanted);
        assert_eq!(plain.content, 0);
    }

    #[test]
    fn for_an_asset_only_what_matters_is_read() {
        let wanted = [
            "host",
            "x-forwarded-for",
            "accept-encoding",
            "x-forwarded-for",
            "connection",
            "x-new",
            "x-forwarded-for",
        ];
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
    fn a_request_may_be_the_last_one() {
        for (value, expected) in [("keep-alive", false), ("close", true), ("Close", true)] {
            let lines = format!("GET /a HTTP/1.1\nHost: a\nConnection: {value}");
            for wanted in [Wanted::All, Wanted::OfAsset] {
                let plain = read(&section_of(&lines), LIMITS, wanted).unwrap();
                assert_eq!(plain.is_last, expected, "{value}");
            }
        }
    }

    #[test]
    fn what_is_unusual_is_not_plain() {
        for lines in [
            "GET /a HTTP/1.0\nHost: a",
            "GET http://a/ HTTP/1.1\nHost: a",
            "OPTIONS * HTTP/1.1\nHost: a",
            "CONNECT a:1 HTTP/1.1\nHost: a:1",
            "GET /a HTTP/1.1\nHost: a\nConnection: close, x-own",
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
                .fields
                .get(&names::HOST)
                .unwrap(),
            b"a"
        );
    }

    #[test]
    fn a_section_ends_at_its_empty_line() {
        assert_eq!(section(b"GET / HTTP/1.1\r\n\r\nabc"), Some(18));
        assert_eq!(section(b"GET / HTTP/1.1\r\n\r\n"), Some(18));
        assert_eq!(section(b"GET / HTTP/1.1\r\nHost: a\r\n"), None);
    }
}
