//! The PostgreSQL leg: programs of this machine speak to it in the clear, it speaks TLS to the server.
//!
//! Owns: its settings, its thread, its start and its end (decision 23).
//! Must not know: HTTP, SQL, who the programs are.
//!
//! It has a thread of its own, so that a COPY disturbs neither requests nor children.

mod message;
mod client;
mod session;
mod server;
mod reach;
mod trust;
mod trouble;
mod wide;
mod carry;
mod shelf;
mod place;
pub mod variables;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use place::{Place, socket_port};
pub use session::Counters;
pub use trust::Believed;

use crate::tls;
use place::{Bound, Listener};
use server::Server;
use session::Shared;
use trouble::Teller;

/// PostgreSQL's port.
pub const PORT: u16 = 5432;

/// A server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    /// A name or an IP address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Negotiation {
    /// PostgreSQL's own request comes first.
    Postgres,
    /// At once, which PostgreSQL 17 and later understand; a round trip less.
    Direct,
}

/// What the leg obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server.
    pub server: Target,
    /// Where programs find the leg; nothing for a port of 127.0.0.1, the server's own number if it is
    /// free.
    pub listen: Option<Place>,
    /// Which server is believed.
    pub believed: Believed,
    /// The name that its certificate must have.
    pub name: ServerName<'static>,
    /// How TLS begins.
    pub negotiation: Negotiation,
    /// The most sessions at once.
    pub limit: usize,
    /// How long connecting may take, with the look-up and TLS.
    pub connect_deadline: Duration,
    /// Whether the variables that name the server are to name the leg for those who are started.
    pub changes_variables: bool,
}

/// Why there is no leg.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place cannot be had.
    #[error("cannot listen on {place} for PostgreSQL")]
    Listen {
        /// The place.
        place: Place,
        /// What the system said.
        source: io::Error,
    },
    /// No server could be believed.
    #[error("cannot tell which PostgreSQL server to believe")]
    Trust(#[from] tls::Error),
    /// A thread or a runtime could not be had.
    #[error("the system gives no {what} for PostgreSQL")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::Listen { place, source } if source.kind() == io::ErrorKind::AddrInUse => {
                format!("end what listens on {place}, or choose another --postgres-listen")
            }
            Self::Listen { .. } => {
                "set --postgres-listen to a port of 127.0.0.1, or to a unix socket in a directory \
                 that is there and may be written to"
                    .to_owned()
            }
            Self::Trust(_) => {
                "give --postgres-ca files with certificates in PEM form, and at least one with \
                 --postgres-ca-only on"
                    .to_owned()
            }
            Self::System { .. } => "raise the limits of the container (ulimit, pids)".to_owned(),
        }
    }
}

/// The leg, listening: clients can connect, and wait.
#[derive(Debug)]
pub struct Leg {
    bound: Bound,
    shared: Shared,
}

/// How far the end has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Run,
    Drain,
    Cut,
}

impl Leg {
    /// Makes ready and listens; where no place is named and the server's own port is taken, at any
    /// other port of 127.0.0.1 if `may_choose`, which is for those who can tell it to everybody.
    ///
    /// # Errors
    ///
    /// [`Error::Listen`] and [`Error::Trust`].
    pub fn bind(settings: &Settings, may_choose: bool) -> Result<Self, Error> {
        let tls = Arc::new(trust::client(&settings.believed)?);
        let bound = match &settings.listen {
            Some(place) => listen(place),
            None if may_choose => {
                listen(&loopback(settings.server.port)).or_else(|_| listen(&loopback(0)))
            }
            None => listen(&loopback(settings.server.port)),
        }?;
        let server = Server {
            target: settings.server.clone(),
            name: settings.name.clone(),
            negotiation: settings.negotiation,
            deadline: settings.connect_deadline,
            tls,
        };
        let shared = Shared {
            server,
            limit: settings.limit,
            counters: Arc::default(),
            teller: Teller::default(),
            is_stopping: AtomicBool::new(false),
            has_warned_of_user: AtomicBool::new(false),
        };
        Ok(Self { bound, shared })
    }

    /// Where it listens.
    pub fn at(&self) -> &Place {
        &self.bound.at
    }

