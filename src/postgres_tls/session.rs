//! One client, from its first byte to the end of its connection.
//!
//! Owns: the order of the steps, what is counted.
//! Must not know: how a step works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::carry::carry;
use super::client::{self, Opening};
use super::message::{self, HEAD};
use super::server::{Server, Stream};
use super::trouble::{Teller, Trouble, plain};
use crate::socket::Socket;

/// What is counted; each starts at zero.
#[derive(Debug, Default)]
pub struct Counters {
    /// Sessions that are open now.
    pub open: AtomicUsize,
    /// Sessions that have begun.
    pub opened: AtomicU64,
    /// Sessions and cancels that did not come to be.
    pub failed: AtomicU64,
    /// Cancels that were passed on.
    pub cancels: AtomicU64,
    /// Bytes to clients.
    pub to_clients: AtomicU64,
    /// Bytes to the server, without TLS.
    pub to_server: AtomicU64,
}

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: Server,
    /// The most sessions at once.
    pub(super) limit: usize,
    pub(super) counters: Arc<Counters>,
    pub(super) teller: Teller,
    /// Whether no session begins any more.
    pub(super) is_stopping: AtomicBool,
    /// Whether a user of the form `user@server` was warned of.
    pub(super) has_warned_of_user: AtomicBool,
}

/// A place among the sessions. Dropping it gives it back.
struct Place<'a>(&'a Counters);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    /// Serves a client.
    pub(super) async fn serve(&self, mut client: Socket) {
        let result = match client::opening(&mut client, OPENING_DEADLINE).await {
            Ok(None) => return,
            Ok(Some(Opening::Cancel(packet))) => self.cancel(&packet).await,
            Ok(Some(Opening::Session(packet))) => {
                self.look_at_user(&packet);
                match self.begin(&packet).await {
                    Ok((server, place)) => {
                        self.carry(client, server).await;
                        drop(place);
                        return;
                    }
                    Err(why) => Err(why),
                }
            }
            Err(why) => Err(why),
        };
        if let Err(why) = result {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            self.teller.tell(&why);
            if why.is_for_the_client() {
                client::refuse(&mut client, &why).await;
            }
        }
    }

    /// Begins a session with the server.
    async fn begin(&self, packet: &[u8]) -> Result<(Stream, Place<'_>), Trouble> {
        // Made first, so that it gives back what it took.
        let place = Place(&self.counters);
        if self.counters.open.fetch_add(1, Ordering::Relaxed) >= self.limit {
            return Err(Trouble::Full { limit: self.limit });
        }
        if self.is_stopping.load(Ordering::Relaxed) {
            return Err(Trouble::Stopping);
        }
        Ok((self.say(packet).await?, place))
    }

    /// Connects and sends the first packet.
    async fn say(&self, packet: &[u8]) -> Result<Stream, Trouble> {
        let mut server = self.server.connect().await?;
        let send = async {
            server.write_all(packet).await?;
            server.flush().await
        };
        send.await.map_err(|source| Trouble::Broke {
            server: self.server.target.to_string(),
            what: "the session began",
            source,
        })?;
        Ok(server)
    }

    async fn carry(&self, client: Socket, server: Stream) {
        let counters = &self.counters;
        counters.opened.fetch_add(1, Ordering::Relaxed);
        let first = |bytes: &[u8]| {
            // The client is told by the server itself.
            if message::sqlstate(bytes) == Some("53300") {
                let server = self.server.target.to_string();
                self.teller.tell(&Trouble::ServerFull { server });
            }
        };
        let ways = (&counters.to_clients, &counters.to_server);
        let end = carry(client, server, ways, first).await;
        tracing::debug!(ended_by = end.as_str(), "a session with PostgreSQL ended");
    }

    /// Passes a cancel on and waits until the server has closed, by which the client knows that it was
    /// obeyed or not: nothing else is said.
    async fn cancel(&self, packet: &[u8]) -> Result<(), Trouble> {
        let mut server = self.say(packet).await?;
        self.counters.cancels.fetch_add(1, Ordering::Relaxed);
        // Whatever the end is like, there is nothing to tell.
        let mut nothing = [0; 64];
        let gone = async { while matches!(server.read(&mut nothing).await, Ok(1..)) {} };
        drop(timeout(CANCEL_DEADLINE, gone).await);
        Ok(())
    }

    /// Warns once of `user@server`, which Single Server wanted and Flexible Server refuses. Other
    /// names may have an `@`: those of Entra users are mail addresses.
    fn look_at_user(&self, packet: &[u8]) {
        let user = packet.get(HEAD..).and_then(message::user).unwrap_or_default();
        let user = String::from_utf8_lossy(user);
        let host = &self.server.target.host;
        let label = host.split('.').next().unwrap_or_default();
        let Some((bare, server)) = user.rsplit_once('@') else { return };
        let is_old = server.eq_ignore_ascii_case(label) || server.eq_ignore_ascii_case(host);
        if is_old && !self.has_warned_of_user.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                user = plain(&user),
                mend = format!("let the user be `{}` alone", plain(bare)),
                "the user's name has the server in it, which Flexible Server does not know"
            );
        }
    }
}

/// How long a client may take to say what it wants; there is nothing in between for which it must
/// wait.
const OPENING_DEADLINE: Duration = Duration::from_secs(10);

/// How long a server may take to close when it has got a cancel.
const CANCEL_DEADLINE: Duration = Duration::from_secs(10);
