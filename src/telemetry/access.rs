//! The line that each request leaves in the log.
//!
//! Owns: its fields and their form.
//! Must not know: how they came about.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Method, Uri, Version};
use tokio::time::Instant;

use super::Format;
use super::json::{number, stamp, string, word};
use crate::code::Code;
use crate::decimal::{address, socket_address};

/// What is known about a request when its answer has ended.
///
/// Queries are left out on purpose: they hold tokens and addresses.
#[derive(Debug)]
pub struct Record {
    /// When the request had been read.
    pub started: Instant,
    /// Who holds the socket.
    pub peer: SocketAddr,
    /// Who asks; nothing if the request was refused before that was known.
    pub client: Option<IpAddr>,
    /// How the client asks.
    pub scheme: &'static str,
    /// The method; nothing if the request was refused before it was parsed.
    pub method: Option<Method>,
    /// The target.
    pub target: Uri,
    /// The protocol between the peer and forebay.
    pub version: Version,
    /// The Host as it arrived.
    pub host: Option<Bytes>,
    /// W3C trace context as it arrived.
    pub trace: Option<Bytes>,
    /// The front end's id of the request, which Azure support asks for.
    pub arr_log_id: Option<Bytes>,
    /// The status of the answer.
    pub status: u16,
    /// Set when forebay made the answer, or the answer has a fault.
    pub code: Option<Code>,
    /// What happened, for the operator only.
    pub cause: Option<String>,
    /// The prober, if it was one.
    pub probe: Option<&'static str>,
    /// Whether the front end's fields name different clients.
    pub is_disputed: bool,
    /// Whether a static file answers it.
    pub is_asset: bool,
    /// Whether forebay's own status answers it.
    pub is_status: bool,
    /// The coding of the content, where forebay compressed it or a variant was sent.
    pub coding: Option<&'static str>,
    /// Bytes of content sent.
    pub bytes: u64,
    /// What took how long on the way to the application.
    pub times: Times,
    /// Set on the second line of a request, which tells the end of the tunnel that it opened.
    pub tunnel: Option<Tunnel>,
}

/// What a connection did after it had changed its protocol.
#[derive(Debug)]
pub struct Tunnel {
    /// The protocol, as the application named it.
    pub upgrade: Bytes,
    /// Bytes from the client that the application took.
    pub received_bytes: u64,
    /// Who or what ended it.
    pub ended_by: &'static str,
}

/// What took how long on the way to the application, from the end of the request's content.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Spent waiting for the application and for a place in it.
    pub queued: Duration,
    /// Spent connecting; zero when a connection was reused.
    pub connect: Duration,
    /// Until the answer's header section had come.
    pub first_byte: Duration,
    /// How often the request was sent again.
    pub repeats: u32,
}

impl Record {
    /// A record of a request that could not be parsed.
    pub fn unread(peer: SocketAddr, code: Code, cause: String) -> Self {
        let status = code.meaning().status;
        Self { status, code: Some(code), cause: Some(cause), ..Self::begin(peer) }
    }

    /// A record of a request of which nothing is known but who holds the socket.
    pub fn begin(peer: SocketAddr) -> Self {
        Self {
            started: Instant::now(),
            peer,
            client: None,
            scheme: "http",
            method: None,
            target: Uri::default(),
            version: Version::HTTP_11,
            host: None,
            trace: None,
            arr_log_id: None,
            status: 0,
            code: None,
            cause: None,
            probe: None,
            is_disputed: false,
            is_asset: false,
            is_status: false,
            coding: None,
            bytes: 0,
            times: Times::default(),
            tunnel: None,
        }
    }

    /// Begins the line of the tunnel that this request opens, now.
    #[must_use]
    pub fn of_tunnel(&self, upgrade: Bytes) -> Self {
        Self {
            client: self.client,
            scheme: self.scheme,
            method: self.method.clone(),
            target: self.target.clone(),
            version: self.version,
            host: self.host.clone(),
            trace: self.trace.clone(),
            arr_log_id: self.arr_log_id.clone(),
            status: 101,
            tunnel: Some(Tunnel { upgrade, received_bytes: 0, ended_by: "client" }),
            ..Self::begin(self.peer)
        }
    }

    /// Writes the line, of what took so long, with its line end.
    pub fn write(&self, out: &mut Vec<u8>, format: Format, total: Duration) {
        match format {
            Format::Json => self.write_json(out, total),
            Format::Text => self.write_text(out, total),
        }
    }

