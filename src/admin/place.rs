//! Where the default admin socket is, and how a socket comes into the file system.
//!
//! Owns: its name, the places where it is looked for, what happens to a left-over one.
//! Must not know: what is served.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::Mode;
use rustix::net::{self, AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::process::getuid;

use super::Error;

/// The folder of the default socket: that of the user's session, else that of temporary files.
pub fn folder(environment: &BTreeMap<String, String>) -> PathBuf {
    let session = environment.get("XDG_RUNTIME_DIR").map(PathBuf::from);
    session
        .filter(|path| path.is_absolute() && path.is_dir())
        .or_else(|| environment.get("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute()))
        .unwrap_or_else(|| PathBuf::from(TEMPORARY))
}

/// The default socket of whoever listens on a public port. The user is part of the name, since many
/// may write to the folder.
pub fn default_path(folder: &Path, public_port: u16) -> PathBuf {
    folder.join(format!("{}{public_port}{ENDING}", beginning()))
}

/// The default sockets of this user that somebody answers at: those in the folder where one would
/// be put now, else those in the first other folder that has any. A shell may have other variables
/// than the service.
pub fn found(environment: &BTreeMap<String, String>) -> Vec<PathBuf> {
    let session = PathBuf::from(format!("/run/user/{}", getuid().as_raw()));
    let temporary = environment.get("TMPDIR").map(PathBuf::from);
    let mut folders = vec![folder(environment)];
    folders.extend(temporary.into_iter().chain([PathBuf::from(TEMPORARY), session]));
    let found = folders.iter().map(|folder| sockets(folder)).find(|found| !found.is_empty());
    let mut found = found.unwrap_or_default();
    found.sort();
    found
}

fn sockets(folder: &Path) -> Vec<PathBuf> {
    let beginning = beginning();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter(|entry| {
        entry.file_name().to_str().is_some_and(|name| {
            let port = name.strip_prefix(&beginning).and_then(|rest| rest.strip_suffix(ENDING));
            port.is_some_and(|port| port.parse::<u16>().is_ok())
        })
    });
    let own = named.map(|entry| entry.path()).filter(|path| is_own_socket(path));
    own.filter(|path| UnixStream::connect(path).is_ok()).collect()
}

/// Whether it is a socket, and nobody else put it there.
fn is_own_socket(path: &Path) -> bool {
    let user = getuid().as_raw();
    fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_socket() && it.uid() == user)
}

/// Removes what a dead process left.
///
/// # Errors
///
/// [`Error::Taken`] if it is not dead, [`Error::NoSocket`] if it is something else, and
/// [`Error::Unix`] if it cannot be removed.
pub(super) fn clear(path: &Path) -> Result<(), Error> {
    let Ok(present) = fs::symlink_metadata(path) else { return Ok(()) };
    let path = path.to_owned();
    if !present.file_type().is_socket() {
        return Err(Error::NoSocket { path });
    }
    match UnixStream::connect(&path) {
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(&path).map_err(|source| Error::Unix { path, source })
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            Err(Error::Unix { path, source })
        }
        Ok(_) | Err(_) => Err(Error::Taken { path }),
    }
}

/// Binds a socket that only this user can connect to, from its first moment.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Linux gives the file the mode that the socket has (unix(7), "Pathname socket ownership and
    // permissions"); one after the fact would leave a moment.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    rustix::fs::chmod(path, Mode::RUSR | Mode::WUSR)?;
    net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

fn beginning() -> String {
    format!("forebay-{}-", getuid().as_raw())
}

const ENDING: &str = ".sock";
const TEMPORARY: &str = "/tmp";
const BACKLOG: i32 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_left_over_socket_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = default_path(folder.path(), 8000);
        clear(&path).unwrap();
        let listener = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(clear(&path), Err(Error::Taken { .. })));
        assert_eq!(sockets(folder.path()), std::slice::from_ref(&path));
        drop(listener);
        assert!(path.exists(), "it is left over");
        assert!(sockets(folder.path()).is_empty());
        clear(&path).unwrap();
        assert!(!path.exists());
        fs::write(&path, "text").unwrap();
        assert!(matches!(clear(&path), Err(Error::NoSocket { .. })));
        assert!(path.exists());
    }

    #[test]
    fn the_folder_is_that_of_the_session_or_that_of_temporary_files() {
        let session = tempfile::tempdir().unwrap();
        let text = session.path().to_str().unwrap().to_owned();
        let mut environment = BTreeMap::from([("TMPDIR".to_owned(), "/var/tmp".to_owned())]);
        assert_eq!(folder(&environment), Path::new("/var/tmp"));
        environment.insert("XDG_RUNTIME_DIR".to_owned(), text.clone());
        assert_eq!(folder(&environment), session.path());
        environment.insert("XDG_RUNTIME_DIR".to_owned(), format!("{text}/missing"));
        assert_eq!(folder(&environment), Path::new("/var/tmp"));
        assert_eq!(folder(&BTreeMap::new()), Path::new("/tmp"));
    }
}
