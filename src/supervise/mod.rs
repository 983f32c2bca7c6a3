//! Keeps children running: release first, then the others, each until it is told to stop.
//!
//! Owns: the order of start, what a failure of each role means, the stages of a stop.
//! Must not know: HTTP, Procfiles, which programs there are.
//!
//! Each child leads a process group of its own, so that what it starts is reached as well. What
//! leaves its group comes to forebay when its parent ends, and is ended with it.

mod child;
mod error;
mod lead;
mod output;
mod plan;
mod process;
mod reaper;
mod roster;
mod turn;

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::Pid;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

pub use error::Error;
pub use output::Sink;
pub use plan::{Exit, Settings};
pub use roster::{Member, Roster, State};
pub use turn::{Refused, Report, Turn, Verdict};

use crate::readiness::Liveness;
use lead::Lead;
use reaper::Reaper;

/// Something to be started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    /// Its name in the log.
    pub name: String,
    /// Its command as it is shown.
    pub written: String,
    /// The program and its arguments.
    pub words: Vec<OsString>,
    /// What is added to the environment.
    pub variables: Vec<(OsString, OsString)>,
    /// What depends on it.
    pub role: Role,
}

/// What depends on a child.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It runs first, and the others only when it succeeded.
    Release,
    /// Visitors are sent to it: forebay ends without it, and stops it last.
    Web,
    /// forebay ends without it.
    Essential,
    /// The site works without it.
    Other,
}

impl Role {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Web => "web",
            Self::Essential => "essential",
            Self::Other => "other",
        }
    }

    fn is_needed(self) -> bool {
        matches!(self, Self::Web | Self::Essential)
    }

    /// The stage at which it is told to stop.
    fn stops_at(self) -> Stage {
        if self == Self::Web { Stage::StopAll } else { Stage::StopOthers }
    }
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    Run,
    StopOthers,
    StopAll,
    Kill,
}

/// All children.
#[derive(Debug)]
pub struct Crew {
    stage: watch::Sender<Stage>,
    failures: mpsc::Receiver<Error>,
    work: JoinHandle<()>,
    web: Arc<Mutex<Option<Pid>>>,
    liveness: watch::Receiver<Liveness>,
    released: watch::Receiver<bool>,
}

impl Crew {
    /// Without children.
    pub fn nobody() -> Self {
        Self {
            stage: watch::Sender::new(Stage::Run),
            failures: mpsc::channel(1).1,
            work: tokio::spawn(async {}),
            web: Arc::default(),
            liveness: watch::channel(Liveness::default()).1,
            released: watch::channel(true).1,
        }
    }

    /// Starts programs, within a runtime of one thread: the release command when it is its
    /// turn, then the others at once. The roster says from then on how they are.
    ///
    /// # Errors
    ///
    /// [`Error::NoHandler`]. That a program cannot be started is told by [`Crew::failed`].
    pub fn start(
        programs: Vec<Program>,
        turn: Turn,
        settings: Settings,
        (sink, roster): (Sink, Arc<Roster>),
    ) -> Result<Self, Error> {
        let reaper = Reaper::start().map_err(Error::NoHandler)?;
        let (stage, stages) = watch::channel(Stage::Run);
        let (failure, failures) = mpsc::channel(1);
        let (release, released) = watch::channel(false);
        let (liveness, lives) = watch::channel(Liveness::default());
        let web = Arc::default();
        roster.enter(&programs);
        let lead = Lead {
            settings,
            sink,
            reaper,
            stage: stages,
            failure,
            release,
            liveness,
            roster,
            web: Arc::clone(&web),
        };
        let work = tokio::spawn(Arc::new(lead).run(programs, turn));
        Ok(Self { stage, failures, work, web, liveness: lives, released })
    }

    /// Waits until the release command, if there is one, has succeeded; for ever if it does not.
    pub fn released(&self) -> impl Future<Output = ()> + use<> {
        let mut released = self.released.clone();
        async move {
            if released.wait_for(|released| *released).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Whether the web process runs, and how it has lived.
    pub fn liveness(&self) -> watch::Receiver<Liveness> {
        self.liveness.clone()
    }

    /// Waits until forebay cannot go on for want of a child; for ever if that does not come.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting and nothing else.
    pub async fn failed(&mut self) -> Error {
        match self.failures.recv().await {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Tells the web process to load the application anew, if it is one of which `reloads` says
    /// that it does at SIGHUP; another one would end.
    pub fn reload(&self, reloads: fn(&[OsString]) -> bool) {
        let web = *self.web.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(web) = web.filter(|web| reloads(&process::words_of(*web))) else {
            tracing::warn!(
                mend = "start `web` as gunicorn, without a shell around it, or restart forebay",
                "SIGHUP: the web process is not one that reloads; nothing was done"
            );
            return;
        };
        match process::hang_up(web) {
            Ok(()) => tracing::info!(pid = number(web), "SIGHUP: told gunicorn to reload"),
            Err(why) => tracing::warn!(%why, "SIGHUP: the web process cannot be told to reload"),
        }
    }

    /// Tells all children but the web process to stop.
    pub fn stop_others(&self) {
        self.reach(Stage::StopOthers);
    }

    /// Tells the web process as well.
    pub fn stop_all(&self) {
        self.reach(Stage::StopAll);
    }

    /// Kills what is left.
    pub fn kill(&self) {
        self.reach(Stage::Kill);
    }

    /// Waits until no child is left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting and nothing else.
    pub async fn gone(&mut self) {
        if !self.work.is_finished() {
            drop((&mut self.work).await);
        }
    }

    fn reach(&self, next: Stage) {
        self.stage.send_if_modified(|stage| {
            let is_later = next > *stage;
            *stage = next.max(*stage);
            is_later
        });
    }
}

/// A process's number, for the log.
fn number(process: Pid) -> i32 {
    process.as_raw_nonzero().get()
}
