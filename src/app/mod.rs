//! Builds every part from the configuration and runs them: the order of start, the order of drain.
//!
//! Owns: threads, runtimes, the two orders.
//! Must not know: how any part works. It holds no decision of its own.

mod bind;
mod leg;
mod look;
mod own;
mod parts;
mod signals;
mod timeline;
pub mod turns;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::admin;
use crate::config::Config;
use crate::launch;
use crate::postgres_tls::{self, Leg};
use crate::proxy::Witness;
use crate::proxy::assets::Keeper;
use crate::proxy::body::Reporter;
use crate::proxy::listen::{self, Colleague, HANDED_LIMIT, Handed, Share};
use crate::proxy::upstream::{Asker, Common};
use crate::readiness::{Phase, Reason};
use crate::supervise::{self, Crew, Program, Role, Sink};
use crate::telemetry::{self, Counters, Output};
use parts::Shared;
use signals::Order;

pub use bind::bind;
pub use leg::run as run_tunnel;
pub use signals::Signals;

/// Why forebay cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The listening socket could not be bound.
    #[error("cannot listen on {address}, set by {origin}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Where it comes from.
        origin: String,
        /// What the system said.
        source: io::Error,
    },
    /// A thread, a runtime or a signal handler could not be had.
    #[error("the system gives no {what}")]
    System {
        /// What was wanted.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The admin address that was chosen cannot be had.
    #[error(transparent)]
    Admin(#[from] admin::Error),
    /// The children cannot go on.
    #[error(transparent)]
    Children(#[from] supervise::Error),
    /// There is no leg to the PostgreSQL server.
    #[error(transparent)]
    Postgres(#[from] postgres_tls::Error),
}

impl Error {
    /// The exit code: that of the child, where it is one's fault.
    pub fn code(&self) -> u8 {
        match self {
            Self::Listen { .. } | Self::System { .. } | Self::Admin(_) | Self::Postgres(_) => 1,
            Self::Children(why) => why.code(),
        }
    }

    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::Listen { address, source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                format!(
                    "end what listens on port {} already, or set --listen to the port that the \
                     platform probes",
                    address.port()
                )
            }
            Self::Listen { .. } => {
                "set --listen to an address of this machine and a port of 1024 or above".to_owned()
            }
            Self::Admin(why) => why.mend(),
            Self::Children(why) => why.mend(),
            Self::Postgres(why) => why.mend(),
            Self::System { .. } => "raise the limits of the container (ulimit, pids)".to_owned(),
        }
    }
}

/// How forebay ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// In order.
    Drained,
    /// Connections were cut, at the drain deadline or by a second signal.
    Cut,
}

/// Runs `forebay proxy` until it is told to stop, with the PostgreSQL leg beside it if there is one.
///
/// # Errors
///
/// [`Error`] when it cannot start.
pub fn run(config: &Config, witness: Option<Arc<Witness>>) -> Result<End, Error> {
    let signals = Signals::catch(false)?;
    let listener = bind(config)?;
    let leg = config.postgres.as_ref().map(|leg| Leg::bind(leg, false)).transpose()?;
    let (programs, announce) = (vec![], || {});
    let site = Site { listener, programs, release: None, announce, signals, leg };
    run_with(config, witness, site)
}

/// What `forebay run` has beside the proxy.
#[derive(Debug)]
pub struct Site<A> {
    /// The public port.
    pub listener: std::net::TcpListener,
    /// What is to be started.
    pub programs: Vec<Program>,
    /// With whom the release command takes turns, if there is one.
    pub release: Option<turns::Wish>,
    /// Says what was found out before there was a log.
    pub announce: A,
    /// The signals, caught before the port was taken.
    pub signals: Signals,
    /// The leg to the PostgreSQL server: it serves before anything is started, and ends last.
    pub leg: Option<Leg>,
}

/// Runs `forebay run` until it is told to stop, or a child that it needs is lost; no child is left
/// then.
///
/// # Errors
///
/// [`Error`] when it cannot start, and [`Error::Children`].
pub fn run_site(config: &Config, site: Site<impl FnOnce()>) -> Result<End, Error> {
    run_with(config, None, site)
}

