//! Whose turn it is to run the release command.
//!
//! Owns: how the answer is waited for, and how the end of the command is told.
//! Must not know: who decides, and by what.

use std::fmt;
use std::pin::Pin;

use tokio::sync::oneshot;

use super::Exit;

/// An answer that comes when it is clear whether this instance runs the release command.
pub struct Turn(Pin<Box<dyn Future<Output = Result<Verdict, Refused>> + Send>>);

impl Turn {
    /// The answer of a future, which is dropped when forebay is told to stop.
    pub fn of(answer: impl Future<Output = Result<Verdict, Refused>> + Send + 'static) -> Self {
        Self(Box::pin(answer))
    }

    pub(super) async fn verdict(self) -> Result<Verdict, Refused> {
        self.0.await
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

/// Whether this instance runs the release command.
#[derive(Debug)]
pub enum Verdict {
    /// It does.
    Run(Report),
    /// It is done already.
    Done,
}

/// Nobody can say whose turn it is: then the release command does not run, and nothing else does.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
    /// What to do next.
    pub mend: String,
}

/// Who is told how the release command ended.
#[derive(Debug)]
pub struct Report {
    /// How often the command runs, for the log.
    pub scope: &'static str,
    exit: Option<oneshot::Sender<Exit>>,
    heard: Option<oneshot::Receiver<()>>,
}

impl Report {
    /// Nobody is told.
    pub fn to_nobody(scope: &'static str) -> Self {
        Self { scope, exit: None, heard: None }
    }

    /// Whoever has the other ends is told: how it ended, if it did, and waits until he has heard, or
    /// has dropped his end.
    pub fn to_somebody(
        scope: &'static str,
    ) -> (Self, oneshot::Receiver<Exit>, oneshot::Sender<()>) {
        let (exit, exits) = oneshot::channel();
        let (hear, heard) = oneshot::channel();
        (Self { scope, exit: Some(exit), heard: Some(heard) }, exits, hear)
    }

    pub(super) async fn tell(self, exit: Exit) {
        if let Some(sender) = self.exit
            && sender.send(exit).is_ok()
            && let Some(heard) = self.heard
        {
            // Dropped means heard as well.
            drop(heard.await);
        }
    }
}
