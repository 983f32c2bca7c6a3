//! Header sections as the application's side of the wire has them.
//!
//! Owns: writing a request's header section, reading an answer's, the framing of both (pure).
//! Must not know: sockets, why a field has its value.

use std::fmt::Write as _;
use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};

use crate::proxy::fields::{self, Fields, Name, Value, names};
use crate::proxy::guard::decimal;

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
    pub fields: Fields,
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
    let mut fields = Fields::over(Bytes::new(), response.headers.len() + 2);
    for field in &*response.headers {
        let name = Name::read(field.name.as_bytes())
            .ok_or(BadHead::Malformed(httparse::Error::HeaderName))?;
        let place = (field.value.as_ptr() as usize).saturating_sub(start);
        fields.add(name, place..place + field.value.len());
    }
    fields.set_text(buffer.split_to(length).freeze());
    finish(fields, (status, is_http_1_0), method).map(Some)
}

/// Finds out how content and connection end, and takes off what ends here (RFC 9110 §7.6.1).
fn finish(
    mut fields: Fields,
    (status, is_http_1_0): (StatusCode, bool),
    method: &Method,
) -> Result<Head, BadHead> {
    let length = content_length(&fields, status, method)?;
    if fields.is_repeated(&names::CONTENT_LENGTH)
        && let Some(one) = fields.keep(&names::CONTENT_LENGTH)
    {
        // They say the same.
        fields.insert(names::CONTENT_LENGTH, &one);
    }
    let keeps_alive = obey_connection(&mut fields, is_http_1_0) && length != Length::UntilClose;
    let upgrade = fields.keep(&names::UPGRADE);
    for name in &HOP_BY_HOP {
        fields.remove(name);
    }
    if let Some(upgrade) = upgrade
        && status == StatusCode::SWITCHING_PROTOCOLS
    {
        fields.append(names::CONNECTION, &Value::from_static("upgrade"));
        fields.append(names::UPGRADE, &upgrade);
    }
    Ok(Head { status, fields, length, keeps_alive })
}

/// Fields that end here, whether or not Connection names them.
const HOP_BY_HOP: [Name; 7] = [
    names::CONNECTION,
    names::KEEP_ALIVE,
    names::PROXY_AUTHENTICATE,
    names::PROXY_CONNECTION,
    names::TE,
    names::TRANSFER_ENCODING,
    names::UPGRADE,
];

/// Obeys the Connection field: removes the fields that it names, and says whether the connection
/// stays open.
fn obey_connection(fields: &mut Fields, is_http_1_0: bool) -> bool {
    let (mut keeps_alive, mut closes, mut named) = (!is_http_1_0, false, Vec::new());
    for value in fields.get_all(&names::CONNECTION) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                closes = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                keeps_alive = true;
            } else if let Some(name) = Name::read(option)
                && name != names::UPGRADE
                && name != names::CONTENT_LENGTH
            {
                named.push(name);
            }
        }
    }
    for name in &named {
        fields.remove(name);
    }
    keeps_alive && !closes
}

/// RFC 9112 §6.3.
fn content_length(fields: &Fields, status: StatusCode, method: &Method) -> Result<Length, BadHead> {
    let mut codings = fields.get_all(&names::TRANSFER_ENCODING);
    let mut lengths = fields.get_all(&names::CONTENT_LENGTH);
    let length = match (codings.next(), codings.next(), lengths.next()) {
        (None, _, None) => Length::UntilClose,
        (Some(coding), None, None) if coding.eq_ignore_ascii_case(b"chunked") => Length::Chunked,
        (None, _, Some(first)) if lengths.all(|other| other == first) => {
            decimal(first).map(Length::Sized).ok_or(BadHead::BadLength)?
        }
        _ => return Err(BadHead::BadLength),
    };
    let has_no_content = *method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    Ok(if has_no_content { Length::None } else { length })
}

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
        let names: Vec<_> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-length", "x-empty", "set-cookie", "set-cookie"]);
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
