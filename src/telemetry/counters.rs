//! Counters that all threads add to.
//!
//! Owns: what is counted.
//! Must not know: who reads the numbers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Record, Tally};
use crate::code::Code;

/// Everything that is counted; each starts at zero and only grows, but `connections`, `tunnels` and
/// `in_flight`.
#[derive(Debug)]
pub struct Counters {
    /// Connections that are open now.
    pub connections: AtomicU64,
    /// Connections that have changed their protocol, or ask for it, now.
    pub tunnels: AtomicU64,
    /// Requests whose answers have not ended.
    pub in_flight: AtomicU64,
    /// Requests that were read.
    pub requests: AtomicU64,
    /// Requests whose front-end fields named different clients.
    pub disputed: AtomicU64,
    /// What became of them.
    pub tally: Tally,
    codes: [AtomicU64; Code::ALL.len()],
}

impl Counters {
    /// Counters at zero.
    pub fn new() -> Self {
        Self {
            connections: AtomicU64::new(0),
            tunnels: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            disputed: AtomicU64::new(0),
            tally: Tally::default(),
            codes: [const { AtomicU64::new(0) }; Code::ALL.len()],
        }
    }

    /// Counts a request whose answer has ended, and which took so long.
    pub fn request(&self, record: &Record, total: Duration) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(code) = record.code {
            self.count(code);
        }
        self.tally.count(record, total);
    }

    /// Counts an answer with `code`.
    fn count(&self, code: Code) {
        if let Some(counter) = self.codes.get(code as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often each code was given, without those that were not.
    pub fn codes(&self) -> impl Iterator<Item = (Code, u64)> {
        let counts = self.codes.iter().map(|counter| counter.load(Ordering::Relaxed));
        Code::ALL.iter().copied().zip(counts).filter(|(_, count)| *count > 0)
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}
