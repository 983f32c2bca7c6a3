//! The order of start, and what the end of a child leads to.
//!
//! Owns: which child waits for which, restarts, failures.
//! Must not know: signals, pipes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::child::{self, Child};
use super::plan::{Lives, Next};
use super::reaper::Reaper;
use super::turn::{Refused, Turn, Verdict};
use super::{Error, Exit, Program, Role, Roster, Settings, Sink, Stage, State, number, process};
use crate::readiness::Liveness;

/// What the children have in common.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) settings: Settings,
    pub(super) sink: Sink,
    pub(super) reaper: Arc<Reaper>,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) failure: mpsc::Sender<Error>,
    /// Set when the release phase is over.
    pub(super) release: watch::Sender<bool>,
    /// What is known of the web process.
    pub(super) liveness: watch::Sender<Liveness>,
    pub(super) roster: Arc<Roster>,
    pub(super) web: Arc<Mutex<Option<Pid>>>,
}

impl Lead {
    /// Starts programs and keeps them until they have been told to stop and are gone.
    pub(super) async fn run(self: Arc<Self>, programs: Vec<Program>, turn: Turn) {
        let (first, others): (Vec<_>, Vec<_>) =
            programs.into_iter().partition(|program| program.role == Role::Release);
        // There is one at most.
        if let Some(program) = first.first()
            && let Err(why) = self.release_in_turn(program, turn).await
        {
            self.fail(why);
            self.wait_for(Stage::StopOthers).await;
        }
        if *self.stage.borrow() == Stage::Run {
            self.release.send_replace(true);
            let mut kept = JoinSet::new();
            for program in others {
                kept.spawn(Arc::clone(&self).keep(program));
            }
            while kept.join_next().await.is_some() {}
        }
        self.wait_for(Stage::StopOthers).await;
        self.end_strays().await;
    }

    /// Runs the release command if it is its turn, and tells how it ended.
    async fn release_in_turn(&self, program: &Program, turn: Turn) -> Result<(), Error> {
        let command = program.written.clone();
        let verdict = tokio::select! {
            verdict = turn.verdict() => verdict,
            () = self.wait_for(Stage::StopOthers) => return Ok(()),
        };
        let verdict =
            verdict.map_err(|Refused { source, mend }| Error::NoTurn { command, source, mend })?;
        let Verdict::Run(report) = verdict else {
            self.roster.is_spared(&program.name);
            return Ok(());
        };
        let released = self.release(program, report.scope).await;
        let exit = match &released {
            Ok(ended) => *ended,
            Err(Error::Release { exit, .. }) => Some(*exit),
            Err(why) => Some(Exit::Code(why.code())),
        };
        // One that was stopped has not ended: then nothing is told.
        if let Some(exit) = exit {
            tokio::select! {
                () = report.tell(exit) => {}
                () = self.wait_for(Stage::Kill) => {}
            }
        }
        released.map(|_| ())
    }

    /// Runs the release command to its end; nothing if it was stopped before.
    async fn release(&self, program: &Program, scope: &str) -> Result<Option<Exit>, Error> {
        let command = program.written.clone();
        tracing::info!(command, runs = scope, "release phase begins");
        let mut child = self.start(program)?;
        self.roster.runs(&program.name, child.leader(), 0);
        let deadline = sleep(self.settings.release_deadline);
        let exit = tokio::select! {
            exit = child.attend(self.stage.clone(), program.role) => exit,
            () = deadline => {
                child.kill().await;
                child.read_on().await;
                self.roster.rests(&program.name, State::Ended, Exit::Signal(KILLED));
                return Err(Error::ReleaseDeadline { command, lines: child.last_lines() });
            }
        };
        self.roster.rests(&program.name, State::Ended, exit);
        let elapsed_ms = child.life().as_millis();
        if exit == Exit::Code(0) {
            tracing::info!(elapsed_ms, "release phase is done");
            return Ok(Some(exit));
        }
        if self.is_told(program.role) {
            tracing::info!(%exit, elapsed_ms, "release phase was stopped");
            return Ok(None);
        }
        Err(Error::Release { command, exit, lines: child.last_lines() })
    }

