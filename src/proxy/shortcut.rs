//! The short way of a request for an asset that is in memory: steps 2 to 4b on the bytes as they
//! came, without the parser's objects.
//!
//! Owns: which requests may go it, what of them is read.
//! Must not know: sockets, which file is meant, how its answer is described.
//!
//! It is worth having because assets are most of what a browser asks for, and hyper's reading and
//! writing of two header sections costs three times what everything else about an asset does. What
//! is in any way unusual takes the long way and gets the same answer.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use super::assets::{Asset, AtOnce, Match};
use super::connection::Client;
use super::guard::Detour;
use super::{Gateway, assets, begin_record};
use crate::readiness::Phase;
use crate::telemetry::Record;

impl Gateway {
    /// Whether any request may go the short way.
    pub fn has_shortcut(&self) -> bool {
        // A witness wants to see every request, and the parser knows how a connection ends in order.
        self.assets.is_on() && self.witness.is_none() && self.readiness.phase() != Phase::Draining
    }

    /// Whether the request that `head` begins, a whole header section or more, may go the short way.
    /// It looks at the request line alone.
    pub fn is_short(&self, head: &[u8]) -> bool {
        self.has_shortcut()
            && target(head).is_some_and(|target| {
                let path = target.split('?').next().unwrap_or_default();
                // Probers ask for `/`, and are told by fields that are not read here.
                path != "/"
                    && matches!(self.assets.find(path), Match::Asset(asset) if asset.is_in_memory())
            })
    }

    /// Reads a whole header section that the guard has found sound, and finds its answer. Nothing,
    /// if it has to take the long way after all.
    pub fn shorten(&self, head: &Bytes, client: &Client) -> Option<Short> {
        let parts = read(head)?;
        let Match::Asset(Asset::File(file)) = self.assets.find(parts.uri.path()) else {
            return None;
        };
        let seen = self.normaliser.see(&parts, client.peer).ok()?;
        let answer = assets::at_once(&file, &parts.method, &parts.headers, SystemTime::now())?;
        let mut record = begin_record(&parts.headers, client);
        (record.method, record.target) = (Some(parts.method), parts.uri);
        self.note(&seen, &mut record);
        record.is_asset = true;
        record.status = answer.status.as_u16();
        record.coding = answer.coding;
        Some(Short { answer, record })
    }
}

impl Detour for Arc<Gateway> {
    fn takes(&self, head: &[u8]) -> bool {
        self.is_short(head)
    }
}

/// An answer that is ready.
#[derive(Debug)]
pub struct Short {
    /// What to send.
    pub answer: AtOnce,
    /// The log line so far.
    pub record: Record,
}

/// The target of a GET or HEAD in origin form.
fn target(head: &[u8]) -> Option<&str> {
    let rest = head.strip_prefix(b"GET ").or_else(|| head.strip_prefix(b"HEAD "))?;
    let end = memchr::memchr(b' ', rest)?;
    let target = rest.get(..end)?;
    target.starts_with(b"/").then_some(())?;
    std::str::from_utf8(target).ok()
}

