//! What a peer costs before and beside its requests: its start, its memory, its size.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::numbers::median;
use super::options::Options;
use super::peer::{Bench, Kind};
use super::process::Process;
use super::{Failure, Tried as _, wait};

/// What a peer costs by being there.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) kind: Kind,
    /// From its start to the end of its first answer from the application, in milliseconds.
    pub(crate) start_ms: f64,
    /// In KiB, each as [`MOMENTS`] says.
    pub(crate) memory_kib: [u64; 6],
    /// The most resident memory in all of this.
    pub(crate) peak_kib: u64,
    pub(crate) binary_bytes: u64,
}

/// When memory is measured; `many` is as many as [`Bench::crowd`] says.
pub(crate) const MOMENTS: [&str; 6] =
    ["idle", "256 idle connections", "+5 s", "many", "+5 s", "5 s after closing them"];

const FEW: usize = 256;
const LATER: Duration = Duration::from_secs(5);

/// Starts a peer some times, then fills it with idle connections.
pub(crate) fn look(bench: &Bench, kind: Kind, options: &Options) -> Result<Standing, Failure> {
    let mut starts = Vec::new();
    for _ in 0..options.starts {
        let begun = Instant::now();
        let peer = bench.start(kind)?;
        starts.push(begun.elapsed().as_secs_f64() * 1000.0);
        drop(peer);
    }
    let (memory_kib, peak_kib) = fill(bench, kind)?;
    let program = bench.program(kind)?;
    let binary_bytes = fs::metadata(program).tried("look at a program")?.len();
    Ok(Standing { kind, start_ms: median(&starts), memory_kib, peak_kib, binary_bytes })
}

/// Measures memory at each of the [`MOMENTS`], and its peak.
fn fill(bench: &Bench, kind: Kind) -> Result<([u64; 6], u64), Failure> {
    let peer = bench.start(kind)?;
    let process = peer.process.as_ref().ok_or_else(|| Failure::new("nobody is in front"))?;
    wait(Duration::from_secs(1));
    let idle = process.memory_kib()?;
    let mut crowd = Crowd::start(bench.load_cpu, bench.files, peer.port)?;
    crowd.grow_to(FEW)?;
    let few = process.memory_kib()?;
    wait(LATER);
    let few_later = process.memory_kib()?;
    crowd.grow_to(bench.crowd)?;
    let many = process.memory_kib()?;
    wait(LATER);
    let many_later = process.memory_kib()?;
    drop(crowd);
    wait(LATER);
    let memory = [idle, few, few_later, many, many_later, process.memory_kib()?];
    Ok((memory, process.peak_kib()?))
}

/// What the programs that start a peer take for themselves, in milliseconds.
pub(crate) fn launcher(bench: &Bench, times: usize) -> Result<f64, Failure> {
    let mut all = Vec::new();
    for _ in 0..times {
        let mut command = Process::command("/bin/true".as_ref(), bench.proxy_cpu, bench.files);
        let begun = Instant::now();
        command.stdout(Stdio::null()).status().tried("start a program")?;
        all.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(&all))
}