fn run_with(
    config: &Config,
    witness: Option<Arc<Witness>>,
    site: Site<impl FnOnce()>,
) -> Result<End, Error> {
    let Site { listener, programs, release, announce, signals, leg } = site;
    let (output, writer) = Output::start(io::stdout())
        .map_err(|source| Error::System { what: "log thread", source })?;
    telemetry::install(config.log, &output);
    let control = runtime()?;
    let reporter = Reporter { output, log: config.log, counters: Arc::new(Counters::new()) };
    let shared = Shared::new(config, reporter, witness);
    let listening = listener.local_addr().unwrap_or(config.listen);
    config.announce(listening);
    announce();
    let door = admin::open(&config.admin, listening.port())?;
    let leg = leg.map(Leg::start).transpose()?;
    let finished = start_threads(config, &shared, listener)?;
    let end = control.block_on(async {
        if let Some(door) = &door {
            tokio::spawn(admin::serve(door, shared.look.clone()));
        }
        let end = attend(config, &shared, finished, (programs, release, signals)).await;
        leg::end_last(leg).await;
        end
    });
    tell_the_end(&shared, end.as_ref().is_ok_and(|end| *end == End::Drained));
    drop(writer);
    // The threads that are left, if any, end with the process: a share that hangs must not hold it.
    control.shutdown_background();
    end
}

fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|source| Error::System { what: "runtime", source })
}

/// Starts the data threads; the receiver ends when all of them have.
fn start_threads(
    config: &Config,
    shared: &Shared,
    listener: std::net::TcpListener,
) -> Result<mpsc::Receiver<()>, Error> {
    let (finished, all_finished) = mpsc::channel(1);
    let mut colleagues = Vec::new();
    for _ in 1..config.threads.get() {
        let (sender, handed) = mpsc::channel(HANDED_LIMIT);
        let open = Arc::new(AtomicU64::new(0));
        colleagues.push(Colleague { sender, open: Arc::clone(&open) });
        let share = shared.share(config, open);
        start_thread(finished.clone(), Job::TakeOver(handed), share)?;
    }
    let share = shared.share(config, Arc::new(AtomicU64::new(0)));
    let job = Job::Accept(listener, config.connection_limit, colleagues);
    start_thread(finished, job, share)?;
    Ok(all_finished)
}

/// What a data thread does.
enum Job {
    Accept(std::net::TcpListener, u64, Vec<Colleague>),
    TakeOver(mpsc::Receiver<Handed>),
}

fn start_thread(finished: mpsc::Sender<()>, job: Job, share: Share) -> Result<(), Error> {
    let runtime = runtime()?;
    let work = move || {
        runtime.block_on(async {
            tokio::spawn(Arc::clone(&share.gateway.upstream).sweep());
            match job {
                Job::Accept(listener, limit, colleagues) => match TcpListener::from_std(listener) {
                    Ok(listener) => listen::accept(listener, limit, share, colleagues).await,
                    Err(why) => tracing::error!(%why, "the listener cannot be used"),
                },
                Job::TakeOver(handed) => listen::take_over(handed, share).await,
            }
        });
        drop(finished);
    };
    std::thread::Builder::new()
        .name("forebay-data".to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|source| Error::System { what: "data thread", source })
}

