//! Step 4c: takes a request to the application and brings back its answer.
//!
//! Owns: what the legs of all data threads share, what a failure means for the client.
//! Must not know: who asks, what a probe is.

mod answer;
mod ask;
mod chunks;
mod connect;
mod delivery;
mod exchange;
mod head;
mod pulse;
pub mod queue;
mod running;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use http::header::CONNECTION;
use http::{HeaderValue, StatusCode};
use tokio::time::{Instant, timeout};

pub use answer::{Body, beside};
pub use ask::{Asker, Questions};
pub use connect::Address;
pub use exchange::Deadlines;
pub use head::{BadHead, Head, Length, read_response};
pub use pulse::Pulse;
pub use queue::Queue;

use super::answer::Answer;
use super::fields::{self, names};
use super::intake::{self, Content};
use super::proxy_protocol;
use super::spool::{self, Full, Stores};
use crate::code::Code;
use crate::readiness::Readiness;
use crate::socket::Socket;
use crate::telemetry::Times;
use connect::{Connection, Pool};
use delivery::Delivery;
use running::Errands;

/// What the upstream leg obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the application listens.
    pub address: Address,
    /// How long the application may take.
    pub deadlines: Deadlines,
    /// How long an idle connection may be reused: shorter than the application's own keep-alive.
    pub keep_alive: Duration,
    /// Whether small requests with an effect may reuse one: only before a server on this machine that
    /// leaves a request unread whose connection it closes.
    pub reuses_for_effects: bool,
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
    /// As many wait already as may.
    #[error("--queue-limit is reached")]
    QueueFull,
    /// No place in the application became free in time.
    #[error("no place in the application became free within --queue-deadline")]
    QueueDeadline,
    /// Nothing listens, and for as long as one waits for that.
    #[error("nothing listens at the upstream address")]
    NotBack {
        /// Whether nothing ever did.
        is_starting: bool,
    },
    /// Nothing listens, and its process ends again and again.
    #[error("the application's process keeps ending")]
    Dying,
    /// The connection ended before an answer.
    #[error("the application closed the connection before its answer")]
    ClosedEarly {
        /// Whether not one byte had come back.
        was_silent: bool,
        /// How much of the request it has read.
        taken: Taken,
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
    /// The request's content stopped on its way through.
    #[error(transparent)]
    Intake(intake::Error),
    /// What waits in a file cannot be read.
    #[error("what waited in the spool is lost")]
    Spool(#[source] Full),
}

/// How much of a request an application has read that ended its connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// Nothing was sent.
    Nothing,
    /// Not all of it, and too little to have begun.
    NotAll,
    /// Perhaps all of it.
    Unknown,
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
            Self::QueueFull => Code::QueueFull,
            Self::QueueDeadline => Code::QueueDeadline,
            Self::NotBack { is_starting: true } => Code::Starting,
            Self::NotBack { is_starting: false } => Code::NotBack,
            Self::Dying => Code::Dying,
            Self::Intake(why) => why.code(),
            Self::Spool(_) => Code::NoRoom,
        }
    }

    /// Whether nothing listens, as far as one can tell: not a lack of rights or of our own means.
    fn is_absence(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, NotFound};
        let Self::Connect { source, .. } = self else { return false };
        // A name that nobody knows yet has no number.
        [ConnectionRefused, NotFound, HostUnreachable, NetworkUnreachable].contains(&source.kind())
            || (source.raw_os_error().is_none() && source.kind() != io::ErrorKind::InvalidInput)
    }
}

/// What the upstream legs of all data threads share.
#[derive(Clone, Debug)]
pub struct Common {
    /// What is known from answers.
    pub pulse: Arc<Pulse>,
    /// Who may go to the application.
    pub queue: Arc<Queue>,
    /// Where content waits.
    pub stores: Arc<Stores>,
    /// Whether there is an application.
    pub readiness: Arc<Readiness>,
    /// The pools of all data threads.
    pools: Arc<Mutex<Vec<Arc<Pool>>>>,
}

