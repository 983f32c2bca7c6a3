//! What all data threads know of the application from how its connections go.
//!
//! Owns: when it answered last, when a used connection broke, counts of connections and repeats.
//! Must not know: what was asked, what follows from it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Shared by all data threads.
#[derive(Debug)]
pub struct Pulse {
    base: Instant,
    last_answer: Moment,
    last_break: Moment,
    repeats: AtomicU64,
    open: Arc<AtomicU64>,
}

/// Milliseconds since the base; 0 is never.
#[derive(Debug, Default)]
struct Moment(AtomicU64);

/// Counts a connection as open until it is dropped or becomes a tunnel.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicU64>);

/// How long a used connection that broke is held against the others.
const DISTRUST: Duration = Duration::from_mins(1);

impl Pulse {
    /// Begins without an answer.
    pub fn new() -> Self {
        Self {
            base: Instant::now(),
            last_answer: Moment::default(),
            last_break: Moment::default(),
            repeats: AtomicU64::new(0),
            open: Arc::default(),
        }
    }

    /// How many requests were sent again so far.
    pub fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    /// How many connections to the application are open, those that became tunnels aside.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Notes that a request is sent again.
    pub(super) fn repeated(&self) {
        self.repeats.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a connection was opened.
    pub(super) fn opened(&self) -> Counted {
        self.open.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(&self.open))
    }

    /// Notes that the application answered.
    pub(super) fn answered(&self, now: Instant) {
        self.last_answer.set(self.base, now);
    }

    /// Notes that a connection that had been used ended quietly after a request.
    pub(super) fn broke(&self, now: Instant) {
        self.last_break.set(self.base, now);
    }

    /// Whether one did within a minute before `now`.
    pub(super) fn has_broken(&self, now: Instant) -> bool {
        self.last_break.get(self.base).is_some_and(|last| now < last + DISTRUST)
    }

    /// Whether the application answered anything at or after `since`.
    pub(super) fn has_answered_since(&self, since: Instant) -> bool {
        self.last_answer.get(self.base).is_some_and(|last| last >= since)
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}

impl Moment {
    fn set(&self, base: Instant, now: Instant) {
        let since = u64::try_from((now - base).as_millis()).unwrap_or(u64::MAX);
        self.0.store(since.max(1), Ordering::Relaxed);
    }

    fn get(&self, base: Instant) -> Option<Instant> {
        let since = self.0.load(Ordering::Relaxed);
        (since > 0).then(|| base + Duration::from_millis(since))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_held_against_the_others_for_a_minute() {
        let pulse = Pulse::new();
        assert!(!pulse.has_broken(Instant::now()));
        pulse.broke(Instant::now());
        assert!(pulse.has_broken(Instant::now()));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(pulse.has_broken(Instant::now()));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!pulse.has_broken(Instant::now()));
    }
}
