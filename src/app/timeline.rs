//! The phases of the site so far, and their lines in the log.
//!
//! Owns: what is kept of the phases, when a slow start is warned of.
//! Must not know: how readiness is found out, who reads the timeline.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use crate::readiness::{Phase, Readiness, Reason};
use crate::status::{Start, Step};

/// The phases so far.
#[derive(Debug)]
pub(super) struct Timeline {
    /// How long the platform waits for a start; nothing where it has no such limit.
    limit: Option<Duration>,
    begun: Instant,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    steps: Vec<Entry>,
    ready_after: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Entry {
    phase: Phase,
    at: SystemTime,
    since: Instant,
    /// When the next one began.
    until: Option<Instant>,
}

impl Timeline {
    /// Begins with the phase that the site is in.
    pub(super) fn new(readiness: &Readiness, limit: Option<Duration>) -> Self {
        let since = readiness.since();
        let entry = Entry { phase: readiness.phase(), at: SystemTime::now(), since, until: None };
        let kept = Mutex::new(Kept { steps: vec![entry], ready_after: None });
        Self { limit, begun: since, kept }
    }

    /// Keeps and tells each change, until the runtime ends. Phases that follow one another at once
    /// may be told as one.
    pub(super) async fn follow(self: Arc<Self>, readiness: Arc<Readiness>) {
        let mut last = self.last();
        let mut alarm = self.limit.map(|limit| self.begun + limit.mul_f64(WARN_AT));
        loop {
            let ringing = async {
                match alarm {
                    Some(alarm) => sleep_until(alarm).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                phase = readiness.wait_for(|phase| *phase != last) => {
                    self.enter(&last, &phase);
                    last = phase;
                }
                () = ringing => {
                    alarm = None;
                    self.warn(&last);
                }
            }
        }
    }

    fn last(&self) -> Phase {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.steps.last().map_or(Phase::Starting(Reason::NotAsked), |step| step.phase.clone())
    }

    fn enter(&self, last: &Phase, phase: &Phase) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lasted = Duration::ZERO;
        if let Some(step) = kept.steps.last_mut() {
            step.until = Some(now);
            lasted = now - step.since;
        }
        // The start is worth keeping, and what came last.
        if kept.steps.len() >= STEPS {
            kept.steps.remove(FIRST_STEPS);
        }
        let entry = Entry { phase: phase.clone(), at: SystemTime::now(), since: now, until: None };
        kept.steps.push(entry);
        let after = now - self.begun;
        if *phase == Phase::Ready && kept.ready_after.is_none() {
            kept.ready_after = Some(after);
        }
        let is_start = matches!(last, Phase::Starting(_));
        drop(kept);
        let (name, reason) = words(phase);
        let (previous, previous_reason) = words(last);
        let lasted_ms = milliseconds(lasted);
        let share = self.percent(after).filter(|_| is_start);
        tracing::info!(
            phase = name,
            reason,
            previous,
            previous_reason,
            lasted_ms,
            start_limit_used_percent = share,
            "phase"
        );
    }

    fn warn(&self, last: &Phase) {
        if !matches!(last, Phase::Starting(_)) {
            return;
        }
        let (_, reason) = words(last);
        tracing::warn!(
            reason,
            elapsed_ms = milliseconds(self.begun.elapsed()),
            limit_seconds = self.limit.map(|limit| limit.as_secs()),
            mend = "raise WEBSITES_CONTAINER_START_TIME_LIMIT in the app settings (1800 at most), or \
                    make the start shorter: `forebay status` shows what took how long",
            "three fifths of the platform's limit for a start are gone"
        );
    }

    fn percent(&self, after: Duration) -> Option<u64> {
        let limit = self.limit?.as_millis().max(1);
        u64::try_from(after.as_millis() * 100 / limit).ok()
    }

    /// The phases so far, the present one last.
    pub(super) fn steps(&self) -> Vec<Step> {
        let now = Instant::now();
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let step = |entry: &Entry| {
            let (phase, reason) = words(&entry.phase);
            Step {
                phase,
                reason,
                at: entry.at,
                lasted: entry.until.unwrap_or(now) - entry.since,
                begun_after: entry.since - self.begun,
            }
        };
        kept.steps.iter().map(step).collect()
    }

    /// How the start went.
    pub(super) fn start(&self) -> Start {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Start { limit: self.limit, ready_after: kept.ready_after }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A phase's name, and what was last seen of an application that is not ready.
fn words(phase: &Phase) -> (&'static str, Option<String>) {
    match phase {
        Phase::Starting(reason) => ("starting", Some(reason.to_string())),
        Phase::Ready => ("ready", None),
        Phase::Failed(reason) => ("failed", Some(reason.to_string())),
        Phase::Draining => ("draining", None),
    }
}

/// The share of the limit after which a start is warned of: time enough to do something.
const WARN_AT: f64 = 0.6;

/// So many phases are kept.
const STEPS: usize = 64;

/// So many of them are the first ones.
const FIRST_STEPS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn phases_are_kept_with_their_times_and_the_first_and_last_of_many() {
        let readiness = Arc::new(Readiness::new());
        let timeline = Arc::new(Timeline::new(&readiness, Some(Duration::from_secs(230))));
        tokio::spawn(Arc::clone(&timeline).follow(Arc::clone(&readiness)));
        let pass = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
        pass(1).await;
        readiness.set(Phase::Starting(Reason::Releasing));
        pass(22).await;
        readiness.set(Phase::Ready);
        pass(7).await;
        let steps = timeline.steps();
        let told: Vec<_> = steps.iter().map(|it| (it.phase, it.lasted.as_secs())).collect();
        assert_eq!(told, [("starting", 1), ("starting", 22), ("ready", 7)]);
        let start = timeline.start();
        assert_eq!(start.ready_after, Some(Duration::from_secs(23)));
        assert_eq!(timeline.percent(Duration::from_secs(23)), Some(10));
        for _ in 0..100 {
            readiness.set(Phase::Failed(Reason::Silent));
            pass(1).await;
            readiness.set(Phase::Ready);
            pass(1).await;
        }
        let steps = timeline.steps();
        assert_eq!(steps.len(), STEPS);
        assert_eq!(steps[1].reason.as_deref(), Some("the release command runs"));
        assert_eq!(steps[1].lasted.as_secs(), 22, "also beside a gap");
        assert_eq!(steps[STEPS - 1].phase, "ready");
    }
}
