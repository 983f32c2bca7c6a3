//! A number of bytes that many share.
//!
//! Owns: the count, and that what was taken comes back.
//! Must not know: what the bytes are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// So many bytes may be taken at once, and no more.
#[derive(Debug)]
pub struct Budget {
    limit: u64,
    used: AtomicU64,
    refusals: AtomicU64,
}

impl Budget {
    /// A budget of which nothing is taken.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicU64::new(0), refusals: AtomicU64::new(0) })
    }

    /// Bytes that are taken now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The most that may be taken.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that are not taken.
    pub fn free(&self) -> u64 {
        self.limit.saturating_sub(self.used())
    }

    /// How often there was not enough.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// A lease of nothing, which can grow.
    pub fn lease(self: &Arc<Self>) -> Lease {
        Lease { budget: Arc::clone(self), bytes: 0 }
    }
}

/// A part of a budget. It goes back when this is dropped.
#[derive(Debug)]
pub struct Lease {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Lease {
    /// Takes more; returns whether there was enough. If not, nothing has changed.
    #[must_use]
    pub fn grow(&mut self, bytes: u64) -> bool {
        let take = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.budget.limit);
        let order = Ordering::Relaxed;
        if self.budget.used.fetch_update(order, order, take).is_err() {
            self.budget.refusals.fetch_add(1, order);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Gives a part back, at most what was taken.
    pub fn shrink(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_comes_back_and_no_more_is_given() {
        let budget = Budget::new(10);
        let (mut first, mut second) = (budget.lease(), budget.lease());
        assert!(first.grow(6));
        assert!(!second.grow(5));
        assert!(second.grow(4));
        assert_eq!((budget.used(), budget.refusals()), (10, 1));
        first.shrink(100);
        assert_eq!(budget.used(), 4);
        assert!(first.grow(1) && !first.grow(u64::MAX));
        drop((first, second));
        assert_eq!(budget.used(), 0);
    }
}