    fn level(&self) -> &'static str {
        match self.code {
            Some(_) if self.probe.is_none() && self.status >= 500 => "ERROR",
            Some(_) if self.probe.is_none() => "WARN",
            _ => "INFO",
        }
    }

    fn write_json(&self, out: &mut Vec<u8>, total: Duration) {
        out.extend_from_slice(br#"{"timestamp":""#);
        stamp(out, SystemTime::now());
        out.extend_from_slice(br#"","level":""#);
        out.extend_from_slice(self.level().as_bytes());
        out.extend_from_slice(match self.tunnel {
            Some(_) => br#"","message":"tunnel ended","#.as_slice(),
            None => br#"","message":"request","#,
        });
        if let Some(client) = self.client {
            out.extend_from_slice(br#""client":""#);
            address(out, client);
            out.extend_from_slice(br#"","#);
        }
        out.extend_from_slice(br#""peer":""#);
        socket_address(out, self.peer);
        out.extend_from_slice(br#"","#);
        if let Some(method) = &self.method {
            word(out, "method", method.as_str());
            string(out, "path", self.target.path().as_bytes());
        }
        for (name, value) in
            [("host", &self.host), ("traceparent", &self.trace), ("arr_log_id", &self.arr_log_id)]
        {
            if let Some(value) = value {
                string(out, name, value);
            }
        }
        word(out, "scheme", self.scheme);
        word(out, "protocol", protocol(self.version));
        number(out, "status", self.status.into());
        number(out, "bytes", self.bytes);
        if let Some(code) = self.code {
            let meaning = code.meaning();
            word(out, "code", meaning.id);
            word(out, "reason", meaning.reason);
        }
        if let Some(cause) = &self.cause {
            string(out, "cause", cause.as_bytes());
        }
        self.write_traits(out);
        if let Some(Tunnel { upgrade, received_bytes, ended_by }) = &self.tunnel {
            string(out, "upgrade", upgrade);
            number(out, "received_bytes", *received_bytes);
            word(out, "ended_by", ended_by);
        } else {
            number(out, "queued_us", micros(self.times.queued));
            number(out, "connect_us", micros(self.times.connect));
            number(out, "first_byte_us", micros(self.times.first_byte));
        }
        number(out, "total_us", micros(total));
        out.pop(); // the comma behind the last member
        out.extend_from_slice(b"}\n");
    }

    /// What is true of some requests only.
    fn write_traits(&self, out: &mut Vec<u8>) {
        if let Some(probe) = self.probe {
            word(out, "probe", probe);
        }
        if self.is_asset {
            out.extend_from_slice(br#""asset":true,"#);
        }
        if let Some(coding) = self.coding {
            word(out, "coding", coding);
        }
        if self.is_disputed {
            out.extend_from_slice(br#""disputed":true,"#);
        }
        if self.times.repeats > 0 {
            number(out, "repeats", self.times.repeats.into());
        }
    }

    fn write_text(&self, out: &mut Vec<u8>, total: Duration) {
        let stamp = humantime::format_rfc3339_micros(SystemTime::now());
        let who = self.client.unwrap_or_else(|| self.peer.ip());
        // Writing to a buffer in memory cannot fail.
        write!(out, "{stamp} {:>5} {who} ", self.level()).unwrap_or_default();
        match &self.method {
            Some(method) => {
                write!(out, "{method} {}://", self.scheme).unwrap_or_default();
                clean(out, self.host.as_deref().unwrap_or(b"-"));
                clean(out, self.target.path().as_bytes());
            }
            None => out.extend_from_slice(b"(unread)"),
        }
        if let Some(Tunnel { upgrade, received_bytes, ended_by }) = &self.tunnel {
            out.push(b' ');
            clean(out, upgrade);
            let (sent, time) = (self.bytes, milliseconds(total));
            writeln!(
                out,
                " tunnel ended by {ended_by}: {sent}B sent, {received_bytes}B received, {time:.1}ms"
            )
            .unwrap_or_default();
            return;
        }
        write!(
            out,
            " {} {}B {:.1}ms (queued {:.1}, connect {:.1}, first byte {:.1})",
            self.status,
            self.bytes,
            milliseconds(total),
            milliseconds(self.times.queued),
            milliseconds(self.times.connect),
            milliseconds(self.times.first_byte),
        )
        .unwrap_or_default();
        if self.times.repeats > 0 {
            write!(out, " repeats={}", self.times.repeats).unwrap_or_default();
        }
        if let Some(probe) = self.probe {
            write!(out, " probe={probe}").unwrap_or_default();
        }
        if self.is_asset {
            out.extend_from_slice(b" asset");
        }
        if self.is_disputed {
            out.extend_from_slice(b" disputed");
        }
        if let Some(code) = self.code {
            write!(out, " {} {}", code.id(), code.meaning().reason).unwrap_or_default();
        }
        if let Some(cause) = &self.cause {
            out.extend_from_slice(b": ");
            for word in cause.as_bytes().split(|&byte| byte == b' ') {
                clean(out, word);
                out.push(b' ');
            }
            out.pop();
        }
        out.push(b'\n');
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// In whole microseconds.
fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The protocol's name, as in the request line.
fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

/// Writes what a stranger sent so that it can neither end the line, nor look like another column,
/// nor steer a terminal.
fn clean(out: &mut Vec<u8>, value: &[u8]) {
    out.extend(value.iter().map(|&byte| if byte.is_ascii_graphic() { byte } else { b'?' }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            method: Some(Method::GET),
            target: Uri::from_static("/a%22b?token=secret"),
            host: Some(Bytes::from_static(b"a\"b\\c\xff")),
            client: Some([203, 0, 113, 7].into()),
            bytes: 12,
            ..Record::unread(([169, 254, 130, 1], 5).into(), Code::Refused, "a\nb".to_owned())
        }
    }

    #[test]
    fn a_line_is_one_json_object_whatever_it_holds() {
        let mut out = Vec::new();
        record().write(&mut out, Format::Json, Duration::ZERO);
        let line: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["host"], "a\"b\\c\u{fffd}");
        assert_eq!(line["client"], "203.0.113.7");
        assert_eq!(line["code"], "FB-30");
        assert_eq!(line["status"], 502);
        assert_eq!(line["cause"], "a\nb");
        assert_eq!(line["path"], "/a%22b", "without the query");
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1);
    }

    #[test]
    fn a_line_of_text_is_one_line() {
        let mut out = Vec::new();
        record().write(&mut out, Format::Text, Duration::ZERO);
        let line = String::from_utf8_lossy(&out);
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.contains("203.0.113.7 GET http://"), "{line}");
        assert!(line.contains("FB-30 connection_refused: a?b"), "{line}");
        assert!(!line.contains("secret"));
    }
}
