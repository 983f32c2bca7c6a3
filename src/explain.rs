//! Shows what is done to one raw request, by doing it.
//!
//! Owns: the stage for the real thing, a client's side and an application's side; the report.
//! Must not know: how any step works.

use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::code::Code;
use crate::config::Config;
use crate::proxy::assets::Assets;
use crate::proxy::body::Reporter;
use crate::proxy::compress::Compressor;
use crate::proxy::fields::Name;
use crate::proxy::guard::{Framing, Refusal};
use crate::proxy::intake::Intake;
use crate::proxy::normalise::{Change, Normaliser, Platform};
use crate::proxy::respond::X_FOREBAY_ERROR;
use crate::proxy::route::Route;
use crate::proxy::upstream::{Address, Common, Head, Upstream, read_response};
use crate::proxy::{Gateway, Sighting, Witness, connection};
use crate::readiness::Phase;
use crate::telemetry::{Counters, Output};

/// Why a request cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes end before the request does.
    #[error("the request is incomplete: {0}")]
    Incomplete(&'static str),
    /// More than [`REQUEST_LIMIT`] bytes.
    #[error("the request is larger than 1 MiB")]
    TooLarge,
    /// `--peer` is no address.
    #[error("--peer is `{0}`")]
    BadPeer(String),
    /// The stage could not be built or broke down.
    #[error("the request could not be tried")]
    Stage(#[from] io::Error),
}

impl Error {
    /// Whether the one who asked can mend it.
    pub fn is_the_requests_fault(&self) -> bool {
        !matches!(self, Self::Stage(_))
    }

    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::Incomplete(_) => {
                "end the header section with an empty line, and give as many bytes of content as \
                 Content-Length says"
            }
            Self::TooLarge => "cut the content down, with Content-Length; it is passed on as it is",
            Self::BadPeer(_) => "write an address such as `169.254.130.1` or `203.0.113.7:50123`",
            Self::Stage(_) => "explain needs a port on the loopback interface for a moment",
        }
        .to_owned()
    }
}

/// The most bytes of a request that are explained.
pub const REQUEST_LIMIT: u64 = 1024 * 1024;

/// How long the stage waits for a step that takes microseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was done to a request.
#[derive(Debug)]
pub struct Explained {
    peer: SocketAddr,
    platform: Platform,
    had_bare_line_feeds: bool,
    /// Nothing if it was refused before it could be read.
    sighting: Option<Sighting>,
    refusal: Option<Refusal>,
    /// What the application got, to the byte.
    upstream: Option<Vec<u8>>,
    answer: Head,
}

/// Explains a request on a runtime of its own.
///
/// # Errors
///
/// [`Error`].
pub fn run(config: &Config, raw: &[u8], peer: Option<&str>) -> Result<Explained, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let peer = match peer {
        Some(text) => text
            .parse()
            .or_else(|_| text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 0)))
            .map_err(|_| Error::BadPeer(text.to_owned()))?,
        None => default_peer(config.normalise.platform),
    };
    runtime.block_on(explain(config, raw, peer))
}

/// Who holds the socket where nobody says otherwise (facts, 4.6).
pub fn default_peer(platform: Platform) -> SocketAddr {
    let address = match platform {
        Platform::AppService => [169, 254, 130, 1],
        Platform::ContainerApps => [100, 100, 0, 48],
        Platform::Kubernetes => [10, 244, 0, 1],
        Platform::None => [127, 0, 0, 1],
    };
    SocketAddr::from((address, 50_123))
}

/// Sends a request through the live code, between a client's side in memory and an application's
/// side that keeps what it gets.
///
/// # Errors
///
/// [`Error`].
pub async fn explain(config: &Config, raw: &[u8], peer: SocketAddr) -> Result<Explained, Error> {
    if raw.len() as u64 > REQUEST_LIMIT {
        return Err(Error::TooLarge);
    }
    let had_bare_line_feeds = !raw.contains(&b'\r');
    let raw = if had_bare_line_feeds { with_line_ends(raw) } else { raw.to_vec() };
    let refusal = check(config, &raw)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let witness = Arc::new(Witness::new(false));
    let gateway = stage(config, &listener, &witness)?;
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let served = connection::serve(server, (peer, config.listen), gateway, config.connection);
    let talk = async {
        let answer = ask(&mut client, &raw).await;
        drop(client);
        answer
    };
    let both = async { tokio::join!(served, talk).1 };
    let mut upstream = None;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "no answer came");
    let answer = tokio::select! {
        answer = timeout(PATIENCE, both) => answer.map_err(late)??,
        never = record(&listener, config, &mut upstream) => match never? {},
    };
    let platform = config.normalise.platform;
    let sighting = witness.latest();
    Ok(Explained { peer, platform, had_bare_line_feeds, sighting, refusal, upstream, answer })
}

