//! One watched value: is the application ready for visitors?
//!
//! Owns: the phases, and the rule that an end is final.
//! Must not know: who reads it, how readiness is found out.

use std::fmt;
use std::sync::OnceLock;

use tokio::sync::watch;
use tokio::time::Instant;

/// What the application can do for a visitor now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Phase {
    /// It has not answered yet. What was last seen of it is in the reason.
    Starting(Reason),
    /// It answered, with a Host that it accepts.
    Ready,
    /// It was ready and does not answer any more.
    Failed(Reason),
    /// forebay was told to stop.
    Draining,
}

impl Phase {
    /// Whether the application ends again and again: then visitors are told at once.
    pub fn is_dying(&self) -> bool {
        matches!(self, Self::Starting(Reason::Dying) | Self::Failed(Reason::Dying))
    }

    /// Whether visitors wait: there is no application to go to, and it may come.
    ///
    /// One that listens and answers badly is no such case: its answers are the truth.
    pub fn holds_visitors(&self) -> bool {
        match self {
            Self::Starting(reason) => matches!(
                reason,
                Reason::NotAsked
                    | Reason::Releasing
                    | Reason::ReleasingElsewhere
                    | Reason::Loading
                    | Reason::NotListening
                    | Reason::Silent
            ),
            Self::Failed(reason) => {
                matches!(reason, Reason::Loading | Reason::NotListening | Reason::Returning)
            }
            Self::Ready | Self::Draining => false,
        }
    }
}

/// What is known of the application's process, where forebay starts it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Liveness {
    /// Whether it runs.
    pub is_running: bool,
    /// So many of its lives in a row, up to the last one, were short.
    pub short_lives: u32,
}

/// What was last seen of an application that is not ready.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// Nobody has asked yet.
    NotAsked,
    /// The release command runs; the application is started afterwards.
    Releasing,
    /// Another instance runs the release command of this site, and this one waits for it.
    ReleasingElsewhere,
    /// Its process runs, and nothing listens at the upstream address.
    Loading,
    /// Nothing listens at the upstream address.
    NotListening,
    /// It accepts connections and does not answer.
    Silent,
    /// It answered with this status, 500 or above.
    Answered(u16),
    /// It closed the connection or spoke no HTTP.
    NotHttp,
    /// It cannot be connected to, for another reason than that nothing listens.
    Unreachable,
    /// It had gone, listens again, and has not answered yet.
    Returning,
    /// Its process ends again and again, or ended before it ever answered.
    Dying,
}

impl Reason {
    /// Whether a process is at work for the application.
    pub fn shows_life(self) -> bool {
        matches!(
            self,
            Self::Releasing
                | Self::ReleasingElsewhere
                | Self::Loading
                | Self::Silent
                | Self::Answered(_)
                | Self::NotHttp
                | Self::Returning
        )
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not asked yet"),
            Self::Releasing => f.write_str("the release command runs"),
            Self::ReleasingElsewhere => f.write_str("another instance runs the release command"),
            Self::Loading => f.write_str("its process runs and does not listen yet"),
            Self::NotListening => f.write_str("nothing listens at the upstream address"),
            Self::Silent => f.write_str("it accepts connections and does not answer"),
            Self::Answered(status) => write!(f, "it answered {status}"),
            Self::NotHttp => f.write_str("it closed the connection without a valid answer"),
            Self::Unreachable => f.write_str("it cannot be connected to"),
            Self::Returning => f.write_str("it listens again and has not answered yet"),
            Self::Dying => f.write_str("its process ended soon after its start"),
        }
    }
}

/// The value, shared by whoever finds out and whoever reads.
#[derive(Debug)]
pub struct Readiness {
    phase: watch::Sender<Phase>,
    since: Instant,
    draining_since: OnceLock<Instant>,
}

