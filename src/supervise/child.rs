//! One life of a child, and the end of whatever it leaves.
//!
//! Owns: when its group is told, and when it is killed.
//! Must not know: what follows.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::output::{self, Sink, Tail};
use super::process::{self, Group};
use super::reaper::Reaper;
use super::{Exit, Program, Role, Stage};

/// A child that runs, or has left something that does.
#[derive(Debug)]
pub(super) struct Child {
    group: Group,
    exit: oneshot::Receiver<Exit>,
    ended: Option<(Exit, Duration)>,
    begun: Instant,
    reading: JoinHandle<()>,
    tail: Arc<Tail>,
}

impl Child {
    /// Starts a program.
    ///
    /// # Errors
    ///
    /// As [`process::spawn`].
    pub(super) fn start(program: &Program, reaper: &Reaper, sink: &Sink) -> io::Result<Self> {
        let spawn = || process::spawn(program);
        let ((group, pipes), exit) = reaper.spawn(spawn, |(group, _)| group.leader())?;
        let tail = Arc::default();
        let reading = output::follow(&program.name, pipes, sink, &tail)?;
        Ok(Self { group, exit, ended: None, begun: Instant::now(), reading, tail })
    }

    /// The process that was started.
    pub(super) fn leader(&self) -> Pid {
        self.group.leader()
    }

    /// How long the leader has lived.
    pub(super) fn life(&self) -> Duration {
        self.ended.map_or_else(|| self.begun.elapsed(), |(_, life)| life)
    }

    /// What it said last.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.tail.lines()
    }

    /// Waits until the leader ends or its role is told to stop, and then until its group is gone:
    /// told once, and killed at [`Stage::Kill`], or [`GRACE`] after the leader ended by itself.
    ///
    /// # Cancel safety
    ///
    /// The group is told later or not at all; [`Child::kill`] ends it in any case.
    pub(super) async fn attend(&mut self, mut stage: watch::Receiver<Stage>, role: Role) -> Exit {
        tokio::select! {
            exit = &mut self.exit => { self.has_ended(exit); }
            () = reached(&mut stage, role.stops_at()) => {}
        }
        let is_told = self.ended.is_none();
        let grace_ends = Instant::now() + GRACE;
        self.group.terminate();
        loop {
            if self.ended.is_some() {
                if self.group.is_gone() {
                    break;
                }
                // A shell ends at once and leaves what it ran.
                self.group.terminate();
            }
            let is_over =
                *stage.borrow() == Stage::Kill || (!is_told && Instant::now() >= grace_ends);
            if is_over {
                self.kill().await;
                break;
            }
            let has_ended = self.ended.is_some();
            tokio::select! {
                exit = &mut self.exit, if !has_ended => { self.has_ended(exit); }
                () = reached(&mut stage, Stage::Kill) => {}
                () = sleep(PAUSE), if has_ended => {}
            }
        }
        self.read_on().await;
        self.ended.map_or(Exit::Code(1), |(exit, _)| exit)
    }

    /// Kills the group and waits until it is gone, [`KILL_DEADLINE`] at most: a process that the
    /// system holds cannot be killed.
    pub(super) async fn kill(&mut self) {
        let end = Instant::now() + KILL_DEADLINE;
        while self.ended.is_none() || !self.group.is_gone() {
            if Instant::now() > end {
                tracing::error!(pid = super::number(self.leader()), "it cannot be killed");
                return;
            }
            self.group.kill();
            let has_ended = self.ended.is_some();
            tokio::select! {
                exit = &mut self.exit, if !has_ended => { self.has_ended(exit); }
                () = sleep(PAUSE) => {}
            }
        }
    }

    fn has_ended(&mut self, exit: Result<Exit, oneshot::error::RecvError>) {
        // Nobody but the reaper takes leave of children.
        self.ended = Some((exit.unwrap_or(Exit::Code(1)), self.begun.elapsed()));
    }

    /// Reads what is left in the pipes. Where somebody who left the group holds them, he is read on.
    pub(super) async fn read_on(&mut self) {
        if !self.reading.is_finished() {
            drop(timeout(LAST_LINES, &mut self.reading).await);
        }
    }
}

/// Waits for a stage.
///
/// # Cancel safety
///
/// Dropping the future gives up waiting and nothing else.
pub(super) async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    // An error means that nobody is left to say anything: then everything ends.
    drop(stage.wait_for(|stage| *stage >= wanted).await.map(|_| ()));
}

/// How long what a child leaves may take to end before the child is started again. It may hold its
/// port, and answer its last requests.
const GRACE: Duration = Duration::from_secs(2);

/// How long the system may take to end what is killed.
pub(super) const KILL_DEADLINE: Duration = Duration::from_secs(2);

/// Between two looks at a group whose leader has ended: nobody says when the last one does.
pub(super) const PAUSE: Duration = Duration::from_millis(20);

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_millis(200);
