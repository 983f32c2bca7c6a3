//! What follows when a child ends: start it again, after which pause, or give up.
//!
//! Owns: the rule. Pure.
//! Must not know: processes, clocks.

use std::time::Duration;

/// What children obey.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Settings {
    /// So many short lives in a row, and a child is given up.
    pub crash_limit: u32,
    /// A life that is shorter than this counts as short.
    pub crash_window: Duration,
    /// How long the release command may take.
    pub release_deadline: Duration,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// By itself, with this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Exit {
    /// The code as a shell gives it: 128 + n for signal n.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(number) => 128u8.saturating_add(number),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// What to do after an end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Start it again after a pause.
    Restart(Duration),
    /// It keeps dying.
    GiveUp,
}

/// The lives that a child has had.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lives {
    /// In a row, up to the last one.
    pub(super) short: u32,
    /// So often it was started again.
    pub(super) restarts: u32,
}

impl Lives {
    /// Decides after a life. `is_needed` is whether forebay ends without this child; one that is not
    /// is started again for ever, with long pauses.
    pub(super) fn next(&mut self, life: Duration, is_needed: bool, settings: &Settings) -> Next {
        self.short = if life < settings.crash_window { self.short.saturating_add(1) } else { 0 };
        if is_needed && self.short >= settings.crash_limit {
            return Next::GiveUp;
        }
        self.restarts = self.restarts.saturating_add(1);
        Next::Restart(self.pause(is_needed))
    }

    /// Whether it has died as often in a row as is too often.
    pub(super) fn keeps_dying(self, settings: &Settings) -> bool {
        self.short == settings.crash_limit
    }

    /// Doubles with each short life; nothing to wait for after a long one.
    fn pause(self, is_needed: bool) -> Duration {
        let longest = if is_needed { LONGEST_PAUSE } else { LONGEST_PAUSE_OF_OTHERS };
        let doublings = self.short.saturating_sub(1).min(16);
        FIRST_PAUSE.saturating_mul(1 << doublings).min(longest)
    }
}

/// After the first end: long enough for a port to be free, too short for a visitor to mind.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// For a child that visitors wait for.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// For a child without which the site works.
const LONGEST_PAUSE_OF_OTHERS: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTINGS: Settings = Settings {
        crash_limit: 4,
        crash_window: Duration::from_mins(1),
        release_deadline: Duration::from_secs(1),
    };
    const SHORT: Duration = Duration::from_millis(59_999);
    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn pauses_double_and_after_the_limit_it_is_given_up() {
        let mut lives = Lives::default();
        for pause in [250, 500, 1000] {
            let next = lives.next(SHORT, true, &SETTINGS);
            assert_eq!(next, Next::Restart(Duration::from_millis(pause)));
            assert!(!lives.keeps_dying(&SETTINGS));
        }
        assert_eq!(lives.next(SHORT, true, &SETTINGS), Next::GiveUp);
        assert_eq!(lives.restarts, 3);
    }

    #[test]
    fn a_life_as_long_as_the_window_makes_up_for_the_short_ones() {
        let mut lives = Lives::default();
        for life in [SHORT, SHORT, SHORT, LONG, SHORT, SHORT, SHORT] {
            assert!(matches!(lives.next(life, true, &SETTINGS), Next::Restart(_)));
        }
        assert_eq!(lives.next(SHORT, true, &SETTINGS), Next::GiveUp);
    }

    #[test]
    fn the_code_of_a_signal_is_that_of_a_shell() {
        assert_eq!(Exit::Code(3).code(), 3);
        assert_eq!(Exit::Signal(9).code(), 137);
        assert_eq!(Exit::Signal(255).code(), 255);
    }

    proptest! {
        #[test]
        fn what_is_not_needed_is_never_given_up_and_never_hurried(
            lives in prop::collection::vec(0_u64..100, 1..200),
        ) {
            let mut history = Lives::default();
            for life in lives {
                let next = history.next(Duration::from_secs(life), false, &SETTINGS);
                let Next::Restart(pause) = next else { panic!("given up") };
                prop_assert!((FIRST_PAUSE..=LONGEST_PAUSE_OF_OTHERS).contains(&pause));
            }
        }
    }
}