/// A gateway as it runs live, in front of `listener`.
fn stage(
    config: &Config,
    listener: &TcpListener,
    witness: &Arc<Witness>,
) -> Result<Arc<Gateway>, Error> {
    // The writer ends at once: nothing is logged here.
    let output = Output::start(io::sink())?.0;
    let log = crate::telemetry::Settings { has_access_log: false, ..config.log };
    let mut upstream = config.upstream.clone();
    let port = listener.local_addr()?.port();
    upstream.address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
    let common = Common::new(config.queue, config.spool.clone());
    common.readiness.set(Phase::Ready);
    Ok(Arc::new(Gateway {
        normaliser: Arc::new(Normaliser::new(config.normalise.clone())),
        routes: Arc::new(config.routes.clone()),
        probes: config.probes,
        status: None,
        assets: Arc::new(assets(config)),
        intake: Intake::new(config.intake.clone(), Arc::clone(&common.stores)),
        readiness: Arc::clone(&common.readiness),
        upstream: Arc::new(Upstream::new(upstream, common)),
        send_file: Arc::new(config.send_file.clone()),
        compressor: Arc::new(Compressor::new(config.compress)),
        reporter: Reporter { output, log, counters: Arc::new(Counters::new()) },
        witness: Some(Arc::clone(witness)),
    }))
}

/// The assets as they are now.
fn assets(config: &Config) -> Assets {
    let assets = Assets::new(config.assets.clone());
    assets.look_once();
    assets
}

/// Looks whether the bytes are one whole request, or one that is refused.
fn check(config: &Config, raw: &[u8]) -> Result<Option<Refusal>, Error> {
    let mut framing = Framing::new(config.connection.limits);
    match framing.scan(raw) {
        Err(refusal) => Ok(Some(refusal)),
        Ok(scanned) if scanned.is_complete => Ok(None),
        Ok(_) if framing.is_at_boundary() || framing.is_in_head() => {
            Err(Error::Incomplete("its header section does not end"))
        }
        Ok(_) => Err(Error::Incomplete("its content is shorter than its framing says")),
    }
}

