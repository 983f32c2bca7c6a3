//! Header sections as the application's side of the wire has them.
//!
//! Owns: writing a request's header section, reading an answer's, the framing of both (pure).
//! Must not know: sockets, why a field has its value.

use std::fmt::Write as _;
use std::mem::MaybeUninit;
use std::ops::Range;

use bytes::{Bytes, BytesMut};
use http::header::{
    CONNECTION, CONTENT_LENGTH, PROXY_AUTHENTICATE, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::proxy::fields::{self, Known};

/// How long content is, or how its end is marked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Length {
    /// There is none.
    None,
    /// So many bytes.
    Sized(u64),
    /// In chunks.
    Chunked,
    /// Until the connection closes.
    UntilClose,
}

/// An answer's header section.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The fields, without those that end here.
    pub headers: HeaderMap,
    /// How its content ends.
    pub length: Length,
    /// Whether the connection may carry another request afterwards.
    pub keeps_alive: bool,
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadHead {
    /// It breaks the grammar.
    #[error("the header section is malformed: {0}")]
    Malformed(httparse::Error),
    /// It is over [`HEAD_LIMIT`].
    #[error("the header section is larger than 64 KiB")]
    TooLarge,
    /// Its length can be read in two ways, or in none.
    #[error("Content-Length and Transfer-Encoding contradict each other or are malformed")]
    BadLength,
}

/// The most bytes in an answer's header section: what the front end allows (facts, 6).
pub(super) const HEAD_LIMIT: usize = 64 * 1024;

/// The most fields in an answer's header section.
const FIELD_LIMIT: usize = 128;

