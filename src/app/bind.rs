//! The public port.
//!
//! Owns: how it is bound.
//! Must not know: who accepts.

use std::io;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::Error;
use crate::config::Config;

/// Binds the public port; from then on the system takes connections, which wait until the data
/// threads run. A restart must not wait for old connections to be forgotten.
///
/// # Errors
///
/// [`Error::Listen`].
pub fn bind(config: &Config) -> Result<std::net::TcpListener, Error> {
    let address = config.listen;
    let bind = || {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        net::sockopt::set_socket_reuseaddr(&socket, true)?;
        net::bind(&socket, &address)?;
        net::listen(&socket, BACKLOG)?;
        io::Result::Ok(socket.into())
    };
    bind().map_err(|source| {
        let origin = config.origin_of("listen");
        Error::Listen { address, origin, source }
    })
}

/// Connections that the system may hold until they are accepted.
const BACKLOG: i32 = 4096;