impl Common {
    /// Begins with an application of which nothing is known.
    pub fn new(queue: queue::Settings, spool: spool::Settings) -> Self {
        let readiness = Arc::new(Readiness::new());
        Self {
            pulse: Arc::new(Pulse::new()),
            queue: Arc::new(Queue::new(queue, Arc::clone(&readiness))),
            stores: Stores::new(spool),
            readiness,
            pools: Arc::default(),
        }
    }

    /// How many connections to the application are idle, to be used again.
    pub fn idle(&self) -> u64 {
        let pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.iter().map(|pool| pool.len() as u64).sum()
    }
}

/// A request that is ready to travel.
#[derive(Debug)]
pub struct Outgoing<'a> {
    /// Its normal header section.
    pub head: &'a fields::Head,
    /// Its content.
    pub content: Content,
    /// Who asks, for the PROXY protocol.
    pub client: SocketAddr,
    /// The address that the client reached, for the PROXY protocol.
    pub local: SocketAddr,
    /// Whether it may change the protocol.
    pub is_upgrade: bool,
    /// Whether a person would see a page where a program waits.
    pub wants_page: bool,
}

/// What came back.
#[derive(Debug)]
pub enum Incomer {
    /// An answer.
    Answer(Answer<Body>),
    /// The application changed the protocol: the answer to pass on, then raw bytes.
    Tunnel(Answer<()>, Socket, BytesMut),
}

/// The upstream leg of one data thread.
#[derive(Debug)]
pub struct Upstream {
    settings: Settings,
    common: Common,
    pool: Arc<Pool>,
    errands: Arc<Errands>,
}

impl Upstream {
    /// An upstream leg without connections.
    pub fn new(settings: Settings, common: Common) -> Self {
        let keep_alive = match settings.proxy_protocol {
            // One client per connection: the header is read once (facts, 10.1 and trap 29).
            Some(_) => Duration::ZERO,
            None => settings.keep_alive,
        };
        let pool = Arc::new(Pool::new(keep_alive, common.queue.settings().concurrency));
        common.pools.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&pool));
        Self { settings, common, pool, errands: Arc::default() }
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

    /// Waits until no request is left whose client has gone.
    pub async fn errands_ended(&self) {
        self.errands.all_ended().await;
    }

    /// Turns a request away before its content is read, where it would be turned away afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::QueueFull`].
    pub fn admit(&self) -> Result<(), Error> {
        if self.common.queue.is_full() { Err(Error::QueueFull) } else { Ok(()) }
    }

    /// Takes a request to the application.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but [`Error::BrokenOff`], which comes from the answer's [`Body`].
    pub async fn forward(
        &self,
        outgoing: Outgoing<'_>,
        times: &mut Times,
    ) -> Result<Incomer, Error> {
        let started = Instant::now();
        let asked = outgoing.head.fields.get(&names::UPGRADE).filter(|_| outgoing.is_upgrade);
        let (running, head) = Delivery::new(self, outgoing, started).run(times).await?;
        let answered = Instant::now();
        times.first_byte = answered - started;
        self.common.pulse.answered(answered);
        let (status, fields) = (head.status, head.fields);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let is_asked = asked.is_some_and(|asked| {
                fields.get(&names::UPGRADE).is_some_and(|to| asked.eq_ignore_ascii_case(to))
            });
            return match running.into_tunnel().filter(|_| is_asked) {
                Some((stream, early)) => {
                    Ok(Incomer::Tunnel(Answer::read(status, fields, ()), stream, early))
                }
                None => Err(Error::UnaskedUpgrade),
            };
        }
        let is_early = running.awaits_client();
        let body = Body::new(running, &self.common.stores);
        let mut answer = Answer::read(status, fields, body);
        if is_early {
            // An answer before the request's end: what is left of it may never be read.
            answer.fields().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(Incomer::Answer(answer))
    }
}

/// Connects within a deadline.
async fn connect(
    address: &Address,
    deadline: Duration,
    pulse: &Pulse,
) -> Result<Connection, Error> {
    match timeout(deadline, address.connect()).await {
        Ok(Ok(stream)) => Ok(Connection::new(stream, pulse)),
        Ok(Err(source)) => Err(Error::Connect { address: address.clone(), source }),
        Err(_) => Err(Error::ConnectDeadline { address: address.clone(), deadline }),
    }
}
