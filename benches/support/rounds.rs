//! Requests under load: rounds through the peers and back.

use std::fs;
use std::process::{Command, Stdio};

use super::options::Options;
use super::peer::{Bench, Kind, Peer};
use super::process::CpuTime;
use super::{Failure, Tried as _, wire};

/// One kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    path: &'static str,
    pub(crate) connections: usize,
}

/// What is measured.
pub(crate) const CASES: [Case; 4] = [
    Case { name: "200 B", path: "/b200", connections: 16 },
    Case { name: "200 B", path: "/b200", connections: 64 },
    Case { name: "10 KiB", path: "/b10k", connections: 16 },
    Case { name: "10 KiB", path: "/b10k", connections: 64 },
];

/// One run of the load generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) elapsed_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    /// The peer's; zero where nobody is in front.
    pub(crate) cpu: CpuTime,
}

/// All samples of one case.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) case: Case,
    /// For each peer, its two samples of each round.
    pub(crate) peers: Vec<(Kind, Vec<[Sample; 2]>)>,
}

/// Measures one case. What drifts by and by is the same for the two samples of a round together.
pub(crate) fn run(
    bench: &Bench,
    peers: &[Peer],
    case: Case,
    options: &Options,
) -> Result<Measured, Failure> {
    let file = bench.directory.join("request");
    fs::write(&file, wire::request(case.path)).tried("write the request")?;
    for peer in peers {
        // What comes first meets cold caches and no connections to the application.
        sample(bench, peer, case, 1)?;
    }
    let mut measured: Vec<_> = peers.iter().map(|peer| (peer.kind, Vec::new())).collect();
    for _ in 0..options.rounds {
        let take = |peer: &Peer| sample(bench, peer, case, options.seconds);
        let forth = peers.iter().map(take).collect::<Result<Vec<_>, _>>()?;
        let mut back = peers.iter().rev().map(take).collect::<Result<Vec<_>, _>>()?;
        back.reverse();
        for ((_, rounds), pair) in measured.iter_mut().zip(forth.into_iter().zip(back)) {
            rounds.push(pair.into());
        }
    }
    Ok(Measured { case, peers: measured })
}

fn sample(bench: &Bench, peer: &Peer, case: Case, seconds: u64) -> Result<Sample, Failure> {
    let cpu_time = || peer.process.as_ref().map_or(Ok(CpuTime::default()), |it| it.cpu_time());
    let before = cpu_time()?;
    let output = Command::new("taskset")
        .args(["--cpu-list", &bench.load_cpu.to_string(), "wrk", "--threads", "1"])
        .args(["--connections", &case.connections.to_string()])
        .args(["--duration", &format!("{seconds}s")])
        .args(["--script", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/wrk.lua")])
        .arg(format!("http://127.0.0.1:{}{}", peer.port, case.path))
        .arg("--")
        .arg(bench.directory.join("request"))
        .stdin(Stdio::null())
        .output()
        .tried("run wrk")?;
    let cpu = cpu_time()?.since(before);
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<u64> = text
        .lines()
        .find_map(|line| line.strip_prefix("measured "))
        .into_iter()
        .flat_map(|line| line.split(' ').map_while(|number| number.parse().ok()))
        .collect();
    let [requests, elapsed_us, errors, p50_us, p99_us, p999_us] = *numbers.as_slice() else {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("wrk failed: {text}{words}")));
    };
    if errors > 0 || requests == 0 {
        let name = peer.kind.name();
        return Err(Failure::new(format!("{name}: {errors} errors in {requests} requests")));
    }
    Ok(Sample { requests, elapsed_us, p50_us, p99_us, p999_us, cpu })
}