    /// Keeps a program running until it is told to stop, or keeps dying.
    async fn keep(self: Arc<Self>, program: Program) {
        let Program { name, role, .. } = &program;
        let mut lives = Lives::default();
        while !self.is_told(*role) {
            let (exit, life, lines) = match self.live(&program, lives.restarts).await {
                Ok(ended) => ended,
                Err(why) if role.is_needed() && lives.restarts == 0 => return self.fail(why),
                Err(why) => {
                    let exit = Exit::Code(why.code());
                    let source = std::error::Error::source(&why).map(ToString::to_string);
                    tracing::error!(process = name, %why, source, "not started");
                    (exit, Duration::ZERO, Vec::new())
                }
            };
            let ran_ms = life.as_millis();
            if self.is_told(*role) {
                self.roster.rests(name, State::Ended, exit);
                tracing::info!(process = name, %exit, ran_ms, "stopped");
                return;
            }
            let next = lives.next(life, role.is_needed(), &self.settings);
            if *role == Role::Web {
                self.liveness.send_modify(|it| it.short_lives = lives.short);
            }
            match next {
                Next::GiveUp => {
                    self.roster.rests(name, State::Ended, exit);
                    let (name, crashes) = (name.clone(), self.settings.crash_limit);
                    return self.fail(Error::Dying { name, crashes, exit, lines });
                }
                Next::Restart(pause) => {
                    self.roster.rests(name, State::Pausing, exit);
                    let pause_ms = pause.as_millis();
                    tracing::warn!(process = name, %exit, ran_ms, pause_ms, "ended: it is started again");
                    if lives.keeps_dying(&self.settings) {
                        let last_lines = lines.join("\n");
                        tracing::error!(
                            process = name,
                            last_lines,
                            "it keeps dying; the site goes on without it"
                        );
                    }
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = self.wait_for(role.stops_at()) => {}
                    }
                }
            }
        }
    }

    /// One life of a program, and the end of whatever it leaves.
    async fn live(
        &self,
        program: &Program,
        restarts: u32,
    ) -> Result<(Exit, Duration, Vec<String>), Error> {
        let mut child = self.start(program)?;
        let (name, command, pid) = (&program.name, &program.written, number(child.leader()));
        self.roster.runs(name, child.leader(), restarts);
        tracing::info!(process = name, pid, restarts, command, "started");
        if program.role == Role::Web {
            self.set_web(Some(child.leader()));
        }
        let exit = child.attend(self.stage.clone(), program.role).await;
        if program.role == Role::Web {
            self.set_web(None);
        }
        Ok((exit, child.life(), child.last_lines()))
    }

    fn start(&self, program: &Program) -> Result<Child, Error> {
        Child::start(program, &self.reaper, &self.sink).map_err(|source| Error::NotStarted {
            name: program.name.clone(),
            program: program
                .words
                .first()
                .map(|it| it.to_string_lossy().into_owned())
                .unwrap_or_default(),
            source,
        })
    }

    fn set_web(&self, process: Option<Pid>) {
        *self.web.lock().unwrap_or_else(PoisonError::into_inner) = process;
        self.liveness.send_modify(|it| it.is_running = process.is_some());
    }

    fn fail(&self, why: Error) {
        // The first failure ends forebay; those that follow from it change nothing.
        drop(self.failure.try_send(why));
    }

    fn is_told(&self, role: Role) -> bool {
        *self.stage.borrow() >= role.stops_at()
    }

    async fn wait_for(&self, wanted: Stage) {
        child::reached(&mut self.stage.clone(), wanted).await;
    }

    /// Ends the processes that had left their groups: each is told once, and killed at
    /// [`Stage::Kill`].
    async fn end_strays(&self) {
        let mut told = Vec::new();
        while *self.stage.borrow() < Stage::Kill {
            let strays = process::strays();
            if strays.is_empty() {
                return;
            }
            for stray in strays {
                if !told.contains(&stray) {
                    told.push(stray);
                    process::end_stray(stray, Signal::TERM);
                }
            }
            sleep(child::PAUSE).await;
        }
        let end = Instant::now() + child::KILL_DEADLINE;
        while Instant::now() < end {
            let strays = process::strays();
            if strays.is_empty() {
                return;
            }
            // Their own children become strays then.
            for stray in strays {
                process::end_stray(stray, Signal::KILL);
            }
            sleep(child::PAUSE).await;
        }
        tracing::error!("processes that left their groups cannot be killed");
    }
}

/// SIGKILL.
const KILLED: u8 = 9;
