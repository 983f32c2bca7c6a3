//! Builds every part from the configuration and runs them: the order of start, the order of drain.
//!
//! Owns: threads, runtimes, signals, the two orders.
//! Must not know: how any part works. It holds no decision of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::config::Config;
use crate::proxy::body::Reporter;
use crate::proxy::compress::Compressor;
use crate::proxy::intake::Intake;
use crate::proxy::listen::{self, Colleague, HANDED_LIMIT, Handed, Share};
use crate::proxy::normalise::Normaliser;
use crate::proxy::upstream::{Asker, Common, Upstream};
use crate::proxy::{Gateway, Witness};
use crate::readiness::Phase;
use crate::telemetry::{self, Counters, Output};

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
}

impl Error {
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

/// The parts that all data threads share.
#[derive(Debug)]
struct Shared {
    normaliser: Arc<Normaliser>,
    common: Common,
    compressor: Arc<Compressor>,
    reporter: Reporter,
    witness: Option<Arc<Witness>>,
}

/// Runs `forebay proxy` until it is told to stop.
///
/// # Errors
///
/// [`Error`] when it cannot start.
pub fn run(config: &Config, witness: Option<Arc<Witness>>) -> Result<End, Error> {
    let (output, writer) = Output::start(io::stdout())
        .map_err(|source| Error::System { what: "log thread", source })?;
    telemetry::install(config.log, &output);
    let control = runtime()?;
    let listener = control.block_on(async { bind(config) })?;
    let reporter = Reporter { output, log: config.log, counters: Arc::new(Counters::new()) };
    let shared = Shared {
        normaliser: Arc::new(Normaliser::new(config.normalise.clone())),
        common: Common::new(config.queue, config.spool.clone()),
        compressor: Arc::new(Compressor::new(config.compress)),
        reporter,
        witness,
    };
    config.announce(listener.local_addr().unwrap_or(config.listen));
    let finished = start_threads(config, &shared, listener)?;
    let end = control.block_on(supervise(config, &shared, finished))?;
    tell_the_end(&shared, end);
    drop(writer);
    // The threads that are left, if any, end with the process.
    Ok(end)
}

fn runtime() -> Result<Runtime, Error> {
    Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|source| Error::System { what: "runtime", source })
}

/// Binds the public port, within a runtime. A restart must not wait for old connections to be forgotten.
fn bind(config: &Config) -> Result<std::net::TcpListener, Error> {
    let address = config.listen;
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)?.into_std()
    };
    bind().map_err(|source| {
        let origin = config.origin_of("listen");
        Error::Listen { address, origin, source }
    })
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
        let share = share(config, shared, open);
        start_thread(finished.clone(), Job::TakeOver(handed), share)?;
    }
    let share = share(config, shared, Arc::new(AtomicU64::new(0)));
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

fn share(config: &Config, shared: &Shared, open: Arc<AtomicU64>) -> Share {
    let gateway = Gateway {
        normaliser: Arc::clone(&shared.normaliser),
        routes: Arc::new(config.routes.clone()),
        probes: config.probes,
        intake: Intake::new(config.intake.clone(), Arc::clone(&shared.common.stores)),
        upstream: Arc::new(Upstream::new(config.upstream.clone(), shared.common.clone())),
        send_file: Arc::new(config.send_file.clone()),
        compressor: Arc::clone(&shared.compressor),
        readiness: Arc::clone(&shared.common.readiness),
        reporter: shared.reporter.clone(),
        witness: shared.witness.clone(),
    };
    Share { gateway: Arc::new(gateway), settings: config.connection, open }
}

/// Finds out readiness until a signal comes, then drains.
async fn supervise(
    config: &Config,
    shared: &Shared,
    mut finished: mpsc::Receiver<()>,
) -> Result<End, Error> {
    let no_signals = |source| Error::System { what: "signal handler", source };
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let (questions, upstream) = (config.questions.clone(), config.upstream.clone());
    let asker = Asker::new(questions, upstream, Arc::clone(&shared.common.pulse));
    tokio::select! {
        () = asker.run(&shared.common.readiness) => {}
        () = either(&mut terminate, &mut interrupt) => {}
        // Only when a thread could not work at all.
        _ = finished.recv() => return Ok(End::Cut),
    }
    let deadline = config.drain_deadline;
    tracing::info!(deadline_ms = deadline.as_millis(), "told to stop: draining");
    shared.common.readiness.set(Phase::Draining);
    let drained = timeout(deadline, finished.recv());
    Ok(tokio::select! {
        drained = drained => if drained.is_ok() { End::Drained } else { End::Cut },
        () = either(&mut terminate, &mut interrupt) => End::Cut,
    })
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The last line of the log: what was done, and each code that was given.
fn tell_the_end(shared: &Shared, end: End) {
    let counters = &shared.reporter.counters;
    let codes: Vec<_> =
        counters.codes().map(|(code, count)| format!("{} {count}", code.id())).collect();
    let requests = counters.requests.load(Ordering::Relaxed);
    let Common { queue, pulse, .. } = &shared.common;
    let (queued, held, repeated) = (queue.queued(), queue.held(), pulse.repeats());
    let codes = codes.join(", ");
    match end {
        End::Drained => tracing::info!(requests, codes, queued, held, repeated, "stopped"),
        End::Cut => {
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
}

/// The threads of each runtime for what blocks: looking up names, reading and writing files. They end
/// when they are idle. A share that hangs keeps one for each read that was given up.
const BLOCKING_THREADS: usize = 128;

/// Connections that the system may hold until they are accepted.
const BACKLOG: u32 = 4096;
