//! What follows from what is recorded of a release.
//!
//! Owns: the rule. Pure.
//! Must not know: databases, clocks.

/// What is recorded of a release.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Record {
    /// How far it is.
    pub state: State,
    /// The instance that ran it last.
    pub by: String,
    /// When that began, in UTC.
    pub started: String,
    /// When it ended, if it has.
    pub finished: Option<String>,
    /// Its exit code, if it has ended.
    pub code: Option<i16>,
}

/// How far a release is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Somebody began.
    Running,
    /// It succeeded.
    Done,
    /// It failed.
    Failed,
}

impl State {
    /// As it stands in the table.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }

    /// Reads it; what is strange counts as a failure, after which it runs again.
    pub(super) fn of(word: &str) -> Self {
        match word {
            "running" => Self::Running,
            "done" => Self::Done,
            _ => Self::Failed,
        }
    }
}

/// Why this instance runs the release command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Why {
    /// Nobody has.
    First,
    /// Somebody began and was lost.
    Unfinished(Record),
    /// Somebody tried and failed.
    Failed(Record),
}

/// What to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// To run it.
    Run(Why),
    /// To go on without.
    GoOn(Record),
}

/// What to do without the lock, if anything.
pub(super) fn without_lock(record: Option<Record>) -> Option<Step> {
    record.filter(|record| record.state == State::Done).map(Step::GoOn)
}

/// What to do with the lock: nobody else is at work.
pub(super) fn with_lock(record: Option<Record>) -> Step {
    let Some(record) = record else { return Step::Run(Why::First) };
    match record.state {
        State::Done => Step::GoOn(record),
        State::Running => Step::Run(Why::Unfinished(record)),
        State::Failed => Step::Run(Why::Failed(record)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_consequence() {
        let record = |state| Record {
            state,
            by: "a".to_owned(),
            started: String::new(),
            finished: None,
            code: None,
        };
        let (running, done, failed) =
            (record(State::Running), record(State::Done), record(State::Failed));
        let go_on = Step::GoOn(done.clone());
        for (record, without, with) in [
            (None, None, Step::Run(Why::First)),
            (Some(running.clone()), None, Step::Run(Why::Unfinished(running))),
            (Some(done), Some(go_on.clone()), go_on),
            (Some(failed.clone()), None, Step::Run(Why::Failed(failed))),
        ] {
            assert_eq!(without_lock(record.clone()), without, "{record:?}");
            assert_eq!(with_lock(record.clone()), with, "{record:?}");
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        for state in [State::Running, State::Done, State::Failed] {
            assert_eq!(State::of(state.word()), state);
        }
        assert_eq!(State::of("else"), State::Failed);
    }
}
