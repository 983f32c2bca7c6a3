//! Opens a file beneath a root, and nothing else.
//!
//! Owns: what a path may be made of, the proof that what was opened lies beneath the root.
//! Must not know: requests, who names the path.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use percent_encoding::percent_decode;

/// A directory whose regular files may be sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Root(PathBuf);

/// An open regular file.
#[derive(Debug)]
pub struct Opened {
    /// The only descriptor of it; never opened again.
    pub file: File,
    /// Its path as it was asked for, for the log and for its type.
    pub path: PathBuf,
    /// Its size in bytes when it was opened.
    pub size: u64,
    /// When it was last modified, as of its opening.
    pub modified: SystemTime,
}

/// Why a path leads to no file that may be sent.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// There is nothing.
    #[error("there is no file `{}`", .0.display())]
    Missing(PathBuf),
    /// The path could mean more than one file, or a file elsewhere.
    #[error("the path has {0}")]
    BadPath(&'static str),
    /// The path leads out of the root, in itself or by a link.
    #[error("`{}` is outside of `{}`", path.display(), root.display())]
    Outside {
        /// The path as it was asked for.
        path: PathBuf,
        /// The root that it should lie beneath.
        root: PathBuf,
    },
    /// A directory, a pipe, a socket or a device.
    #[error("`{}` is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// The system does not open it.
    #[error("cannot open `{}`", path.display())]
    Unreadable {
        /// The path as it was asked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Root {
    /// A root at an absolute path.
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The rest of an absolute path that lies beneath this root as it is written, or as the root
    /// is really called. It looks at the file system.
    pub fn relative<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        let written = path.strip_prefix(&self.0).ok();
        written.or_else(|| path.strip_prefix(fs::canonicalize(&self.0).ok()?).ok())
    }

    /// Opens the regular file `relative`, a path that [`from_url`] or [`check`] let through. It
    /// blocks as long as the file system does.
    ///
    /// A link is followed as long as its end lies beneath the root. The file is first opened as a
    /// mere place in the tree (`O_PATH`): that has no effect on pipes and devices, and pins the
    /// file, whatever happens to its name meanwhile. The kernel then tells the type of what is
    /// pinned and its real path; only a regular file beneath the real root is opened for reading,
    /// by its descriptor and not by its name. So nobody who exchanges names or links between the
    /// steps can have another file opened than the one that was checked.
    ///
    /// # Errors
    ///
    /// Every [`Refusal`] but [`Refusal::BadPath`].
    pub fn open(&self, relative: &Path) -> Result<Opened, Refusal> {
        let root = fs::canonicalize(&self.0)
            .map_err(|source| Refusal::Unreadable { path: self.0.clone(), source })?;
        let opened = open_beneath(&root, relative)?;
        Ok(Opened { path: self.0.join(relative), ..opened })
    }
}

/// As [`Root::open`], beneath a root whose real path is known.
///
/// # Errors
///
/// As [`Root::open`].
pub fn open_beneath(root: &Path, relative: &Path) -> Result<Opened, Refusal> {
    let path = root.join(relative);
    let refused = |source: io::Error| refuse(source, &path);
    let pinned =
        OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(&path).map_err(refused)?;
    let link = format!("/proc/self/fd/{}", pinned.as_raw_fd());
    let unreadable = |source| Refusal::Unreadable { path: path.clone(), source };
    let real = fs::read_link(&link).map_err(unreadable)?;
    if !real.starts_with(root) {
        return Err(Refusal::Outside { path, root: root.to_owned() });
    }
    if !pinned.metadata().map_err(unreadable)?.is_file() {
        return Err(Refusal::NotAFile(path));
    }
    let file = File::open(&link).map_err(unreadable)?;
    Opened::new(file, path)
}

/// Opens a regular file wherever a path leads. It blocks as long as the file system does, but not
/// for a writer of a pipe.
///
/// # Errors
///
/// As [`Root::open`], without [`Refusal::Outside`].
pub fn open_anywhere(path: PathBuf) -> Result<Opened, Refusal> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&path)
        .map_err(|source| refuse(source, &path))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Opened::new(file, path),
        Ok(_) => Err(Refusal::NotAFile(path)),
        Err(source) => Err(Refusal::Unreadable { path, source }),
    }
}

impl Opened {
    fn new(file: File, path: PathBuf) -> Result<Self, Refusal> {
        match file.metadata().and_then(|metadata| version(&metadata)) {
            Ok((size, modified)) => Ok(Self { file, path, size, modified }),
            Err(source) => Err(Refusal::Unreadable { path, source }),
        }
    }
}

/// The size and the modification time of a file: what tells its versions apart.
///
/// # Errors
///
/// Where the file system keeps no such time.
pub fn version(metadata: &Metadata) -> io::Result<(u64, SystemTime)> {
    Ok((metadata.len(), metadata.modified()?))
}

fn refuse(source: io::Error, path: &Path) -> Refusal {
    let path = path.to_owned();
    let is_missing = matches!(
        source.kind(),
        ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename
    );
    if is_missing { Refusal::Missing(path) } else { Refusal::Unreadable { path, source } }
}

