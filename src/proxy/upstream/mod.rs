//! Step 4c: takes a request to the application and brings back its answer.
//!
//! Owns: the choice of a connection, the one replay, what a failure means for the client.
//! Must not know: who asks, what a probe is.

mod answer;
mod ask;
mod chunks;
mod connect;
mod exchange;
mod head;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::UPGRADE;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

pub use answer::Body;
pub use ask::{Asker, Questions};
pub use connect::{Address, Stream};
pub use exchange::Deadlines;
pub use head::{BadHead, Head, Length, read_response};

use super::proxy_protocol;
use crate::code::Code;
use connect::{Connection, Pool};
use exchange::Exchange;

/// What the upstream leg obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the application listens.
    pub address: Address,
    /// How long the application may take.
    pub deadlines: Deadlines,
    /// How long an idle connection may be reused: shorter than the application's own keep-alive.
    pub keep_alive: Duration,
    /// Whether each connection begins with its client's address. Then none is reused.
    pub proxy_protocol: Option<proxy_protocol::Version>,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing listens.
    #[error("cannot connect to the application at {address}")]
    Connect {
        /// The address tried.
        address: Address,
        /// What the system said.
        source: io::Error,
    },
    /// The connection was not accepted in time.
    #[error("the application at {address} did not accept a connection within {deadline:?}")]
    ConnectDeadline {
        /// The address tried.
        address: Address,
        /// `--upstream-connect-deadline`.
        deadline: Duration,
    },
    /// The connection ended before an answer.
    #[error("the application closed the connection before its answer")]
    ClosedEarly {
        /// Whether not one byte had come back.
        was_silent: bool,
    },
    /// The answer did not begin in time.
    #[error("the application did not answer within --upstream-response-deadline")]
    ResponseDeadline,
    /// The answer's header section is unusable.
    #[error("the application's answer is not valid HTTP: {0}")]
    BadHead(BadHead),
    /// 101 without having been asked, or to another protocol.
    #[error("the application changed the protocol without being asked")]
    UnaskedUpgrade,
    /// The answer's content stopped before its end.
    #[error("the application's answer broke off")]
    BrokenOff,
    /// The request's content stopped arriving.
    #[error("no content arrived for --body-idle-deadline")]
    ClientIdle,
    /// The request's content stopped before its end.
    #[error("the client left while it was sending")]
    ClientLeft(#[source] hyper::Error),
}

impl Error {
    /// The code to answer with.
    pub fn code(&self) -> Code {
        match self {
            Self::Connect { .. } => Code::Refused,
            Self::ConnectDeadline { .. } => Code::ConnectDeadline,
            Self::ClosedEarly { .. } => Code::ClosedEarly,
            Self::ResponseDeadline => Code::ResponseDeadline,
            Self::BadHead(_) | Self::UnaskedUpgrade => Code::BadResponse,
            Self::BrokenOff => Code::BrokenOff,
            Self::ClientIdle => Code::BodyDeadline,
            Self::ClientLeft(_) => Code::ClientLeft,
        }
    }

    /// Whether the connection turned out to be dead before the request could have been read.
    fn may_retry(&self) -> bool {
        matches!(self, Self::ClosedEarly { was_silent: true })
    }
}

/// When the parts of an exchange happened, counted from its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Until a connection stood; zero when one was reused.
    pub connect: Duration,
    /// Until the answer's header section had come.
    pub first_byte: Duration,
}

/// What all data threads know of the application from its answers.
#[derive(Debug)]
pub struct Pulse {
    base: Instant,
    last_answer_ms: AtomicU64,
}

impl Pulse {
    /// Begins without an answer.
    pub fn new() -> Self {
        Self { base: Instant::now(), last_answer_ms: AtomicU64::new(0) }
    }

    fn answered(&self) {
        let now = u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_answer_ms.store(now.max(1), Ordering::Relaxed);
    }

