//! Parts that the benchmark's own program plays in a process of its own, each told by lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

use crate::support::crowd::read_line;
use crate::support::front::Place;
use crate::support::openloop::percentile;
use crate::support::process::Process;
use crate::support::{Failure, Tried as _, leash};

/// One of this program's roles, running; it ends with its standard input.
#[derive(Debug)]
pub(crate) struct Player {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Player {
    /// Starts a role with its arguments on the CPU of the load.
    pub(crate) fn start(place: &Place, role: &str, arguments: &[String]) -> Result<Self, Failure> {
        let program = std::env::current_exe().tried("find this program")?;
        let mut command = Process::command(&program, place.load_cpu, place.files);
        command.arg(role).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().tried("start a part of the benchmark")?;
        let output = child.stdout.take().ok_or_else(|| Failure::new("a part has no output"))?;
        let input = child.stdin.take();
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    /// Its number in the system.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line it writes.
    pub(crate) fn line(&mut self) -> Result<String, Failure> {
        read_line(&mut self.output)
    }

    /// Lets it begin what it has made ready, and waits for what it tells at the end.
    pub(crate) fn play(&mut self) -> Result<Told, Failure> {
        let input = self.input.as_mut().ok_or_else(|| Failure::new("a part has no input"))?;
        writeln!(input, "{BEGIN}").tried("let a part begin")?;
        Told::parse(&self.line()?)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        drop(self.input.take());
        // It has nothing to finish.
        drop(self.child.wait());
    }
}

/// In a role: says that all is ready and waits for the word to begin.
pub(crate) fn wait_to_begin() -> Result<(), Failure> {
    tell("ready")?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).tried("wait for the word to begin")?;
    if line.trim_end() == BEGIN {
        return Ok(());
    }
    Err(Failure::new("the benchmark has ended"))
}

/// In a role: writes a line for whoever started it.
pub(crate) fn tell(line: &str) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).tried("tell the benchmark")
}

/// In a role: an argument by its place, as a number.
pub(crate) fn argument<T: std::str::FromStr>(
    arguments: &[String],
    at: usize,
) -> Result<T, Failure> {
    let text = arguments.get(at).and_then(|text| text.parse().ok());
    text.ok_or_else(|| Failure::new(format!("argument {at} of this role is missing or no number")))
}

/// In a role: what its connections run on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().tried("have a runtime")
}

/// In a role: serves connections to a port of its own, which it tells, until the benchmark ends.
pub(crate) fn play_application(accept: impl AsyncFnOnce(TcpListener)) -> Result<(), Failure> {
    let mut leash = leash();
    runtime()?.block_on(async {
        let socket = TcpSocket::new_v4().tried("have a socket")?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).tried("bind the application's port")?;
        let listener = socket.listen(4096).tried("listen as the application")?;
        let port = listener.local_addr().tried("know the application's port")?.port();
        tell(&port.to_string())?;
        tokio::select! {
            () = accept(listener) => {}
            _ = leash.recv() => {}
        }
        Ok(())
    })
}

/// What a load generator tells at its end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// What went well.
    pub(crate) good: u64,
    pub(crate) failed: u64,
    pub(crate) elapsed_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    /// What else there is to say, such as how the failed ones failed.
    pub(crate) more: Value,
}

impl Told {
    /// Sums up how long each good one took, in microseconds.
    pub(crate) fn sum(mut took_us: Vec<u64>, failed: u64, elapsed: Duration) -> Self {
        took_us.sort_unstable();
        Self {
            good: took_us.len() as u64,
            failed,
            elapsed_us: micros(elapsed),
            p50_us: percentile(&took_us, 500),
            p99_us: percentile(&took_us, 990),
            more: Value::Null,
        }
    }

    /// All of it in one line.
    pub(crate) fn value(&self) -> Value {
        let Self { good, failed, elapsed_us, p50_us, p99_us, more } = self;
        json!({
            "good": good, "failed": failed, "elapsed_us": elapsed_us, "p50_us": p50_us,
            "p99_us": p99_us, "more": more,
        })
    }

    fn parse(line: &str) -> Result<Self, Failure> {
        let value: Value = serde_json::from_str(line).tried("read what a part tells")?;
        let of = |name: &str| {
            let number = value.get(name).and_then(Value::as_u64);
            number.ok_or_else(|| Failure::new(format!("a part does not tell `{name}`: {line}")))
        };
        Ok(Self {
            good: of("good")?,
            failed: of("failed")?,
            elapsed_us: of("elapsed_us")?,
            p50_us: of("p50_us")?,
            p99_us: of("p99_us")?,
            more: value.get("more").cloned().unwrap_or_default(),
        })
    }
}

/// A time in whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The word that lets a role begin.
const BEGIN: &str = "begin";
