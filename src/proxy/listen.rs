//! Step 1, first half: accepts connections and hands each to a data thread.
//!
//! Owns: the accept loop, the connection limit, which thread serves a connection, its end.
//! Must not know: what a request means.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::connection::{self, Settings, last_call};
use super::{Gateway, respond};
use crate::code::Code;
use crate::telemetry::{Counters, Record};

/// A connection on its way to another thread, which has to register it anew.
pub type Handed = (std::net::TcpStream, SocketAddr);

/// Another data thread, as the accepting thread knows it.
#[derive(Debug)]
pub struct Colleague {
    /// Takes connections.
    pub sender: mpsc::Sender<Handed>,
    /// How many it has.
    pub open: Arc<AtomicU64>,
}

/// A data thread's own share.
#[derive(Debug)]
pub struct Share {
    /// What its requests meet.
    pub gateway: Arc<Gateway>,
    /// What its connections obey.
    pub settings: Settings,
    /// How many connections it has.
    pub open: Arc<AtomicU64>,
}

/// So many connections may wait for a thread to register them.
pub const HANDED_LIMIT: usize = 64;

/// After a failure to accept: the cause, too many open files as a rule, needs time to pass.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Counts a connection as long as it lives.
struct Counted {
    open: Arc<AtomicU64>,
    counters: Arc<Counters>,
    _alive: mpsc::Sender<()>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Accepts until forebay stops, serves its share, and returns when all its connections have ended.
pub async fn accept(
    listener: TcpListener,
    connection_limit: u64,
    share: Share,
    colleagues: Vec<Colleague>,
) {
    let (alive, mut all_gone) = mpsc::channel(1);
    let counters = Arc::clone(&share.gateway.reporter.counters);
    let gateway = Arc::clone(&share.gateway);
    let farewells = Arc::new(Semaphore::new(FAREWELLS));
    let mut last_call = pin!(last_call(&gateway.readiness));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut last_call => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                if counters.connections.load(Ordering::Relaxed) >= connection_limit {
                    turn_away(stream, peer, &share.gateway, &farewells);
                } else if let Some(stream) = hand_over(stream, peer, &share, &colleagues) {
                    share.serve(stream, peer, alive.clone());
                }
            }
            Err(why) => {
                tracing::warn!(%why, "a connection could not be accepted");
                sleep(AFTER_FAILURE).await;
            }
        }
    }
    drop((listener, colleagues, alive));
    // Nothing is ever sent: it ends when the last connection does.
    all_gone.recv().await;
    gateway.upstream.errands_ended().await;
}

/// Serves what the accepting thread hands over, until that stops and all connections have ended.
pub async fn take_over(mut handed: mpsc::Receiver<Handed>, share: Share) {
    let (alive, mut all_gone) = mpsc::channel(1);
    while let Some((stream, peer)) = handed.recv().await {
        match TcpStream::from_std(stream) {
            Ok(stream) => share.serve(stream, peer, alive.clone()),
            Err(why) => {
                share.open.fetch_sub(1, Ordering::Relaxed);
                share.gateway.reporter.counters.connections.fetch_sub(1, Ordering::Relaxed);
                tracing::warn!(%why, "a connection could not be handed over");
            }
        }
    }
    drop(alive);
    all_gone.recv().await;
    share.gateway.upstream.errands_ended().await;
}

impl Share {
    /// Serves a connection, which is counted already, in a task of its own.
    fn serve(&self, stream: TcpStream, peer: SocketAddr, alive: mpsc::Sender<()>) {
        let counters = Arc::clone(&self.gateway.reporter.counters);
        let counted = Counted { open: Arc::clone(&self.open), counters, _alive: alive };
        let (gateway, settings) = (Arc::clone(&self.gateway), self.settings);
        tokio::spawn(async move {
            let Ok(local) = stream.local_addr() else { return };
            // An answer's last packet must not wait for the client's acknowledgement.
            if stream.set_nodelay(true).is_ok() {
                connection::serve(stream, (peer, local), gateway, settings).await;
            }
            drop(counted);
        });
    }
}

/// Gives a connection to the thread with the fewest; returns it when that is this one.
///
/// Front ends hold few connections for long, so that taking turns would leave them uneven.
fn hand_over(
    stream: TcpStream,
    peer: SocketAddr,
    share: &Share,
    colleagues: &[Colleague],
) -> Option<TcpStream> {
    let counters = &share.gateway.reporter.counters;
    counters.connections.fetch_add(1, Ordering::Relaxed);
    let own = share.open.load(Ordering::Relaxed);
    let least = colleagues
        .iter()
        .map(|colleague| (colleague.open.load(Ordering::Relaxed), colleague))
        // One whose hand is full is passed over: only this thread fills it.
        .filter(|(open, colleague)| *open < own && colleague.sender.capacity() > 0)
        .min_by_key(|(open, _)| *open);
    let Some((_, colleague)) = least else {
        share.open.fetch_add(1, Ordering::Relaxed);
        return Some(stream);
    };
    colleague.open.fetch_add(1, Ordering::Relaxed);
    let handed = stream.into_std().map(|stream| colleague.sender.try_send((stream, peer)));
    if !matches!(handed, Ok(Ok(()))) {
        colleague.open.fetch_sub(1, Ordering::Relaxed);
        counters.connections.fetch_sub(1, Ordering::Relaxed);
        tracing::warn!("a connection was closed: its data thread takes no more");
    }
    None
}

/// Answers 503 without waiting for a request. A few at a time are also listened to for a moment, so
/// that closing does not destroy the answer; beyond them, a client may see a reset.
fn turn_away(stream: TcpStream, peer: SocketAddr, gateway: &Gateway, places: &Arc<Semaphore>) {
    let code = Code::TooManyConnections;
    let cause = "--connection-limit is reached".to_owned();
    gateway.reporter.report(&Record::unread(peer, code, cause), Instant::now());
    let words = respond::last_words(code);
    match Arc::clone(places).try_acquire_owned() {
        Ok(place) => {
            tokio::spawn(async move {
                connection::say_goodbye(stream, &words).await;
                drop(place);
            });
        }
        // The words are short and the socket's buffer is empty: it takes them or is gone.
        Err(_) => drop(stream.try_write(&words)),
    }
}

/// So many clients over the connection limit are listened to at once.
const FAREWELLS: usize = 64;
