//! Takes leave of every child that has ended, ours and those that were left to us.
//!
//! Owns: waiting for processes. Nobody else in this process may.
//! Must not know: what a child was for.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, WaitOptions, WaitStatus, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use super::Exit;

/// Who waits for whom.
#[derive(Debug, Default)]
pub(super) struct Reaper(Mutex<HashMap<Pid, oneshot::Sender<Exit>>>);

impl Reaper {
    /// Starts to take leave, also of processes whose parents have ended before them: these come to
    /// this process, whether it is the first of its container or not.
    ///
    /// # Errors
    ///
    /// When the system gives no signal handler.
    pub(super) fn start() -> io::Result<Arc<Self>> {
        let mut ended = signal(SignalKind::child())?;
        if let Err(why) = rustix::process::set_child_subreaper(Some(rustix::process::getpid())) {
            tracing::warn!(%why, "processes that lose their parent do not come to forebay");
        }
        let reaper = Arc::new(Self::default());
        let reaping = Arc::clone(&reaper);
        // It ends with the runtime.
        drop(tokio::spawn(async move {
            loop {
                reaping.reap();
                if ended.recv().await.is_none() {
                    return;
                }
            }
        }));
        Ok(reaper)
    }

    /// Starts a process and hears of its end. Between the two nobody takes leave of it.
    pub(super) fn spawn<T>(
        &self,
        start: impl FnOnce() -> io::Result<T>,
        id: impl FnOnce(&T) -> Pid,
    ) -> io::Result<(T, oneshot::Receiver<Exit>)> {
        let mut waiting = self.waiting();
        let started = start()?;
        let (end, ended) = oneshot::channel();
        waiting.insert(id(&started), end);
        Ok((started, ended))
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Pid, oneshot::Sender<Exit>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reap(&self) {
        let mut waiting = self.waiting();
        while let Ok(Some((process, status))) = wait(WaitOptions::NOHANG) {
            if let (Some(end), Some(exit)) = (waiting.remove(&process), exit_of(status)) {
                // Who has stopped waiting does not need to know.
                let _ = end.send(exit);
            }
        }
    }
}

fn exit_of(status: WaitStatus) -> Option<Exit> {
    let code = status.exit_status().map(|code| Exit::Code(u8::try_from(code).unwrap_or(u8::MAX)));
    let signal = || {
        let number = status.terminating_signal()?;
        Some(Exit::Signal(u8::try_from(number).unwrap_or(u8::MAX)))
    };
    code.or_else(signal)
}
