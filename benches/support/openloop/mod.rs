//! Requests at a fixed rate, whatever becomes of those before: an open loop.
//!
//! A generator that waits for an answer before it asks again asks less often just when answers are
//! slow, and so leaves out what it came to measure (coordinated omission). Here each request has
//! a time at which it is due, and its latency counts from then, also where no connection is free.
//! The generator is a process of its own.

mod answer;
mod client;

use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::Duration;

use super::process::Process;
use super::{Failure, Tried as _};

/// The argument that makes the benchmark's program the generator.
pub(crate) const ROLE: &str = "as-open-loop";

/// How requests come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenLoop {
    /// Requests a second, evenly spaced.
    pub(crate) rate: u32,
    pub(crate) length: Duration,
    /// Connections opened before the first request.
    pub(crate) connections: usize,
    /// The most connections; a request waits where all are busy.
    pub(crate) most: usize,
    /// From the time a request is due: then it counts as lost, and its connection is closed.
    pub(crate) deadline: Duration,
}

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Of the answer; zero where none came in time.
    pub(crate) status: u16,
    /// When the request was due, from the beginning.
    pub(crate) due_us: u64,
    /// From the time it was due to the end of its answer.
    pub(crate) latency_us: u64,
}

impl OpenLoop {
    /// Sends a request, byte for byte, as often as it says. The outcomes come in no certain order.
    pub(crate) fn run(
        &self,
        (cpu, files): (usize, usize),
        port: u16,
        request: &[u8],
    ) -> Result<Vec<Outcome>, Failure> {
        let program = std::env::current_exe().tried("find this program")?;
        let mut command = Process::command(&program, cpu, files);
        command.arg(ROLE).args(self.numbers(port).map(|number| number.to_string()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().tried("start the open loop")?;
        // Closing its input is the sign to begin.
        let mut input = child.stdin.take().ok_or_else(|| Failure::new("an open loop's input"))?;
        input.write_all(request).tried("give the open loop its request")?;
        drop(input);
        let output = child.wait_with_output().tried("wait for the open loop")?;
        if !output.status.success() {
            return Err(Failure::new("the open loop failed; its words are above"));
        }
        let text = String::from_utf8(output.stdout).tried("read what the open loop measured")?;
        text.lines().map(Outcome::parse).collect()
    }

    fn numbers(&self, port: u16) -> [u128; 6] {
        [
            port.into(),
            self.rate.into(),
            self.length.as_millis(),
            self.connections as u128,
            self.most as u128,
            self.deadline.as_millis(),
        ]
    }

    /// Reads the generator's arguments.
    fn parse(arguments: &[String]) -> Option<(Self, u16)> {
        let mut numbers = arguments.iter().skip(1).map_while(|text| text.parse::<u64>().ok());
        let mut next = || numbers.next();
        let port = u16::try_from(next()?).ok()?;
        let open_loop = Self {
            rate: u32::try_from(next()?).ok().filter(|rate| *rate > 0)?,
            length: Duration::from_millis(next()?),
            connections: usize::try_from(next()?).ok()?,
            most: usize::try_from(next()?).ok()?,
            deadline: Duration::from_millis(next()?),
        };
        Some((open_loop, port))
    }
}

impl Outcome {
    fn parse(line: &str) -> Result<Self, Failure> {
        let mut numbers = line.split(' ').map_while(|number| number.parse::<u64>().ok());
        let mut next = || numbers.next();
        let numbers = next().zip(next()).zip(next());
        let outcome = numbers.and_then(|((status, due_us), latency_us)| {
            Some(Self { status: u16::try_from(status).ok()?, due_us, latency_us })
        });
        outcome.ok_or_else(|| Failure::new(format!("the open loop says `{line}`")))
    }
}

/// Plays the generator: reads the request from standard input and writes a line for each outcome.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let (open_loop, port) = OpenLoop::parse(arguments)
        .ok_or_else(|| Failure::new("the open loop needs a port and five numbers"))?;
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request).tried("read the request")?;
    let outcomes = client::Client::prepare(open_loop, port, request)?.run()?;
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for Outcome { status, due_us, latency_us } in outcomes {
        writeln!(output, "{status} {due_us} {latency_us}").tried("tell the outcomes")?;
    }
    output.flush().tried("tell the outcomes")
}

/// The latency that a share of the outcomes does not exceed; `thousandths` is 500 for the median.
pub(crate) fn percentile(sorted_us: &[u64], thousandths: usize) -> u64 {
    let place = (sorted_us.len() * thousandths).div_ceil(1000).saturating_sub(1);
    sorted_us.get(place).copied().unwrap_or(0)
}
