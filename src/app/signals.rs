//! The signals that forebay obeys.
//!
//! Owns: which signal asks for what.
//! Must not know: what is done then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;

use super::{Error, runtime};

/// The signals that forebay obeys.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Begins to catch them, outside of a runtime; SIGHUP only where there is something to reload.
    ///
    /// This comes before anybody can know that forebay runs. A signal that comes earlier, or while its
    /// handler is set, may be lost: the first process of a container does not end by a signal that it
    /// does not catch.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when the system gives no handler.
    pub fn catch(has_children: bool) -> Result<Self, Error> {
        // Handlers are set within a runtime, and are received in any.
        let runtime = runtime()?;
        let _within = runtime.enter();
        let catch =
            |kind| signal(kind).map_err(|source| Error::System { what: "signal handler", source });
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            hang_up: has_children.then(|| catch(SignalKind::hangup())).transpose()?,
        })
    }

    /// Does something that may take a while before there is anything to stop, outside of a runtime.
    /// Returns its result; nothing if a signal was to stop. `work` is then told by its flag, and waited
    /// for.
    ///
    /// # Errors
    ///
    /// [`Error::System`] when the system gives no thread.
    pub fn during<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Result<Option<T>, Error> {
        runtime()?.block_on(async {
            let is_given_up = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&is_given_up);
            let mut working = spawn_blocking(move || work(&flag));
            let result = tokio::select! {
                result = &mut working => result.map(Some),
                () = self.stop() => {
                    is_given_up.store(true, Ordering::Relaxed);
                    working.await.map(|_| None)
                }
            };
            result.map_err(|why| Error::System { what: "thread", source: why.into() })
        })
    }

    /// Waits for the next one.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost.
    pub(super) async fn next(&mut self) -> Order {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => Order::Stop,
            _ = self.interrupt.recv() => Order::Stop,
            _ = hang_up => Order::Reload,
        }
    }

    /// Waits for one that stops.
    ///
    /// # Cancel safety
    ///
    /// As [`Signals::next`], but for those that reload.
    pub(super) async fn stop(&mut self) {
        while self.next().await != Order::Stop {}
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    /// To end: SIGTERM or SIGINT.
    Stop,
    /// To load the application anew: SIGHUP.
    Reload,
}
