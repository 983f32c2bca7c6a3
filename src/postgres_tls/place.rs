//! Where the programs of this machine find the leg.
//!
//! Owns: the address, who can reach it, the socket's file.
//! Must not know: what is spoken there.

use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream as BlockingUnixStream;
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use crate::socket::Socket;

/// An address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Place {
    /// Whether only this machine reaches it.
    pub fn is_private(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }

    /// The host in libpq's words: an address, or the directory of the socket.
    pub fn host(&self) -> String {
        match self {
            Self::Tcp(address) => address.ip().to_string(),
            Self::Unix(path) => {
                path.parent().unwrap_or(Path::new("/")).to_string_lossy().into_owned()
            }
        }
    }

    /// The port in libpq's words: that in the name of the socket, which is `.s.PGSQL.5432`.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(address) => address.port(),
            Self::Unix(path) => socket_port(path).unwrap_or(super::PORT),
        }
    }
}

/// The port in the name of a socket; nothing where libpq would not find it.
pub fn socket_port(path: &Path) -> Option<u16> {
    path.file_name()?.to_str()?.strip_prefix(".s.PGSQL.")?.parse().ok()
}

/// A socket that listens, before there is a runtime.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) at: Place,
    listener: Blocking,
}

#[derive(Debug)]
enum Blocking {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener, SocketFile),
}

/// The file of a unix socket; removed at the end.
#[derive(Debug)]
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        drop(fs::remove_file(&self.0));
    }
}

/// Binds a place. A unix socket is for this user alone; one that nobody answers at is replaced.
///
/// # Errors
///
/// What the system says.
pub(super) fn bind(place: &Place) -> io::Result<Bound> {
    match place {
        Place::Tcp(address) => {
            let listener = std::net::TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let at = Place::Tcp(listener.local_addr()?);
            Ok(Bound { at, listener: Blocking::Tcp(listener) })
        }
        Place::Unix(path) => {
            let is_socket = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket());
            if is_socket && BlockingUnixStream::connect(path).is_err() {
                fs::remove_file(path)?;
            }
            let listener = std::os::unix::net::UnixListener::bind(path)?;
            let file = SocketFile(path.clone());
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            Ok(Bound { at: place.clone(), listener: Blocking::Unix(listener, file) })
        }
    }
}

/// A socket that listens, within a runtime.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// With its file, which goes with it.
    Unix {
        listener: UnixListener,
        _file: SocketFile,
    },
}

impl Listener {
    /// Takes a bound socket over.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub(super) fn of(bound: Bound) -> io::Result<Self> {
        Ok(match bound.listener {
            Blocking::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Blocking::Unix(listener, file) => {
                Self::Unix { listener: UnixListener::from_std(listener)?, _file: file }
            }
        })
    }

    /// Waits for a client.
    ///
    /// # Errors
    ///
    /// What the system says.
    ///
    /// # Cancel safety
    ///
    /// No client is lost.
    pub(super) async fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix { listener, .. } => Ok(Socket::Unix(listener.accept().await?.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_reaches_a_private_place() {
        for (text, is_private) in [
            ("127.0.0.1:5432", true),
            ("127.9.9.9:1", true),
            ("[::1]:5432", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:5432", false),
            ("[::]:5432", false),
            ("10.0.0.4:5432", false),
        ] {
            assert_eq!(Place::Tcp(text.parse().unwrap()).is_private(), is_private, "{text}");
        }
    }

    #[test]
    fn a_socket_is_private_and_one_that_was_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".s.PGSQL.6000");
        let place = Place::Unix(path.clone());
        let host = folder.path().to_str().unwrap().to_owned();
        assert_eq!((place.host(), place.port()), (host, 6000));
        let first = bind(&place).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bind(&place).unwrap_err().kind(), io::ErrorKind::AddrInUse, "it lives");
        drop(first);
        assert!(!path.exists());
        // As a process that was killed leaves it.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        drop(bind(&place).unwrap());
        fs::write(&path, "no socket").unwrap();
        assert!(bind(&place).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"no socket");
    }
}
