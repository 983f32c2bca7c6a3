//! The other side of a connection, as the steps of a request know it.
//!
//! Owns: who that is, what the connection turns to.
//! Must not know: streams, how a connection is served.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::Settings;
use crate::proxy::guard::Vital;
use crate::proxy::tunnel;
use crate::socket::Socket;
use crate::telemetry::Record;

/// The other side of a connection, as the steps of a request know it.
#[derive(Debug)]
pub struct Client {
    /// Who holds the socket, or whom its PROXY protocol header names.
    pub peer: SocketAddr,
    /// The address that it reached.
    pub local: SocketAddr,
    /// Whether the protocol of this connection can be changed.
    pub may_upgrade: bool,
    /// The connection's vital signs.
    pub vital: Arc<Vital>,
    /// What it obeys.
    pub settings: Settings,
    /// Boxed: few connections change their protocol, and idle ones should be small.
    next: Mutex<Option<Box<Next>>>,
}

/// What a connection turns to once the answer that changes its protocol has gone out.
#[derive(Debug)]
pub struct Next {
    /// The application's side.
    pub application: tunnel::End<Socket>,
    /// What both will speak.
    pub protocol: tunnel::Protocol,
    /// Held as long as the tunnel lives.
    pub place: tunnel::Place,
    /// The line that its end leaves in the log.
    pub record: Record,
}

impl Client {
    pub(super) fn new(
        peer: SocketAddr,
        local: SocketAddr,
        may_upgrade: bool,
        settings: Settings,
    ) -> Arc<Self> {
        let vital = Arc::new(Vital::new());
        Arc::new(Self { peer, local, may_upgrade, vital, settings, next: Mutex::new(None) })
    }

    /// Joins this connection to the application once the answer has gone out.
    pub(in crate::proxy) fn becomes(&self, next: Next) {
        self.vital.becomes_tunnel();
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(next));
    }

    pub(super) fn take_next(&self) -> Option<Box<Next>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