/// Writes a request's header section, with `length` for its content.
pub(super) fn write_request(out: &mut BytesMut, request: &fields::Head, length: Length) {
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    out.extend_from_slice(request.method.as_str().as_bytes());
    // RFC 9112 §3.2.1: an absolute target without a path is the root.
    out.extend_from_slice(if target.starts_with(['/', '*']) { b" " } else { b" /" });
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.fields.iter() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    match length {
        Length::Sized(length) => {
            // Writing to a buffer in memory cannot fail.
            write!(out, "content-length: {length}\r\n").unwrap_or_default();
        }
        Length::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Length::None | Length::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Reads an answer's header section from the start of `buffer`, and takes it off.
///
/// Nothing is returned while it is incomplete. Interim answers (1xx) but 101 are passed over.
///
/// # Errors
///
/// [`BadHead`]: the connection cannot be used any more.
pub fn read_response(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, BadHead> {
    loop {
        let Some(head) = read_one(buffer, method)? else { return Ok(None) };
        if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(head));
        }
    }
}

fn read_one(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, BadHead> {
    if buffer.is_empty() {
        return Ok(None);
    }
    let mut fields = [const { MaybeUninit::uninit() }; FIELD_LIMIT];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    let parsed = parser.parse_response_with_uninit_headers(&mut response, buffer, &mut fields);
    let length = match parsed.map_err(BadHead::Malformed)? {
        httparse::Status::Complete(length) if length <= HEAD_LIMIT => length,
        httparse::Status::Partial if buffer.len() <= HEAD_LIMIT => return Ok(None),
        httparse::Status::Complete(_) | httparse::Status::Partial => return Err(BadHead::TooLarge),
    };
    let status = response
        .code
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(BadHead::Malformed(httparse::Error::Status))?;
    let is_http_1_0 = response.version == Some(0);
    let start = buffer.as_ptr() as usize;
    let mut places = Vec::with_capacity(response.headers.len());
    for field in &*response.headers {
        let name = read_name(field.name.as_bytes())
            .ok_or(BadHead::Malformed(httparse::Error::HeaderName))?;
        let value = field.value.as_ptr() as usize - start;
        places.push((name, value..value + field.value.len()));
    }
    let text = buffer.split_to(length).freeze();
    Fields::read(&text, places)?.finish(status, is_http_1_0, method).map(Some)
}

fn read_name(name: &[u8]) -> Option<HeaderName> {
    let known = Known::find(name).and_then(Known::to_http);
    known.or_else(|| HeaderName::from_bytes(name).ok())
}

/// The fields of an answer, sorted into those that go on and those that end here (RFC 9110 §7.6.1).
#[derive(Default)]
struct Fields {
    headers: HeaderMap,
    connection: Vec<HeaderValue>,
    upgrade: Option<HeaderValue>,
    codings: Vec<HeaderValue>,
    length: Option<HeaderValue>,
    lengths_differ: bool,
}

impl Fields {
    fn read(text: &Bytes, places: Vec<(HeaderName, Range<usize>)>) -> Result<Self, BadHead> {
        let headers = HeaderMap::with_capacity(places.len() + 2);
        let mut fields = Self { headers, ..Self::default() };
        for (name, place) in places {
            // An empty value has no place in the text to point at.
            let value = if place.is_empty() { Bytes::new() } else { text.slice(place) };
            let value = HeaderValue::from_maybe_shared(value)
                .map_err(|_| BadHead::Malformed(httparse::Error::HeaderValue))?;
            fields.add(name, value);
        }
        Ok(fields)
    }

    fn add(&mut self, name: HeaderName, value: HeaderValue) {
        if name == CONNECTION {
            self.connection.push(value);
        } else if name == TRANSFER_ENCODING {
            self.codings.push(value);
        } else if name == UPGRADE {
            self.upgrade = Some(value);
        } else if name == CONTENT_LENGTH {
            self.lengths_differ |= self.length.as_ref().is_some_and(|length| *length != value);
            self.length = Some(value.clone());
            self.headers.insert(name, value);
        } else if ![TE, PROXY_AUTHENTICATE, KEEP_ALIVE, PROXY_CONNECTION].contains(&name) {
            self.headers.append(name, value);
        }
    }

    fn finish(
        mut self,
        status: StatusCode,
        is_http_1_0: bool,
        method: &Method,
    ) -> Result<Head, BadHead> {
        let length = self.content_length(status, method)?;
        let keeps_alive = self.obey_connection(is_http_1_0) && length != Length::UntilClose;
        let mut headers = self.headers;
        if let Some(upgrade) = self.upgrade
            && status == StatusCode::SWITCHING_PROTOCOLS
        {
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(UPGRADE, upgrade);
        }
        Ok(Head { status, headers, length, keeps_alive })
    }

    /// Obeys the Connection field: removes the fields that it names, and says whether the
    /// connection stays open.
    fn obey_connection(&mut self, is_http_1_0: bool) -> bool {
        let (mut keeps_alive, mut closes) = (!is_http_1_0, false);
        let values = std::mem::take(&mut self.connection);
        for option in values.iter().flat_map(|value| value.as_bytes().split(|&byte| byte == b',')) {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"close") {
                closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                keeps_alive = true;
            } else if !option.eq_ignore_ascii_case(b"upgrade")
                && let Ok(name) = HeaderName::from_bytes(option)
                && name != CONTENT_LENGTH
            {
                self.headers.remove(name);
            }
        }
        keeps_alive && !closes
    }

    /// RFC 9112 §6.3.
    fn content_length(&self, status: StatusCode, method: &Method) -> Result<Length, BadHead> {
        let length = match (self.codings.as_slice(), &self.length) {
            ([], None) => Length::UntilClose,
            ([coding], None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
                Length::Chunked
            }
            ([], Some(length)) if !self.lengths_differ => {
                let digits = length.to_str().map_err(|_| BadHead::BadLength)?;
                let is_plain =
                    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
                match digits.parse() {
                    Ok(length) if is_plain => Length::Sized(length),
                    _ => return Err(BadHead::BadLength),
                }
            }
            _ => return Err(BadHead::BadLength),
        };
        let has_no_content = *method == Method::HEAD
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED;
        Ok(if has_no_content { Length::None } else { length })
    }
}

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Head {
        read_for(text, &Method::GET).expect("it is sound").expect("it is complete")
    }

    fn read_for(text: &str, method: &Method) -> Result<Option<Head>, BadHead> {
        read_response(&mut BytesMut::from(text), method)
    }

    #[test]
    fn the_framing_of_an_answer_is_found() {
        for (text, length, keeps_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Length::Sized(5), true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Length::Chunked, true),
            ("HTTP/1.1 200 OK\r\n\r\n", Length::UntilClose, false),
            ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", Length::UntilClose, false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", Length::Sized(5), false),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n",
                Length::Sized(5),
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n",
                Length::Sized(5),
                false,
            ),
            ("HTTP/1.1 204 No Content\r\n\r\n", Length::None, true),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Length::None, true),
            (
                "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                 HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                Length::Sized(0),
                true,
            ),
        ] {
            let head = read(text);
            assert_eq!((head.length, head.keeps_alive), (length, keeps_alive), "{text}");
        }
        let head = read_for("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", &Method::HEAD);
        assert_eq!(head.unwrap().unwrap().length, Length::None);
    }

    #[test]
    fn fields_that_end_here_end_here() {
        let head = read(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Own, keep-alive\r\nX-Own: 1\r\n\
             Keep-Alive: timeout=5\r\nUpgrade: h2c\r\nX-Empty:\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
        );
        let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "set-cookie", "x-empty"]);
        assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
        assert!(head.keeps_alive);
    }

    #[test]
    fn an_ambiguous_answer_is_refused() {
        for fields in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: \r\n",
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            assert_eq!(read_for(&text, &Method::GET).unwrap_err(), BadHead::BadLength, "{fields}");
        }
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(HEAD_LIMIT));
        assert_eq!(read_for(&endless, &Method::GET).unwrap_err(), BadHead::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(start in "HTTP/1.[01] [1-5][0-9]{2} ?\r\n|", bytes: Vec<u8>) {
            let mut buffer = BytesMut::from(start.as_bytes());
            buffer.extend_from_slice(&bytes);
            drop(read_response(&mut buffer, &Method::GET));
        }
    }
}
