//! Requests under load: rounds through those who are measured, and back.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::process::{CpuTime, Process};
use super::{Failure, Tried as _, wire};

/// One kind of load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// What is asked for, in the words of the tables.
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    pub(crate) connections: usize,
}

impl Case {
    /// The case in the words of the tables.
    pub(crate) fn text(&self) -> String {
        let Self { name, connections, .. } = self;
        let plural = if *connections == 1 { "" } else { "s" };
        format!("{name}, {connections} connection{plural}")
    }
}

/// How the load is made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) load_cpu: usize,
    /// Where the request is written to, for the load generator.
    pub(crate) directory: PathBuf,
    pub(crate) rounds: usize,
    /// The length of a sample.
    pub(crate) seconds: u64,
}

/// Whom the load is for.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// Nothing where the CPU time is not asked for.
    pub(crate) process: Option<&'a Process>,
    /// Byte for byte.
    pub(crate) request: Vec<u8>,
}

/// One run of the load generator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) requests: u64,
    pub(crate) elapsed_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    /// The target's; zero where it is not asked for.
    pub(crate) cpu: CpuTime,
}

/// All samples of one case.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) case: Case,
    /// For each target, its two samples of each round.
    pub(crate) targets: Vec<(&'static str, Vec<[Sample; 2]>)>,
}

/// Measures one case. What drifts by and by is the same for the two samples of a round together.
pub(crate) fn run(plan: &Plan, targets: &[Target<'_>], case: Case) -> Result<Measured, Failure> {
    for target in targets {
        warm(target, case)?;
    }
    let mut measured: Vec<_> = targets.iter().map(|target| (target.name, Vec::new())).collect();
    for _ in 0..plan.rounds {
        let take = |target: &Target<'_>| sample(plan, target, case, plan.seconds);
        let forth = targets.iter().map(take).collect::<Result<Vec<_>, _>>()?;
        let mut back = targets.iter().rev().map(take).collect::<Result<Vec<_>, _>>()?;
        back.reverse();
        for ((_, rounds), pair) in measured.iter_mut().zip(forth.into_iter().zip(back)) {
            rounds.push(pair.into());
        }
    }
    Ok(Measured { case, targets: measured })
}

/// Lets a target answer on as many connections as will be, a few times each: what comes first meets
/// cold caches and no connections to the application.
pub(crate) fn warm(target: &Target<'_>, case: Case) -> Result<(), Failure> {
    let connect = |_| wire::connect(target.port).tried("connect to a target");
    let mut streams = (0..case.connections).map(connect).collect::<Result<Vec<_>, _>>()?;
    for _ in 0..3 {
        for stream in &mut streams {
            stream.write_all(&target.request).tried("send a request")?;
        }
        for stream in &mut streams {
            wire::read(stream)?;
        }
    }
    Ok(())
}

/// Runs the load generator once.
pub(crate) fn sample(
    plan: &Plan,
    target: &Target<'_>,
    case: Case,
    seconds: u64,
) -> Result<Sample, Failure> {
    let file = plan.directory.join("request");
    fs::write(&file, &target.request).tried("write the request")?;
    let cpu_time = || target.process.map_or(Ok(CpuTime::default()), Process::cpu_time);
    let before = cpu_time()?;
    let output = Command::new("taskset")
        .args(["--cpu-list", &plan.load_cpu.to_string(), "wrk", "--threads", "1"])
        .args(["--connections", &case.connections.to_string()])
        .args(["--duration", &format!("{seconds}s")])
        .args(["--script", concat!(env!("CARGO_MANIFEST_DIR"), "/benches/support/wrk.lua")])
        .arg(format!("http://127.0.0.1:{}", target.port))
        .arg("--")
        .arg(file)
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
        let kinds = text.lines().find_map(|line| line.strip_prefix("errors: "));
        let (name, case, kinds) = (target.name, case.text(), kinds.unwrap_or_default());
        return Err(Failure::new(format!(
            "{name}, {case}: {errors} errors in {requests} requests ({kinds})"
        )));
    }
    Ok(Sample { requests, elapsed_us, p50_us, p99_us, p999_us, cpu })
}
