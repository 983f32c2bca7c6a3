//! What a peer costs before and beside its requests: its start, its memory, its size.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::crowd::Crowd;
use super::front::Place;
use super::numbers::median;
use super::peer::{Behind, Peer, SPARE_FILES};
use super::process::Process;
use super::{Failure, Tried as _, wait};

/// What a peer costs by being there.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) name: &'static str,
    /// From its start to the end of its first answer from the application, in milliseconds.
    pub(crate) start_ms: f64,
    /// In KiB, each as [`MOMENTS`] says.
    pub(crate) memory_kib: [u64; 6],
    /// The most resident memory in all of this.
    pub(crate) peak_kib: u64,
    pub(crate) binary_bytes: u64,
}

/// When memory is measured; `many` is as many as [`crowd`] says.
pub(crate) const MOMENTS: [&str; 6] =
    ["idle", "256 idle connections", "later", "many", "later", "after closing them"];

const FEW: usize = 256;

/// As many idle connections as are wanted, or as the limit on open files allows: nginx and
/// `HAProxy` count a connection on either side.
pub(crate) fn crowd(place: &Place, wanted: usize) -> usize {
    wanted.min(place.files.saturating_sub(SPARE_FILES) / 2)
}

/// Starts a peer some times, then fills it with so many idle connections.
pub(crate) fn look(
    place: &Place,
    (peer, behind): (Peer, &Behind),
    starts: usize,
    crowd: usize,
    later: Duration,
) -> Result<Standing, Failure> {
    let mut times = Vec::new();
    for _ in 0..starts {
        let begun = Instant::now();
        let started = peer.start(place, behind)?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        drop(started);
    }
    let (memory_kib, peak_kib) = fill(place, (peer, behind), crowd, later)?;
    let front = peer.front().ok_or_else(|| Failure::new("nobody is in front"))?;
    let binary_bytes = fs::metadata(place.program(front)?).tried("look at a program")?.len();
    let start_ms = median(&times);
    Ok(Standing { name: peer.name, start_ms, memory_kib, peak_kib, binary_bytes })
}

/// Measures memory at each of the [`MOMENTS`], and its peak.
fn fill(
    place: &Place,
    (peer, behind): (Peer, &Behind),
    crowd: usize,
    later: Duration,
) -> Result<([u64; 6], u64), Failure> {
    let started = peer.start(place, behind)?;
    let process = started.process()?;
    wait(Duration::from_secs(1));
    let idle = process.memory_kib()?;
    let mut connections = Crowd::start(place.load_cpu, place.files, started.port)?;
    connections.grow_to(FEW)?;
    let few = process.memory_kib()?;
    wait(later);
    let few_later = process.memory_kib()?;
    connections.grow_to(crowd)?;
    let many = process.memory_kib()?;
    wait(later);
    let many_later = process.memory_kib()?;
    drop(connections);
    wait(later);
    let memory = [idle, few, few_later, many, many_later, process.memory_kib()?];
    Ok((memory, process.peak_kib()?))
}

/// What the programs that start a peer take for themselves, in milliseconds.
pub(crate) fn launcher(place: &Place, times: usize) -> Result<f64, Failure> {
    let mut all = Vec::new();
    for _ in 0..times {
        let mut command = Process::command("/bin/true".as_ref(), place.proxy_cpu, place.files);
        let begun = Instant::now();
        command.stdout(Stdio::null()).status().tried("start a program")?;
        all.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(&all))
}