impl Readiness {
    /// Begins as [`Phase::Starting`], now.
    pub fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Starting(Reason::NotAsked)),
            since: Instant::now(),
            draining_since: OnceLock::new(),
        }
    }

    /// When forebay started.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The phase at this moment.
    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// When forebay was told to stop; nothing as long as it was not.
    pub fn draining_since(&self) -> Option<Instant> {
        self.draining_since.get().copied()
    }

    /// Whether forebay was told to stop: asked for each request, and so without the phase's lock.
    pub fn is_draining(&self) -> bool {
        self.draining_since.get().is_some()
    }

    /// Sets the phase; returns whether that changed it. [`Phase::Draining`] is final.
    pub fn set(&self, next: Phase) -> bool {
        self.phase.send_if_modified(|phase| {
            if *phase == Phase::Draining || *phase == next {
                return false;
            }
            if next == Phase::Draining {
                self.draining_since.get_or_init(Instant::now);
            }
            *phase = next;
            true
        })
    }

    /// Waits for a phase; returns it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting and nothing else.
    pub async fn wait_for(&self, wanted: impl FnMut(&Phase) -> bool) -> Phase {
        let mut phase = self.phase.subscribe();
        match phase.wait_for(wanted).await {
            Ok(phase) => phase.clone(),
            // The sender is in `self`.
            Err(_) => Phase::Draining,
        }
    }

    /// Somebody could not connect: nothing listens. Returns whether visitors wait from now on.
    pub fn mark_gone(&self) -> bool {
        let mut waits = false;
        self.phase.send_if_modified(|phase| {
            let next = match phase {
                // Nobody waits for what will not come.
                Phase::Starting(Reason::Dying) | Phase::Failed(Reason::Dying) | Phase::Draining => {
                    return false;
                }
                Phase::Ready | Phase::Failed(_) => Phase::Failed(Reason::NotListening),
                // Then nothing can, yet.
                Phase::Starting(
                    reason @ (Reason::Releasing | Reason::ReleasingElsewhere | Reason::Loading),
                ) => Phase::Starting(*reason),
                Phase::Starting(_) => Phase::Starting(Reason::NotListening),
            };
            // Asked here and not afterwards: the application may come back in between.
            waits = next.holds_visitors();
            let is_new = *phase != next;
            *phase = next;
            is_new
        });
        waits
    }

    /// Waits until the application is ready or forebay stops; returns which.
    ///
    /// # Cancel safety
    ///
    /// As [`Readiness::wait_for`].
    pub async fn settled(&self) -> Phase {
        self.wait_for(|phase| matches!(phase, Phase::Ready | Phase::Draining)).await
    }

    /// Waits until forebay stops.
    ///
    /// # Cancel safety
    ///
    /// As [`Readiness::wait_for`].
    pub async fn draining(&self) {
        self.wait_for(|phase| *phase == Phase::Draining).await;
    }
}

impl Default for Readiness {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_is_final() {
        let readiness = Readiness::new();
        assert!(readiness.set(Phase::Ready));
        assert!(!readiness.set(Phase::Ready));
        assert!(!readiness.is_draining());
        assert!(readiness.set(Phase::Draining));
        let since = readiness.draining_since();
        assert!(readiness.is_draining() && since.is_some());
        assert!(!readiness.set(Phase::Ready));
        assert!(!readiness.set(Phase::Draining));
        assert_eq!(readiness.phase(), Phase::Draining);
        assert_eq!(readiness.draining_since(), since);
        assert!(!readiness.mark_gone(), "nobody waits for what will not come");
    }

    #[test]
    fn who_finds_nobody_there_waits_whatever_was_known() {
        for phase in [
            Phase::Ready,
            Phase::Starting(Reason::NotAsked),
            Phase::Starting(Reason::Answered(500)),
            Phase::Starting(Reason::Releasing),
            Phase::Starting(Reason::ReleasingElsewhere),
            Phase::Failed(Reason::Silent),
        ] {
            let readiness = Readiness::new();
            readiness.set(phase.clone());
            assert!(readiness.mark_gone(), "{phase:?}");
            assert!(readiness.phase().holds_visitors(), "{phase:?}");
        }
    }
}
