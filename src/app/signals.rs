//! The signals that forebay obeys.
//!
//! Owns: which signal asks for what.
//! Must not know: what is done then.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that forebay obeys.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Option<Signal>,
}

impl Signals {
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
