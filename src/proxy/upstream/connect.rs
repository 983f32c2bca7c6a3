//! Connections to the application: where it is, reaching it, keeping connections for reuse.
//!
//! Owns: the upstream address, the pool, and when a connection is too old for another request.
//! Must not know: HTTP.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::pulse::{Counted, Pulse};
use crate::socket::Socket;

/// Where the application listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Address {
    /// A host and a port.
    Tcp {
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Whether it is on this machine for certain.
    pub fn is_here(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => {
                host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
            Self::Unix(_) => true,
        }
    }

    /// Connects. A name is looked up each time, since the application may have moved. A full backlog
    /// is waited for, and a connection that is reset while it is made is made again: the caller sets
    /// the deadline.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub async fn connect(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp { host, port } => loop {
                let result = match host.parse() {
                    Ok(ip) => TcpStream::connect(SocketAddr::new(ip, *port)).await,
                    Err(_) => TcpStream::connect((host.as_str(), *port)).await,
                };
                let stream = match result {
                    // Who listened has ended with this connection in its backlog. Nothing was sent,
                    // and the next try tells whether somebody else listens.
                    Err(why) if why.kind() == io::ErrorKind::ConnectionReset => {
                        sleep(AGAIN).await;
                        continue;
                    }
                    result => result?,
                };
                // A head and its content are written at once; waiting would only delay them.
                stream.set_nodelay(true)?;
                return Ok(Socket::Tcp(stream));
            },
            Self::Unix(path) => loop {
                match UnixStream::connect(path).await {
                    // The backlog is full, for which a unix socket does not wait by itself.
                    Err(why) if why.kind() == io::ErrorKind::WouldBlock => sleep(AGAIN).await,
                    result => return result.map(Socket::Unix),
                }
            },
        }
    }
}

/// Between two tries to connect.
const AGAIN: Duration = Duration::from_millis(5);

/// One connection to the application.
#[derive(Debug)]
pub(super) struct Connection {
    /// The stream.
    pub stream: Socket,
    /// What was read and is not part of the present answer yet. While there is none, its memory is
    /// everybody's (`room`), unless it has room of its own.
    pub buffer: BytesMut,
    /// Whether it has room of its own: it has carried what is too large for the room of all.
    pub has_room: bool,
    alarm: Option<Pin<Box<Sleep>>>,
    _open: Counted,
}

impl Connection {
    /// Wraps a fresh stream, and counts it.
    pub(super) fn new(stream: Socket, pulse: &Pulse) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            has_room: false,
            alarm: None,
            _open: pulse.opened(),
        }
    }

    /// Ready when it is later than `until`.
    ///
    /// The alarm stays set for the next exchange, which moves it when it fires too early: to set one
    /// for each would cost more than the rest of what waiting costs.
    pub(super) fn poll_alarm(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if alarm.deadline() > until {
            alarm.as_mut().reset(until);
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
    }
}

/// Idle connections of one data thread, the youngest on top.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Vec<(Instant, Connection)>>,
    keep_alive: Duration,
    limit: usize,
}

impl Pool {
    /// A pool whose connections are reused until they have been idle for `keep_alive`, which must
    /// be shorter than the application's own. Zero means no reuse. Beyond `limit` idle ones they are
    /// closed: as many as may be in use at once, or a busy hour would be one of connecting.
    pub(super) fn new(keep_alive: Duration, limit: usize) -> Self {
        Self { idle: Mutex::new(Vec::new()), keep_alive, limit }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Connection)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many connections are idle.
    pub(super) fn len(&self) -> usize {
        self.idle().len()
    }

    /// Takes the youngest connection that is young enough and quiet.
    pub(super) fn take(&self, now: Instant) -> Option<Connection> {
        let oldest = now.checked_sub(self.keep_alive);
        let mut idle = self.idle();
        while let Some((since, connection)) = idle.pop() {
            if oldest.is_some_and(|oldest| since <= oldest) {
                // Those below are older still.
                idle.clear();
                return None;
            }
            if connection.stream.is_quiet() {
                return Some(connection);
            }
        }
        None
    }

    /// Gives back a connection whose answer is complete.
    pub(super) fn put(&self, connection: Connection) {
        if self.keep_alive.is_zero() || !connection.buffer.is_empty() {
            return;
        }
        let mut idle = self.idle();
        if idle.len() < self.limit {
            idle.push((Instant::now(), connection));
        }
    }

    /// Closes what is too old to be reused, so that no worker keeps a thread for it.
    pub(super) fn sweep(&self) {
        if let Some(oldest) = Instant::now().checked_sub(self.keep_alive) {
            self.idle().retain(|(since, _)| *since > oldest);
        }
    }

    /// How long a connection may be idle.
    pub(super) fn keep_alive(&self) -> Duration {
        self.keep_alive
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    #[test]
    fn loopback_and_unix_sockets_are_here() {
        let at = |host: &str| Address::Tcp { host: host.to_owned(), port: 8000 };
        for host in ["127.0.0.1", "127.8.0.1", "::1", "localhost"] {
            assert!(at(host).is_here(), "{host}");
        }
        assert!(Address::Unix("/run/app.sock".into()).is_here());
        for host in ["10.0.0.4", "0.0.0.0", "::ffff:10.0.0.4", "app", "localhost.example.com"] {
            assert!(!at(host).is_here(), "{host}");
        }
    }

    #[tokio::test]
    async fn a_restart_between_the_handshake_and_accept_is_not_seen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = Address::Tcp { host: "127.0.0.1".to_owned(), port };
        let mut connecting = pin!(address.connect());
        let first_look = std::future::poll_fn(|cx| Poll::Ready(connecting.as_mut().poll(cx))).await;
        assert!(first_look.is_pending(), "it is in the backlog now");
        // Its end resets what is in its backlog.
        drop(listener);
        let _next = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
        connecting.await.unwrap();
    }
}