    /// Serves clients from now on, on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`Error::System`].
    pub fn start(self) -> Result<Running, Error> {
        let failed = |what| move |source| Error::System { what, source };
        let Self { bound, shared } = self;
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(failed("runtime"))?;
        let (stage, stages) = watch::channel(Stage::Run);
        let (alive, gone) = mpsc::channel::<()>(1);
        let counters = Arc::clone(&shared.counters);
        let at = bound.at.clone();
        let listener = {
            let _context = runtime.enter();
            Listener::of(bound).map_err(failed("listener"))?
        };
        tracing::info!(
            server = %shared.server.target,
            name = %shared.server.name.to_str(),
            listens = %at,
            limit = shared.limit,
            "PostgreSQL over TLS"
        );
        let work = move || {
            runtime.block_on(run(listener, Arc::new(shared), stages));
            // A look-up that hangs must not hold the end.
            runtime.shutdown_background();
            drop(alive);
        };
        std::thread::Builder::new()
            .name("forebay-pg".to_owned())
            .spawn(work)
            .map_err(failed("thread"))?;
        Ok(Running { stage, gone, counters })
    }
}

fn listen(place: &Place) -> Result<Bound, Error> {
    place::bind(place).map_err(|source| Error::Listen { place: place.clone(), source })
}

fn loopback(port: u16) -> Place {
    Place::Tcp((std::net::Ipv4Addr::LOCALHOST, port).into())
}

/// The leg, serving clients.
#[derive(Debug)]
pub struct Running {
    stage: watch::Sender<Stage>,
    gone: mpsc::Receiver<()>,
    counters: Arc<Counters>,
}

impl Running {
    /// What it has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes no new clients and lets those that are there end; cuts them after the deadline. Returns
    /// whether none was cut.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting; those that are there go on.
    pub async fn end(&mut self, deadline: Duration) -> bool {
        self.stage.send_replace(Stage::Drain);
        if timeout(deadline, self.gone.recv()).await.is_ok() {
            return true;
        }
        self.cut().await;
        false
    }

    /// Ends all at once.
    pub async fn cut(&mut self) {
        self.stage.send_replace(Stage::Cut);
        // It has nothing left to wait for.
        drop(timeout(CUT_DEADLINE, self.gone.recv()).await);
    }
}

/// Accepts clients until the end, then waits for those that are there, or cuts them.
async fn run(listener: Listener, shared: Arc<Shared>, mut stages: watch::Receiver<Stage>) {
    let mut sessions = JoinSet::new();
    let most = shared.limit.saturating_add(SPARE);
    loop {
        while sessions.try_join_next().is_some() {}
        tokio::select! {
            accepted = listener.accept(), if sessions.len() < most => match accepted {
                Ok(client) => {
                    let shared = Arc::clone(&shared);
                    sessions.spawn(async move { shared.serve(client).await });
                }
                Err(why) => {
                    tracing::warn!(%why, "a connection for PostgreSQL was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = sessions.join_next(), if !sessions.is_empty() => {}
            _ = stages.changed() => break,
        }
    }
    // Nobody is let in any more, and the socket's file goes.
    drop(listener);
    shared.is_stopping.store(true, Ordering::Relaxed);
    while !sessions.is_empty() && *stages.borrow_and_update() != Stage::Cut {
        tokio::select! {
            Some(_) = sessions.join_next() => {}
            changed = stages.changed() => if changed.is_err() { break },
        }
    }
    let cut = shared.counters.open.load(Ordering::Relaxed);
    sessions.shutdown().await;
    let number = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let counters = &shared.counters;
    tracing::info!(
        sessions = number(&counters.opened),
        failed = number(&counters.failed),
        cancels = number(&counters.cancels),
        bytes_to_clients = number(&counters.to_clients),
        bytes_to_server = number(&counters.to_server),
        cut_sessions = cut,
        "PostgreSQL over TLS ended"
    );
}

/// So many more connections than sessions: those that are refused, that cancel, that have not begun.
const SPARE: usize = 100;

/// After an error of accept, of which the usual one is that there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long it may take to end what is not waited for.
const CUT_DEADLINE: Duration = Duration::from_secs(1);
