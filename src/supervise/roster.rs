//! What is known of each child: for whoever asks how they are.
//!
//! Owns: the states of a child, and when each began.
//! Must not know: why a child is started or ended.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::Pid;
use tokio::time::Instant;

use super::{Exit, Program, Role, process};

/// What a child does now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// It waits for the release command.
    Waiting,
    /// It runs.
    Running,
    /// It ended, and is started again after a pause.
    Pausing,
    /// It ended for good.
    Ended,
}

impl State {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Pausing => "restarting",
            Self::Ended => "ended",
        }
    }
}

/// A child as it is now.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What depends on it.
    pub role: Role,
    /// What it does.
    pub state: State,
    /// Since when.
    pub since: Instant,
    /// The process, while it runs.
    pub process: Option<Pid>,
    /// How often it was started again.
    pub restarts: u32,
    /// How its last life ended, if one has.
    pub last_exit: Option<Exit>,
}

impl Member {
    /// The number of its process, while it runs.
    pub fn pid(&self) -> Option<i32> {
        self.process.map(super::number)
    }
}

/// All children, in the order of their start.
#[derive(Debug, Default)]
pub struct Roster(Mutex<Vec<Member>>);

impl Roster {
    /// Everybody, as they are now.
    pub fn members(&self) -> Vec<Member> {
        self.lock().clone()
    }

    /// How much memory each member's processes have, by the number of its process: the group that it
    /// leads, and whatever descends from it. Memory that several share is counted for each, so that
    /// the sum can be more than what is taken. It reads `/proc`, which may take milliseconds.
    pub fn memory(members: &[Member]) -> Vec<(i32, u64)> {
        let leaders: Vec<_> = members.iter().filter_map(|member| member.process).collect();
        if leaders.is_empty() {
            return Vec::new();
        }
        let bytes = process::resident(&leaders);
        leaders.into_iter().map(super::number).zip(bytes).collect()
    }

    pub(super) fn enter(&self, programs: &[Program]) {
        let since = Instant::now();
        let member = |program: &Program| Member {
            name: program.name.clone(),
            role: program.role,
            state: State::Waiting,
            since,
            process: None,
            restarts: 0,
            last_exit: None,
        };
        *self.lock() = programs.iter().map(member).collect();
    }

    pub(super) fn runs(&self, name: &str, process: Pid, restarts: u32) {
        self.change(name, State::Running, |member| {
            (member.process, member.restarts) = (Some(process), restarts);
        });
    }

    pub(super) fn rests(&self, name: &str, state: State, exit: Exit) {
        self.change(name, state, |member| {
            (member.process, member.last_exit) = (None, Some(exit));
        });
    }

    /// What it was to do was done elsewhere.
    pub(super) fn is_spared(&self, name: &str) {
        self.change(name, State::Ended, |_| {});
    }

    fn change(&self, name: &str, state: State, change: impl FnOnce(&mut Member)) {
        if let Some(member) = self.lock().iter_mut().find(|member| member.name == name) {
            (member.state, member.since) = (state, Instant::now());
            change(member);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Member>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_keeps_how_its_last_life_ended() {
        let roster = Roster::default();
        roster.enter(&[Program {
            name: "web".to_owned(),
            written: "a".to_owned(),
            words: vec!["a".into()],
            variables: vec![],
            role: Role::Web,
        }]);
        let this = rustix::process::getpid();
        roster.runs("web", this, 0);
        roster.rests("web", State::Pausing, Exit::Signal(9));
        roster.runs("web", this, 1);
        let members = roster.members();
        let member = &members[0];
        assert_eq!((member.state, member.restarts), (State::Running, 1));
        assert_eq!(member.last_exit, Some(Exit::Signal(9)));
        let memory = Roster::memory(&members);
        assert_eq!(memory[0].0, member.pid().unwrap());
        assert!(memory[0].1 > 100_000, "{memory:?}");
    }
}
