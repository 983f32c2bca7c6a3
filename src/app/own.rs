//! What the system knows about forebay's own process.
//!
//! Owns: where it is read (proc(5)).
//! Must not know: what it is good for.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, getpid, getrlimit};
use tokio::time::Instant;

use crate::status::Own;

/// The process as it is now; what cannot be read is zero.
pub(super) fn look(started: SystemTime, since: Instant) -> Own {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in brackets may hold anything.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
    // Numbered as in proc(5), where the state is the third.
    let field = |number: usize| -> u64 {
        fields.split(' ').nth(number - 3).and_then(|text| text.trim().parse().ok()).unwrap_or(0)
    };
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    Own {
        pid: getpid().as_raw_nonzero().get(),
        started,
        uptime: since.elapsed(),
        memory: field(24).saturating_mul(rustix::param::page_size() as u64),
        address_space: field(23),
        cpu: Duration::from_millis((field(14) + field(15)).saturating_mul(1000) / ticks),
        threads: field(20),
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
        open_files_limit: getrlimit(Resource::Nofile).current,
    }
}

/// The name of this machine or container.
pub(super) fn host() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_and_files() {
        let own = look(SystemTime::now(), Instant::now());
        assert!(own.memory > 100_000 && own.address_space > own.memory, "{own:?}");
        assert!((1..10_000).contains(&own.threads) && own.open_files > 2, "{own:?}");
        assert_eq!(own.pid.unsigned_abs(), std::process::id());
        assert!(host().is_some());
    }
}
