//! Step 4d: carries the bytes of a connection that has changed its protocol.
//!
//! Owns: the limits of tunnels, why one ends, how a WebSocket is told so.
//! Must not know: how the protocol was changed, what the bytes say.

mod frames;
mod way;

use std::future::{Future, poll_fn};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

pub use frames::{Frames, Sender, close};

use crate::telemetry::Counters;
use way::{Source, Way};

/// What tunnels obey.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most tunnels at once, over all data threads.
    pub limit: u64,
    /// How long there may be no byte in either direction.
    pub idle: Duration,
}

/// A place among the tunnels. Dropping it gives it back.
#[derive(Debug)]
pub struct Place(Arc<Counters>);

impl Place {
    /// Takes a place; nothing if all `limit` are taken.
    pub fn take(counters: &Arc<Counters>, limit: u64) -> Option<Self> {
        // Made first, so that it gives back what it took.
        let place = Self(Arc::clone(counters));
        (counters.tunnels.fetch_add(1, Ordering::Relaxed) < limit).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One end of a tunnel.
#[derive(Debug)]
pub struct End<S> {
    /// Its connection.
    pub stream: S,
    /// What it sent together with the change of protocol, behind it.
    pub early: BytesMut,
}

/// What the bytes are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// Frames, between which a Close frame can be put.
    WebSocket,
    /// Anything.
    Other,
}

impl Protocol {
    /// Reads the value of an Upgrade field (RFC 6455 §4.2.2: its case does not matter).
    pub fn of(upgrade: &[u8]) -> Self {
        let is_websocket = upgrade.eq_ignore_ascii_case(b"websocket");
        if is_websocket { Self::WebSocket } else { Self::Other }
    }
}

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// The client was the first to close.
    Client,
    /// The application was.
    Application,
    /// There was no byte for [`Settings::idle`].
    Idle,
    /// forebay was told to stop.
    Drain,
}

impl Cause {
    /// The log's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Application => "application",
            Self::Idle => "idle",
            Self::Drain => "drain",
        }
    }
}

/// What a tunnel did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Carried {
    /// Bytes to the client.
    pub to_client: u64,
    /// Bytes to the application.
    pub to_application: u64,
    /// Why it ended.
    pub cause: Cause,
}

/// Carries bytes both ways until both ends have closed, or no byte came for `idle`, or `drain` is
/// ready. A half-closed tunnel goes on in the other direction.
///
/// Where forebay ends a WebSocket, each end gets a Close frame behind the frame that is on its way:
/// 1001 (going away) after silence, 1012 (service restart) at a drain (RFC 6455 §7.4.1 and IANA's
/// registry of close codes). Then each has a second for its own Close frame. A frame whose end does
/// not come within a second is cut, and so are other protocols.
///
/// # Cancel safety
///
/// Dropping the future closes both connections.
pub async fn carry<C, A>(
    client: End<C>,
    application: End<A>,
    protocol: Protocol,
    idle: Duration,
    drain: impl Future<Output = ()>,
) -> Carried
where
    C: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    let frames = |sender| (protocol == Protocol::WebSocket).then(|| Frames::new(sender));
    let mut tunnel = Tunnel {
        to_client: Way::new(application.early, frames(Sender::Application)),
        to_application: Way::new(client.early, frames(Sender::Client)),
        client: client.stream,
        application: application.stream,
        first: None,
    };
    let cause = tunnel.run(idle, drain).await;
    match cause {
        Cause::Client | Cause::Application => {}
        Cause::Idle => tunnel.close(GOING_AWAY).await,
        Cause::Drain => tunnel.close(SERVICE_RESTART).await,
    }
    let (to_client, to_application) = (tunnel.to_client.carried, tunnel.to_application.carried);
    Carried { to_client, to_application, cause }
}

struct Tunnel<C, A> {
    client: C,
    application: A,
    to_client: Way,
    to_application: Way,
    /// Who was the first to close.
    first: Option<Cause>,
}

impl<C, A> Tunnel<C, A>
where
    C: AsyncRead + AsyncWrite + Unpin,
    A: AsyncRead + AsyncWrite + Unpin,
{
    /// Carries until both ends have closed or forebay has a reason to.
    async fn run(&mut self, idle: Duration, drain: impl Future<Output = ()>) -> Cause {
        let mut drain = pin!(drain);
        let mut last_byte = Instant::now();
        let mut alarm = pin!(sleep_until(last_byte + idle));
        let end = poll_fn(|cx| {
            if self.poll(cx) {
                last_byte = Instant::now();
            }
            if let Some(first) = self.first
                && self.to_client.is_over()
                && self.to_application.is_over()
            {
                return Poll::Ready(first);
            }
            if drain.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Cause::Drain);
            }
            // Moving the alarm at each byte would cost more than looking again when it rings.
            while alarm.as_mut().poll(cx).is_ready() {
                let until = last_byte + idle;
                if until <= Instant::now() {
                    return Poll::Ready(Cause::Idle);
                }
                alarm.as_mut().reset(until);
            }
            Poll::Pending
        });
        end.await
    }

    /// Ends a WebSocket in order, as far as both ends let it.
    async fn close(&mut self, code: u16) {
        if !self.to_client.may_close() || !self.to_application.may_close() {
            return;
        }
        // RFC 6455 §5.3: a key that nobody can foresee.
        let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
        self.to_client.close(close(code, None));
        self.to_application.close(close(code, Some([a, b, c, d])));
        let told = timeout(FRAME_END, self.until(Way::is_closed)).await;
        if told.is_ok() {
            // Who does not answer is cut all the same.
            drop(timeout(HANDSHAKE, self.until(Way::is_done)).await);
        }
    }

    /// Carries until both ways have come so far.
    async fn until(&mut self, is_reached: fn(&Way) -> bool) {
        poll_fn(|cx| {
            self.poll(cx);
            let is_reached = is_reached(&self.to_client) && is_reached(&self.to_application);
            if is_reached { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Carries what can be carried now; returns whether a byte moved.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let down = self.to_client.poll(cx, &mut self.application, &mut self.client);
        let up = self.to_application.poll(cx, &mut self.client, &mut self.application);
        // A connection that is gone takes nothing either.
        if self.to_client.source == Source::Gone {
            self.to_application.lose_sink();
        }
        if self.to_application.source == Source::Gone {
            self.to_client.lose_sink();
        }
        if self.first.is_none() {
            self.first = if self.to_application.is_source_done() || self.to_client.is_sink_gone {
                Some(Cause::Client)
            } else if self.to_client.is_source_done() || self.to_application.is_sink_gone {
                Some(Cause::Application)
            } else {
                None
            };
        }
        down || up
    }
}

/// The end that did nothing wrong is told that the server goes away (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

/// The server restarts; the client may come back (IANA, WebSocket Close Code Number Registry).
const SERVICE_RESTART: u16 = 1012;

/// How long the end of a frame that is on its way is waited for: App Service leaves 5 s for all.
const FRAME_END: Duration = Duration::from_secs(1);

/// How long both ends may take over their own Close frames.
const HANDSHAKE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
