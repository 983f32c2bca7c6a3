//! When a new release, or a restart, has taken: on every instance that is met.
//!
//! Owns: the rule. Pure.
//! Must not know: connections, what is printed.
//!
//! A load balancer does not say how many instances it has, nor which are old. So the answers decide:
//! the goal is reached when many in a row, over a while, all came from instances that are new and
//! ready. One that is not met any more is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// What is waited for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// That this release serves. Seven letters or more of its beginning suffice.
    Release(String),
    /// That the process that answers began after the question did.
    Restart,
}

/// One answer, as far as it matters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sight {
    pub(super) instance: String,
    pub(super) release: Option<String>,
    pub(super) phase: String,
    uptime: Duration,
}

impl Sight {
    /// Reads a report; nothing if it is none.
    pub(super) fn of(report: &Value) -> Option<Self> {
        let text = |name: &str| report[name].as_str().map(str::to_owned);
        let uptime = report["uptime_seconds"].as_f64().unwrap_or(0.0);
        Some(Self {
            instance: text("instance")?,
            release: text("release"),
            phase: text("phase")?,
            uptime: Duration::try_from_secs_f64(uptime).unwrap_or_default(),
        })
    }
}

/// How far it has come.
#[derive(Debug)]
pub(super) struct Progress {
    wanted: Wanted,
    begun: Instant,
    /// How long answers must have been right.
    settle: Duration,
    /// The fewest right answers in a row.
    least: u32,
    /// Right answers in a row, and when the first of them came.
    streak: Option<(u32, Instant)>,
    met: BTreeMap<String, (bool, Instant)>,
}

impl Progress {
    /// Begins now. Where only one instance can answer, its first right answer is enough.
    pub(super) fn new(wanted: Wanted, settle: Duration, is_one: bool) -> Self {
        let (settle, least) = if is_one { (Duration::ZERO, 1) } else { (settle, LEAST) };
        let begun = Instant::now();
        Self { wanted, begun, settle, least, streak: None, met: BTreeMap::new() }
    }

    /// Whether an answer is that of a new instance, ready or not.
    pub(super) fn is_new(&self, sight: &Sight, now: Instant) -> bool {
        match &self.wanted {
            Wanted::Release(wanted) => sight.release.as_ref().is_some_and(|release| {
                release == wanted || (wanted.len() >= SHORTEST && release.starts_with(wanted))
            }),
            Wanted::Restart => sight.uptime < now - self.begun,
        }
    }

    /// Takes an answer, or that there was none; returns whether the goal is reached.
    pub(super) fn saw(&mut self, sight: Option<&Sight>, now: Instant) -> bool {
        let is_right = sight.is_some_and(|it| it.phase == "ready" && self.is_new(it, now));
        if let Some(sight) = sight {
            if self.met.len() >= INSTANCES {
                self.met.retain(|_, (_, last)| now < *last + GONE_AFTER);
            }
            self.met.insert(sight.instance.clone(), (is_right, now));
        }
        if !is_right {
            self.streak = None;
            return false;
        }
        let (count, since) = self.streak.map_or((1, now), |(count, since)| (count + 1, since));
        self.streak = Some((count, since));
        let needed = if self.least == 1 { 1 } else { self.least.max(self.around(now) * EACH) };
        count >= needed && now >= since + self.settle
    }

    /// The instances that were met lately.
    fn around(&self, now: Instant) -> u32 {
        let is_around = |last: Instant| now < last + GONE_AFTER;
        let count = self.met.values().filter(|(_, last)| is_around(*last)).count();
        u32::try_from(count).unwrap_or(u32::MAX / EACH)
    }

    /// The instances that answered right when they were met last, and all that were met.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.met.values().filter(|(is_right, _)| *is_right).count(), self.met.len())
    }
}

/// The fewest right answers in a row.
const LEAST: u32 = 5;

/// So many for each instance: by chance, one that is there is missed once in four hundred times.
const EACH: u32 = 6;

/// An instance that was not met for so long does not count any more.
const GONE_AFTER: Duration = Duration::from_secs(30);

/// So many instances are remembered before those that are gone are forgotten.
const INSTANCES: usize = 1000;

/// The shortest beginning of a release that means it.
const SHORTEST: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(instance: &str, release: &str, phase: &str) -> Sight {
        Sight {
            instance: instance.to_owned(),
            release: Some(release.to_owned()),
            phase: phase.to_owned(),
            uptime: Duration::from_secs(100),
        }
    }

    fn progress() -> Progress {
        let wanted = Wanted::Release("new".to_owned());
        Progress::new(wanted, Duration::from_secs(10), false)
    }

    #[test]
    fn every_instance_that_is_met_must_be_new_and_ready_for_a_while() {
        let mut progress = progress();
        let begun = Instant::now();
        let at = |tenths: u32| begun + Duration::from_millis(100) * tenths;
        let mut now = 0;
        // Two of three are new already, by turns: no streak is long enough.
        for _ in 0..100 {
            for (instance, release) in [("a", "new"), ("b", "new"), ("c", "old")] {
                now += 1;
                assert!(!progress.saw(Some(&sight(instance, release, "ready")), at(now)));
            }
        }
        // The last one is new, but not ready.
        now += 1;
        assert!(!progress.saw(Some(&sight("c", "new", "starting")), at(now)));
        let first = now + 1;
        let reached = loop {
            now += 1;
            let instance = ["a", "b", "c"][now as usize % 3];
            if progress.saw(Some(&sight(instance, "new", "ready")), at(now)) {
                break now;
            }
            assert!(now < first + 200);
        };
        assert_eq!(reached - first, 100, "ten seconds later");
        assert_eq!(progress.counts(), (3, 3));
    }

    #[test]
    fn silence_breaks_a_streak_and_each_instance_needs_its_answers() {
        let mut progress = Progress::new(Wanted::Release("new".to_owned()), Duration::ZERO, false);
        let now = Instant::now();
        for _ in 0..5 {
            assert!(!progress.saw(Some(&sight("a", "new", "ready")), now));
        }
        assert!(!progress.saw(None, now));
        for _ in 0..5 {
            assert!(!progress.saw(Some(&sight("a", "new", "ready")), now));
        }
        assert!(progress.saw(Some(&sight("a", "new", "ready")), now), "the sixth in a row");
    }

    #[test]
    fn a_restart_is_told_by_the_age_of_the_process() {
        let mut progress = Progress::new(Wanted::Restart, Duration::ZERO, true);
        let old = sight("a", "new", "ready");
        let later = progress.begun + Duration::from_secs(50);
        assert!(!progress.saw(Some(&old), later));
        let young = Sight { uptime: Duration::from_secs(20), ..old };
        assert!(
            !progress.saw(Some(&Sight { phase: "starting".to_owned(), ..young.clone() }), later)
        );
        assert!(progress.saw(Some(&young), later), "one answer is enough of the only one");
    }

    #[test]
    fn the_beginning_of_a_release_is_enough_if_it_is_long() {
        let now = Instant::now();
        for (wanted, is_new) in
            [("abcdef0123", true), ("abcdef0", true), ("abcdef", false), ("bcdef01", false)]
        {
            let progress = Progress::new(Wanted::Release(wanted.to_owned()), GONE_AFTER, false);
            assert_eq!(
                progress.is_new(&sight("a", "abcdef0123", "ready"), now),
                is_new,
                "{wanted}"
            );
        }
    }
}