/// Reads what matters about a request for an asset, from a header section that the guard has found
/// sound: lines end in CR LF, names are tokens with a colon behind them. Nothing for what has content,
/// is not of HTTP/1.1, or says anything about its connection.
fn read(head: &Bytes) -> Option<Parts> {
    let text: &[u8] = head;
    let end = memchr::memchr(b'\n', text)?;
    let (line, mut rest) = text.split_at_checked(end + 1)?;
    let line = line.strip_suffix(b" HTTP/1.1\r\n")?;
    let (mut parts, ()) = Request::new(()).into_parts();
    let (method, target) = line.split_at_checked(memchr::memchr(b' ', line)?)?;
    parts.method = match method {
        b"GET" => Method::GET,
        b"HEAD" => Method::HEAD,
        _ => return None,
    };
    let target = target.get(1..)?;
    parts.uri = Uri::from_maybe_shared(head.slice_ref(target)).ok()?;
    loop {
        let end = memchr::memchr(b'\n', rest)?;
        let (line, next) = rest.split_at_checked(end + 1)?;
        let line = line.strip_suffix(b"\r\n")?;
        if line.is_empty() {
            return next.is_empty().then_some(parts);
        }
        rest = next;
        let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
        let value = value.get(1..)?.trim_ascii();
        match Bearing::of(name) {
            Bearing::None => {}
            Bearing::Connection if value.eq_ignore_ascii_case(b"keep-alive") => {}
            Bearing::Connection => return None,
            Bearing::Some => {
                let name = HeaderName::from_bytes(name).ok()?;
                let value = HeaderValue::from_maybe_shared(head.slice_ref(value)).ok()?;
                parts.headers.append(name, value);
            }
        }
    }
}

/// What a field may change about the answer to a request for an asset, or about its log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Bearing {
    /// Nothing.
    None,
    /// Something, as far as is known.
    Some,
    /// How the connection goes on, or that there is content.
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
            10 => (&["user-agent"], &["connection", "keep-alive"]),
            12 => (&["max-forwards"], &[]),
            13 => (&["cache-control"], &[]),
            14 => (
                &["sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user"],
                &["content-length", "http2-settings"],
            ),
            15 => (&["accept-language", "disguised-host"], &[]),
            16 => (&["sec-ch-ua-mobile"], &["proxy-connection"]),
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

    fn parts(lines: &str) -> Option<Parts> {
        read(&Bytes::from(format!("{lines}\r\n\r\n").replace('\n', "\r\n").replace("\r\r", "\r")))
    }

    #[test]
    fn what_matters_is_read_and_the_rest_is_not() {
        let parts = parts(
            "GET /static/a.css?v=1 HTTP/1.1\nHost: a\nCookie: b=c\nX-Forwarded-For: 203.0.113.7\n\
             Accept-Encoding: br\nX-Forwarded-For: 10.0.0.1\nConnection: Keep-Alive\nX-New: d",
        )
        .unwrap();
        assert_eq!(parts.uri.path(), "/static/a.css");
        let names: Vec<_> = parts.headers.iter().map(|(name, _)| name.as_str()).collect();
        let wanted = ["host", "x-forwarded-for", "x-forwarded-for", "accept-encoding", "x-new"];
        assert_eq!(names, wanted);
    }

    #[test]
    fn what_is_unusual_takes_the_long_way() {
        for lines in [
            "POST /a HTTP/1.1\nHost: a",
            "OPTIONS /a HTTP/1.1\nHost: a",
            "GET /a HTTP/1.0\nHost: a",
            "GET /a HTTP/1.1\nHost: a\nConnection: close",
            "GET /a HTTP/1.1\nHost: a\nConnection: keep-alive, upgrade\nUpgrade: h2c",
            "GET /a HTTP/1.1\nHost: a\nContent-Length: 1",
            "GET /a HTTP/1.1\nHost: a\nTransfer-Encoding: chunked",
            "GET /a HTTP/1.1\nHost: a\nExpect: 100-continue",
        ] {
            assert!(parts(lines).is_none(), "{lines}");
        }
        assert!(read(&Bytes::from_static(b"GET /a HTTP/1.1\r\nHost: a\r\n")).is_none());
    }

    #[test]
    fn only_a_path_is_looked_up() {
        assert_eq!(target(b"GET /a?b HTTP/1.1\r\n"), Some("/a?b"));
        assert_eq!(target(b"HEAD /a HTTP/1.1\r\n"), Some("/a"));
        for line in ["GET http://a/b HTTP/1.1", "POST /a HTTP/1.1", "GET /a", "get /a HTTP/1.1"] {
            assert_eq!(target(line.as_bytes()), None, "{line}");
        }
    }
}