/// Finds out readiness, and keeps the children, until a signal comes or a child is lost; then drains.
async fn attend(
    config: &Config,
    shared: &Shared,
    mut finished: mpsc::Receiver<()>,
    (programs, release, mut signals): (Vec<Program>, Option<turns::Wish>, Signals),
) -> Result<End, Error> {
    let sink = Sink { output: Arc::clone(&shared.reporter.output), format: config.log.format };
    let readiness = &shared.common.readiness;
    if programs.iter().any(|program| program.role == Role::Release) {
        readiness.set(Phase::Starting(Reason::Releasing));
    }
    let mut crew = if programs.is_empty() {
        Crew::nobody()
    } else {
        let turn = turns::turn(release, Arc::clone(readiness), Arc::clone(&shared.release));
        Crew::start(programs, turn, config.supervise, (sink, Arc::clone(&shared.roster)))?
    };
    // These end with the runtime.
    tokio::spawn(Arc::clone(&shared.timeline).follow(Arc::clone(readiness)));
    tokio::spawn(Keeper::new(Arc::clone(&shared.assets)).run());
    let (questions, upstream) = (config.questions.clone(), config.upstream.clone());
    let asker = Asker::new(questions, upstream, Arc::clone(&shared.common.pulse));
    let asker = asker.beside(crew.liveness());
    // Until the release command has succeeded there is nobody to ask.
    let released = crew.released();
    let mut asking = std::pin::pin!(async {
        released.await;
        asker.run(readiness).await;
    });
    let cause = loop {
        tokio::select! {
            () = &mut asking => {}
            order = signals.next() => match order {
                Order::Reload => crew.reload(launch::reloads_at_hang_up),
                Order::Stop => break Cause::Told,
            },
            why = crew.failed() => break Cause::Child(why),
            _ = finished.recv() => break Cause::Thread,
        }
    };
    let deadline = config.drain_deadline;
    match &cause {
        Cause::Told => tracing::info!(deadline_ms = deadline.as_millis(), "told to stop: draining"),
        Cause::Child(why) => tracing::error!(%why, mend = why.mend(), "cannot go on: draining"),
        // It has said why.
        Cause::Thread => {}
    }
    readiness.set(Phase::Draining);
    let end = tokio::select! {
        is_drained = drain(deadline, &mut finished, &mut crew) => {
            if is_drained { End::Drained } else { End::Cut }
        }
        () = signals.stop() => End::Cut,
    };
    crew.kill();
    crew.gone().await;
    match cause {
        Cause::Told => Ok(end),
        Cause::Child(why) => Err(why.into()),
        Cause::Thread => Ok(End::Cut),
    }
}

/// Why forebay ends.
enum Cause {
    /// By a signal.
    Told,
    /// A child is lost.
    Child(supervise::Error),
    /// A data thread could not work at all.
    Thread,
}

/// Lets requests end and then the application, all within the deadline; returns whether all did.
///
/// Workers are told at once. The application is told when no request is left, or so early that it
/// can still end what it has begun.
async fn drain(deadline: Duration, finished: &mut mpsc::Receiver<()>, crew: &mut Crew) -> bool {
    let end = Instant::now() + deadline;
    crew.stop_others();
    let is_early = timeout_at(end - RESERVE.min(deadline / 4), finished.recv()).await.is_ok();
    crew.stop_all();
    let is_drained = is_early || timeout_at(end, finished.recv()).await.is_ok();
    timeout_at(end, crew.gone()).await.is_ok() && is_drained
}

/// The last line of the log: what was done, and each code that was given.
fn tell_the_end(shared: &Shared, is_drained: bool) {
    let counters = &shared.reporter.counters;
    let codes: Vec<_> =
        counters.codes().map(|(code, count)| format!("{} {count}", code.id())).collect();
    let requests = counters.requests.load(Ordering::Relaxed);
    let Common { queue, pulse, .. } = &shared.common;
    let (queued, held, repeated) = (queue.queued(), queue.held(), pulse.repeats());
    let codes = codes.join(", ");
    if is_drained {
        tracing::info!(requests, codes, queued, held, repeated, "stopped");
    } else {
        let open = counters.connections.load(Ordering::Relaxed);
        tracing::warn!(
            requests,
            codes,
            queued,
            held,
            repeated,
            cut_connections = open,
            "stopped before all had ended"
        );
    }
}

/// The most of the drain deadline that is kept for the application's own end.
const RESERVE: Duration = Duration::from_secs(1);

/// The threads of each runtime for what blocks: looking up names, reading and writing files. They end
/// when they are idle. A share that hangs keeps one for each read that was given up.
const BLOCKING_THREADS: usize = 128;
