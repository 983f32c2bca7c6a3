//! HTTP/2 in clear text from the client, HTTP/1.1 to the application: load by h2load.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fitted::Turn;
use crate::player::Told;
use crate::support::front::Place;
use crate::support::{Failure, Tried as _, wire};

/// How load is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) connections: usize,
    /// Requests at once on each connection.
    pub(super) streams: usize,
    pub(super) seconds: u64,
}

/// One run of h2load; the front's CPU nanoseconds come with it.
pub(super) fn sample(place: &Place, turn: &Turn, load: Load) -> Result<(Told, u64), Failure> {
    let log = place.directory.join("h2load.log");
    // h2load adds to a log.
    drop(fs::remove_file(&log));
    let mut command = Command::new("taskset");
    command
        .args(["--cpu-list", &place.load_cpu.to_string(), "h2load", "--threads", "1"])
        .args(["--clients", &load.connections.to_string()])
        .args(["--max-concurrent-streams", &load.streams.to_string()])
        .args(["--duration", &load.seconds.to_string(), "--log-file"])
        .arg(&log)
        .args(fields("/b200"))
        .arg(format!("http://127.0.0.1:{}/b200", turn.running.port))
        .stdin(Stdio::null());
    let before = turn.cpu_time()?;
    let output = command.output().tried("run h2load")?;
    let cpu_ns = turn.cpu_time()?.since(before).nanoseconds;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("h2load failed: {words}")));
    }
    let text = fs::read_to_string(&log).tried("read h2load's log")?;
    let (mut took, mut failed) = (Vec::new(), 0);
    for line in text.lines() {
        let mut columns = line.split('\t').skip(1);
        let (status, time) = (columns.next(), columns.next().and_then(|text| text.parse().ok()));
        match (status, time) {
            (Some("200"), Some(time)) => took.push(time),
            _ => failed += 1,
        }
    }
    if took.is_empty() || failed > 0 {
        let (good, words) = (took.len(), String::from_utf8_lossy(&output.stdout));
        return Err(Failure::new(format!("{failed} requests failed beside {good}: {words}")));
    }
    Ok((Told::sum(took, failed, Duration::from_secs(load.seconds)), cpu_ns))
}

/// The request that all benchmarks send, as flags of h2load.
fn fields(path: &str) -> Vec<String> {
    let request = wire::request(path);
    let text = String::from_utf8_lossy(&request);
    let lines = text.trim_end().lines().skip(1).filter_map(|line| line.split_once(": "));
    // RFC 9113 §8.2.2 and §8.3.1: no Connection, and :authority is what Host was.
    lines
        .filter(|(name, _)| !name.eq_ignore_ascii_case("connection"))
        .flat_map(|(name, value)| {
            let is_host = name.eq_ignore_ascii_case("host");
            let name = if is_host { ":authority".to_owned() } else { name.to_ascii_lowercase() };
            ["--header".to_owned(), format!("{name}: {value}")]
        })
        .collect()
}
