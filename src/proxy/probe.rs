//! Step 4a: answers probers with the truth about the application.
//!
//! Owns: what each prober is told in each phase, and how long the warm-up is held.
//! Must not know: the upstream, how a prober was recognised.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::route::Probe;
use crate::code::Code;
use crate::readiness::{Phase, Readiness};

/// What a prober is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// 200, with this text as content.
    Healthy(&'static str),
    /// The code says why not.
    Unhealthy(Code),
}

impl Answer {
    /// The code of an answer that is not 200.
    pub fn code(self) -> Option<Code> {
        match self {
            Self::Healthy(_) => None,
            Self::Unhealthy(code) => Some(code),
        }
    }
}

/// Answers probes.
#[derive(Clone, Copy, Debug)]
pub struct Probes {
    /// How long the platform waits for a container to start, counted from forebay's start.
    pub start_limit: Duration,
}

impl Probes {
    /// Answers `probe`; the warm-up is held until there is something true to say.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future, when the prober has hung up, loses nothing.
    pub async fn answer(self, probe: Probe, readiness: &Readiness) -> Answer {
        match probe {
            Probe::WarmUp => self.hold(readiness).await,
            Probe::Health | Probe::FrontDoor | Probe::Address | Probe::AlwaysOn => {
                tell(&readiness.phase())
            }
        }
    }

    /// Holds the warm-up: any answer, 503 too, marks the site as started (facts, 4.1 and trap 18).
    ///
    /// When four fifths of the start limit are gone and a process is at work, it is let through,
    /// since otherwise the container is killed in the middle of its start.
    async fn hold(self, readiness: &Readiness) -> Answer {
        let patience = readiness.since() + self.start_limit * 4 / 5;
        loop {
            if let Ok(phase) = timeout_at(patience, readiness.settled()).await {
                return tell(&phase);
            }
            let (Phase::Starting(reason) | Phase::Failed(reason)) = readiness.phase() else {
                continue;
            };
            if reason.shows_life() {
                tracing::warn!(
                    limit_seconds = self.start_limit.as_secs(),
                    last_seen = %reason,
                    "answering the warm-up before the application is ready, so that the container \
                     is not killed; raise WEBSITES_CONTAINER_START_TIME_LIMIT"
                );
                return Answer::Healthy("starting");
            }
            // Nothing is at work: no answer is the truth. A change of phase may still come.
            let again = Instant::now() + LOOK_AGAIN;
            if let Ok(phase) = timeout_at(again, readiness.settled()).await {
                return tell(&phase);
            }
        }
    }
}

fn tell(phase: &Phase) -> Answer {
    match phase {
        Phase::Ready => Answer::Healthy("ready"),
        Phase::Starting(_) => Answer::Unhealthy(Code::Starting),
        Phase::Failed(_) => Answer::Unhealthy(Code::NotAnswering),
        Phase::Draining => Answer::Unhealthy(Code::Draining),
    }
}

const LOOK_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::Reason;

    const PROBES: Probes = Probes { start_limit: Duration::from_secs(230) };

    #[tokio::test(start_paused = true)]
    async fn the_warm_up_waits_for_the_application() {
        let readiness = Readiness::new();
        let answer = PROBES.answer(Probe::WarmUp, &readiness);
        let ready = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            readiness.set(Phase::Ready);
        };
        assert_eq!(tokio::join!(answer, ready).0, Answer::Healthy("ready"));
        assert_eq!(readiness.since().elapsed().as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn at_four_fifths_a_living_application_is_not_killed() {
        let readiness = Readiness::new();
        readiness.set(Phase::Starting(Reason::Silent));
        assert_eq!(PROBES.answer(Probe::WarmUp, &readiness).await, Answer::Healthy("starting"));
        assert_eq!(readiness.since().elapsed().as_secs(), 184);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_application_gets_no_answer_at_all() {
        let readiness = Readiness::new();
        readiness.set(Phase::Starting(Reason::NotListening));
        let answer = PROBES.answer(Probe::WarmUp, &readiness);
        assert!(tokio::time::timeout(Duration::from_secs(1000), answer).await.is_err());
    }

    #[tokio::test]
    async fn health_is_told_at_once_and_as_it_is() {
        let readiness = Readiness::new();
        for (phase, code) in [
            (Phase::Starting(Reason::NotAsked), Some(Code::Starting)),
            (Phase::Ready, None),
            (Phase::Failed(Reason::Answered(500)), Some(Code::NotAnswering)),
            (Phase::Draining, Some(Code::Draining)),
        ] {
            readiness.set(phase);
            for probe in [Probe::Health, Probe::FrontDoor, Probe::Address, Probe::AlwaysOn] {
                assert_eq!(PROBES.answer(probe, &readiness).await.code(), code);
            }
        }
    }
}