/// Sends the request and reads the header section of the answer.
async fn ask(client: &mut DuplexStream, raw: &[u8]) -> io::Result<Head> {
    let (mut reader, mut writer) = tokio::io::split(client);
    let read = async {
        let mut buffer = BytesMut::new();
        loop {
            match read_response(&mut buffer, &Method::HEAD) {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {}
                Err(why) => return Err(io::Error::other(why)),
            }
            if reader.read_buf(&mut buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    // A refused request is not read to its end; then writing fails and the answer is there.
    let (_, head) = tokio::join!(writer.write_all(raw), read);
    head
}

/// Takes requests as an application would and keeps the bytes of the latest.
async fn record(
    listener: &TcpListener,
    config: &Config,
    kept: &mut Option<Vec<u8>>,
) -> io::Result<std::convert::Infallible> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let mut bytes = BytesMut::new();
        let kept = kept.insert(Vec::new());
        loop {
            let count = stream.read_buf(&mut bytes).await?;
            kept.clear();
            kept.extend_from_slice(&bytes);
            if count == 0 || is_whole(config, &bytes) {
                break;
            }
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await?;
    }
}

/// Whether the application has got all of the request behind its PROXY protocol header.
fn is_whole(config: &Config, bytes: &[u8]) -> bool {
    let start = match config.upstream.proxy_protocol {
        Some(_) => match crate::proxy::proxy_protocol::read(bytes) {
            Ok(crate::proxy::proxy_protocol::Parsed::Complete(_, length)) => length,
            _ => return false,
        },
        None => 0,
    };
    let limits = config.connection.limits;
    let scanned = Framing::new(limits).scan(bytes.get(start..).unwrap_or_default());
    scanned.map_or(true, |scanned| scanned.is_complete)
}

/// Changes as JSON, in order.
pub fn changes_json(changes: &[Change]) -> Value {
    let entry = |Change { subject, before, after, why }: &Change| json!({ "field": subject, "before": before, "after": after, "why": why });
    changes.iter().map(entry).collect()
}

/// Gives the lines of a header section the ends that HTTP wants and editors do not write.
fn with_line_ends(raw: &[u8]) -> Vec<u8> {
    let end = memchr::memmem::find(raw, b"\n\n").map_or(raw.len(), |end| end + 2);
    let (head, content) = raw.split_at_checked(end).unwrap_or((raw, &[]));
    let mut bytes = Vec::with_capacity(raw.len() + 64);
    for line in head.split_inclusive(|&byte| byte == b'\n') {
        bytes.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(content);
    bytes
}

impl Explained {
    /// The code of forebay's answer, if it was not the application's.
    fn code(&self) -> Option<Code> {
        let id = self.answer.fields.get(&Name::from(&X_FOREBAY_ERROR))?;
        Code::ALL.iter().copied().find(|code| id == code.id().as_bytes())
    }

    fn outcome(&self) -> String {
        let status = self.answer.status.as_u16();
        match (self.code(), self.sighting.as_ref().map(|sighting| &sighting.route)) {
            (Some(code), _) => {
                format!("refused with {status} {}: {}", code.id(), code.meaning().title)
            }
            (None, Some(Route::Probe(probe))) => format!(
                "forebay answers this {} probe from readiness: {status} now that the application \
                 counts as ready",
                probe.name()
            ),
            (None, Some(Route::Asset(_))) => {
                format!("forebay answers with a static file: {status}")
            }
            (None, _) => "goes to the application".to_owned(),
        }
    }

    /// The report as JSON.
    pub fn json(&self) -> Value {
        let changes = self.sighting.as_ref().map_or(&[][..], |sighting| &sighting.changes);
        json!({
            "peer": self.peer.to_string(),
            "platform": format!("{:?}", self.platform),
            "client": self.sighting.as_ref().map(|sighting| sighting.seen.client.to_string()),
            "scheme": self.sighting.as_ref().map(|sighting| sighting.seen.scheme.as_str()),
            "has_front_end": self.sighting.as_ref().map(|sighting| sighting.seen.has_front_end),
            "changes": changes_json(changes),
            "outcome": self.outcome(),
            "refusal": self.refusal.map(|refusal| refusal.to_string()),
            "status": self.answer.status.as_u16(),
            "code": self.code().map(Code::id),
            "upstream": self.upstream.as_ref().map(|bytes| String::from_utf8_lossy(bytes)),
        })
    }

    /// The report for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).unwrap_or_default();
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        if self.had_bare_line_feeds {
            writeln!(out, "note      line feeds were given carriage returns, as HTTP wants them")?;
        }
        writeln!(out, "peer      {}", self.peer)?;
        writeln!(out, "platform  {:?}", self.platform)?;
        if let Some(Sighting { seen, changes, .. }) = &self.sighting {
            let dispute = if seen.is_disputed { " (Client-IP names somebody else)" } else { "" };
            let front_end = if seen.has_front_end { "passed it on" } else { "left no sign" };
            writeln!(out, "front end {front_end}")?;
            writeln!(out, "client    {}{dispute}", seen.client)?;
            writeln!(out, "scheme    {}", seen.scheme.as_str())?;
            writeln!(out, "\nchanges")?;
            if changes.is_empty() {
                writeln!(out, "  none")?;
            }
            for change in changes {
                let nothing = "(nothing)".to_owned();
                writeln!(
                    out,
                    "  {}: {} -> {}\n      {}",
                    change.subject,
                    change.before.as_ref().unwrap_or(&nothing),
                    change.after.as_ref().unwrap_or(&nothing),
                    change.why
                )?;
            }
        }
        writeln!(out, "\noutcome   {}", self.outcome())?;
        if let Some(refusal) = self.refusal {
            writeln!(out, "because   {refusal}")?;
        }
        if let Some(bytes) = &self.upstream {
            writeln!(out, "\nthe application gets {} bytes", bytes.len())?;
            for line in String::from_utf8_lossy(bytes).lines() {
                writeln!(out, "  {line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_feeds_become_line_ends_in_the_header_section_only() {
        assert_eq!(
            with_line_ends(b"GET / HTTP/1.1\nHost: a\n\nx\ny"),
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\nx\ny"
        );
        assert_eq!(with_line_ends(b"GET / HTTP/1.1"), b"GET / HTTP/1.1\r\n");
    }
}
