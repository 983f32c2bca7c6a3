//! Counters that all threads add to.
//!
//! Owns: what is counted.
//! Must not know: who reads the numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::code::Code;

/// Everything that is counted; each starts at zero and only grows, but `connections` and `tunnels`.
#[derive(Debug)]
pub struct Counters {
    /// Connections that are open now.
    pub connections: AtomicU64,
    /// Connections that have changed their protocol, or ask for it, now.
    pub tunnels: AtomicU64,
    /// Requests that were read.
    pub requests: AtomicU64,
    /// Requests whose front-end fields named different clients.
    pub disputed: AtomicU64,
    codes: [AtomicU64; Code::ALL.len()],
}

impl Counters {
    /// Counters at zero.
    pub fn new() -> Self {
        Self {
            connections: AtomicU64::new(0),
            tunnels: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            disputed: AtomicU64::new(0),
            codes: [const { AtomicU64::new(0) }; Code::ALL.len()],
        }
    }

    /// Counts an answer with `code`.
    pub fn count(&self, code: Code) {
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