    /// Whether the application answered anything at or after `since`.
    fn has_answered_since(&self, since: Instant) -> bool {
        let last = self.last_answer_ms.load(Ordering::Relaxed);
        last > 0 && self.base + Duration::from_millis(last) >= since
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

/// A request that is ready to travel.
#[derive(Debug)]
pub struct Outgoing {
    /// Its normal header section and its content.
    pub request: Request<Incoming>,
    /// Who asks, for the PROXY protocol.
    pub client: SocketAddr,
    /// The address that the client reached, for the PROXY protocol.
    pub local: SocketAddr,
    /// Whether it may change the protocol.
    pub is_upgrade: bool,
}

/// What came back.
#[derive(Debug)]
pub enum Incomer {
    /// An answer.
    Answer(Response<Box<Body>>),
    /// The application changed the protocol: the answer to pass on, then raw bytes.
    Tunnel(Response<()>, Stream, BytesMut),
}

/// The upstream leg of one data thread.
#[derive(Debug)]
pub struct Upstream {
    settings: Settings,
    pool: Arc<Pool>,
    pulse: Arc<Pulse>,
}

impl Upstream {
    /// An upstream leg without connections.
    pub fn new(settings: Settings, pulse: Arc<Pulse>) -> Self {
        let keep_alive = match settings.proxy_protocol {
            // One client per connection: the header is read once (facts, 10.1 and trap 29).
            Some(_) => Duration::ZERO,
            None => settings.keep_alive,
        };
        Self { settings, pool: Arc::new(Pool::new(keep_alive)), pulse }
    }

    /// Closes connections that are too old to be reused, until the runtime ends.
    pub async fn sweep(self: Arc<Self>) {
        if self.pool.keep_alive().is_zero() {
            return;
        }
        loop {
            tokio::time::sleep(self.pool.keep_alive()).await;
            self.pool.sweep();
        }
    }

    /// Takes a request to the application.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but [`Error::BrokenOff`], which comes from the answer's [`Body`].
    pub async fn forward(&self, outgoing: Outgoing, times: &mut Times) -> Result<Incomer, Error> {
        let started = Instant::now();
        let asked =
            outgoing.request.headers().get(UPGRADE).filter(|_| outgoing.is_upgrade).cloned();
        let (exchange, head) = self.begin(outgoing, started, times).await?;
        times.first_byte = started.elapsed();
        self.pulse.answered();
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        if head.status == http::StatusCode::SWITCHING_PROTOCOLS {
            let given = head.headers.get(UPGRADE);
            let is_asked = asked.zip(given).is_some_and(|(asked, given)| {
                asked.as_bytes().eq_ignore_ascii_case(given.as_bytes())
            });
            if !is_asked {
                return Err(Error::UnaskedUpgrade);
            }
            *response.headers_mut() = head.headers;
            let (stream, early) = exchange.into_tunnel();
            return Ok(Incomer::Tunnel(response, stream, early));
        }
        let body = Body::new(exchange, &head, Arc::clone(&self.pool));
        *response.headers_mut() = head.headers;
        Ok(Incomer::Answer(response.map(|()| Box::new(body))))
    }

    /// Sends the request on a pooled connection where that is safe, else on a fresh one, and waits
    /// for the answer to begin.
    async fn begin(
        &self,
        outgoing: Outgoing,
        started: Instant,
        times: &mut Times,
    ) -> Result<(Exchange, Head), Error> {
        let (client, local) = (outgoing.client, outgoing.local);
        let deadlines = self.settings.deadlines;
        let (parts, body) = outgoing.request.into_parts();
        let length = request_length(&parts.method, &body);
        let head = write_head(&parts, length);
        let has_content = length != Length::None && length != Length::Sized(0);
        // RFC 9110 §9.2.2. A request with an effect, or whose content could be sent only once,
        // never meets a connection that may be closing.
        if is_safe(&parts.method)
            && !has_content
            && let Some(connection) = self.pool.take()
        {
            let method = parts.method.clone();
            let mut exchange = Exchange::new(connection, method, head.clone(), None, deadlines);
            match exchange.head().await {
                // Most likely it was closed while idle; and what is safe may be asked twice.
                Err(why) if why.may_retry() => {}
                result => return result.map(|head| (exchange, head)),
            }
        }
        let connection = connect(&self.settings.address, deadlines.connect).await?;
        times.connect = started.elapsed();
        let head = match self.settings.proxy_protocol {
            Some(version) => {
                let mut text = BytesMut::with_capacity(head.len() + 128);
                proxy_protocol::write(&mut text, version, client, local);
                text.extend_from_slice(&head);
                text.freeze()
            }
            None => head,
        };
        let body = has_content.then_some((body, length));
        let mut exchange = Exchange::new(connection, parts.method, head, body, deadlines);
        exchange.head().await.map(|head| (exchange, head))
    }
}

fn write_head(parts: &Parts, length: Length) -> Bytes {
    let mut text = BytesMut::with_capacity(2048);
    head::write_request(&mut text, parts, length);
    text.freeze()
}

/// Connects within a deadline.
async fn connect(address: &Address, deadline: Duration) -> Result<Connection, Error> {
    match timeout(deadline, address.connect()).await {
        Ok(Ok(stream)) => Ok(Connection::new(stream)),
        Ok(Err(source)) => Err(Error::Connect { address: address.clone(), source }),
        Err(_) => Err(Error::ConnectDeadline { address: address.clone(), deadline }),
    }
}

/// How the request's content goes on: with its length where the client gave one.
fn request_length(method: &Method, body: &Incoming) -> Length {
    match body.size_hint().exact() {
        // RFC 9110 §8.6: a length is expected where a method anticipates content.
        Some(0) if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            Length::Sized(0)
        }
        Some(0) => Length::None,
        Some(length) => Length::Sized(length),
        None if body.is_end_stream() => Length::None,
        None => Length::Chunked,
    }
}

/// RFC 9110 §9.2.1: methods without an effect that the client answers for.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