/// Reads the path of a file from a part of a URL's path, percent-encoded once.
///
/// # Errors
///
/// [`Refusal::BadPath`] for what [`check`] refuses, and for what it would refuse if it were decoded
/// a second time.
pub fn from_url(text: &[u8]) -> Result<PathBuf, Refusal> {
    let once: Vec<u8> = percent_decode(text).collect();
    let twice: Vec<u8> = percent_decode(&once).collect();
    if twice != once && (is_bad(&twice).is_some() || slashes(&twice) != slashes(&once)) {
        return Err(Refusal::BadPath("something that is percent-encoded twice"));
    }
    check(&once)
}

/// Checks a path of a file beneath a root.
///
/// # Errors
///
/// [`Refusal::BadPath`] where a part of it is `.` or `..`, where it has a NUL or a back-slash, and
/// where it ends in a slash or is empty.
pub fn check(path: &[u8]) -> Result<PathBuf, Refusal> {
    match is_bad(path) {
        Some(why) => Err(Refusal::BadPath(why)),
        // Two slashes are as good as one, also at the start, where `join` would see a new path.
        None => Ok(parts(path).map(OsStr::from_bytes).collect()),
    }
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty())
}

fn slashes(path: &[u8]) -> usize {
    memchr::memchr_iter(b'/', path).count()
}

fn is_bad(path: &[u8]) -> Option<&'static str> {
    if memchr::memchr2(0, b'\\', path).is_some() {
        Some("a NUL or a back-slash")
    } else if parts(path).any(|part| part == b"." || part == b"..") {
        Some("`.` or `..` in it")
    } else if path.last().is_none_or(|byte| *byte == b'/') {
        Some("no name of a file at its end")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_means_one_file_or_is_refused() {
        for (text, wanted) in [
            ("a.pdf", Some("a.pdf")),
            ("b/a.pdf", Some("b/a.pdf")),
            ("/b//a.pdf", Some("b/a.pdf")),
            ("%61%20b.pdf", Some("a b.pdf")),
            ("b%2fa.pdf", Some("b/a.pdf")),
            ("100%25.pdf", Some("100%.pdf")),
            ("100%.pdf", Some("100%.pdf")),
            ("a%2520b.pdf", Some("a%20b.pdf")),
            ("...", Some("...")),
            (".hidden", Some(".hidden")),
            ("%C3%A4.pdf", Some("ä.pdf")),
            ("", None),
            ("/", None),
            ("b/", None),
            ("..", None),
            ("../a", None),
            ("b/../a", None),
            ("b/..", None),
            ("./a", None),
            ("%2e%2e/a", None),
            (".%2E/a", None),
            ("%2e%2e%2fa", None),
            ("%252e%252e/a", None),
            ("%252e%252e%252fa", None),
            ("b%252fa", None),
            ("a%00", None),
            ("a%2500", None),
            (r"..\a", None),
            ("..%5ca", None),
            ("..%255ca", None),
        ] {
            let found = from_url(text.as_bytes()).ok();
            assert_eq!(found.as_deref(), wanted.map(Path::new), "{text}");
        }
    }

    #[test]
    fn exchanging_links_meanwhile_opens_nothing_outside() {
        let folder = std::env::temp_dir().join(format!("forebay-confine-{}", std::process::id()));
        let media = folder.join("media");
        fs::create_dir_all(media.join("inside")).unwrap();
        fs::create_dir_all(folder.join("outside")).unwrap();
        fs::write(media.join("inside/a"), "inside").unwrap();
        fs::write(folder.join("outside/a"), "outside").unwrap();
        let (link, new) = (media.join("link"), media.join("new"));
        let exchange = |target: &str| {
            std::os::unix::fs::symlink(target, &new).unwrap();
            fs::rename(&new, &link).unwrap();
        };
        exchange("inside");
        let root = Root::new(media.clone());
        let is_over = std::sync::atomic::AtomicBool::new(false);
        let (mut opened, mut refused) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    exchange("../outside");
                    exchange("inside");
                }
            });
            for _ in 0..100_000 {
                match root.open(Path::new("link/a")) {
                    Ok(file) => {
                        assert_eq!(io::read_to_string(file.file).unwrap(), "inside");
                        opened += 1;
                    }
                    Err(Refusal::Outside { .. }) => refused += 1,
                    Err(why) => panic!("{why}"),
                }
                if opened > 500 && refused > 500 {
                    break;
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        assert!(opened > 0 && refused > 0, "{opened} opened, {refused} refused");
        fs::remove_dir_all(folder).unwrap();
    }

    proptest! {
        #[test]
        fn no_text_leads_upwards(text in "(\\.|/|%2e|%2F|%25|a|%00|\\\\|%5C|2e|2f){0,12}") {
            if let Ok(path) = from_url(text.as_bytes()) {
                prop_assert!(path.is_relative());
                let is_name = |part| matches!(part, std::path::Component::Normal(_));
                prop_assert!(path.components().all(is_name));
            }
        }
    }
}
