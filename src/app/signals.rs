//! The signals that forebay obeys.
//!
//! Owns: which signal asks for what.
//! Must not know: what is done then.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;

/// The signals that forebay obeys.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

impl Signals {
    /// Does something that may take a while before there is anything to stop, outside of a runtime.
    /// Returns the signals, none of which is lost, and the result; nothing if one was to stop. `work`
    /// is then told by its flag, and waited for.
    ///
    /// The first process of a container does not end by a signal that it does not catch.
    ///
    /// # Errors
    ///
    /// When the system gives no handler or no thread.
    pub fn during<T: Send + 'static>(
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> io::Result<(Self, Option<T>)> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut signals = Self::catch(true)?;
            let is_given_up = Arc::new(AtomicBool::new(false));
            let flag = Arc::clone(&is_given_up);
            let mut working = spawn_blocking(move || work(&flag));
            tokio::select! {
                result = &mut working => {
                    let result = result.map_err(io::Error::other)?;
                    Ok((signals, Some(result)))
                }
                () = signals.stop() => {
                    is_given_up.store(true, Ordering::Relaxed);
                    working.await.map_err(io::Error::other)?;
                    Ok((signals, None))
                }
            }
        })
    }

    /// Begins to catch them; SIGHUP only where there is something to reload.
    ///
    /// # Errors
    ///
    /// When the system gives no handler.
    pub(super) fn catch(has_children: bool) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: if has_children { Some(signal(SignalKind::hangup())?) } else { None },
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
