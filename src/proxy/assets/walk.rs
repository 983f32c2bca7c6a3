//! Looks at the directories of assets: which files are there, and which versions of them.
//!
//! Owns: what is passed over (hidden names, links that lead out, what is no file) and the limits.
//! Must not know: what the files hold, variants, how an answer is made.

use std::fs::{self, DirEntry, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Links, Place};

/// The most files; further ones are passed over. Each takes about 1 KiB of memory beside its content.
pub(super) const FILES_LIMIT: usize = 200_000;

/// The most directories that are looked into; links among them can make a tree of any size.
const DIRECTORIES_LIMIT: usize = 50_000;

/// The most oddities that one look remembers.
const ODDITIES_LIMIT: usize = 1000;

/// The most directories within one another.
const DEPTH_LIMIT: usize = 64;

/// What tells the versions of a file apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Version {
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    /// When anything about it was changed last, which nobody can set back.
    changed: (i64, i64),
    inode: u64,
}

impl Version {
    /// The version that an open file or a directory's entry is.
    pub(super) fn of(metadata: &Metadata) -> io::Result<Self> {
        let (size, inode) = (metadata.len(), metadata.ino());
        let changed = (metadata.ctime(), metadata.ctime_nsec());
        Ok(Self { size, modified: metadata.modified()?, changed, inode })
    }
}

/// A file that may be served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Found {
    /// Its path beneath the directory, with `/` between its parts.
    pub(super) name: String,
    pub(super) version: Version,
}

/// Something that is passed over, and why.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Oddity {
    pub(super) path: PathBuf,
    pub(super) what: &'static str,
}

/// What one look at a directory shows; files in the order of their names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Listing {
    pub(super) files: Vec<Found>,
    pub(super) oddities: Vec<Oddity>,
    /// Nothing, if the directory is not there.
    pub(super) root: Option<PathBuf>,
    /// Whether the file system failed, so that something is not listed that may be there.
    pub(super) has_failed: bool,
}

/// A directory on the way, by its real path, its name beneath the root, and the real paths of the
/// links that led to it.
struct Stop {
    real: PathBuf,
    name: String,
    links: Vec<PathBuf>,
}

/// Looks at a place. It blocks as long as the file system does.
pub(super) fn look(place: &Place, links: Links) -> Listing {
    let mut listing = Listing::default();
    let root = match fs::canonicalize(&place.directory) {
        Ok(root) if root.is_dir() => root,
        Ok(_) => {
            listing.note(place.directory.clone(), "it is no directory");
            return listing;
        }
        Err(why) => {
            listing.fail(place.directory.clone(), &why, Some("there is no such directory"));
            return listing;
        }
    };
    let mut walk = Walk { root: root.clone(), is_top: place.is_top(), links, listing, entered: 0 };
    let mut stops = vec![Stop { real: root.clone(), name: String::new(), links: Vec::new() }];
    while let Some(stop) = stops.pop() {
        walk.entered += 1;
        if walk.entered > DIRECTORIES_LIMIT || walk.listing.files.len() >= FILES_LIMIT {
            walk.listing.note(root.clone(), TOO_MANY);
            break;
        }
        walk.enter(&stop, &mut stops);
    }
    let mut listing = walk.listing;
    listing.files.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    listing.root = Some(root);
    listing
}

impl Listing {
    fn note(&mut self, path: PathBuf, what: &'static str) {
        if self.oddities.len() < ODDITIES_LIMIT {
            self.oddities.push(Oddity { path, what });
        }
    }

    /// Notes what cannot be looked at. What is gone, or forbidden, is that for certain; any other
    /// failure may pass, as when a share fails over.
    fn fail(&mut self, path: PathBuf, why: &io::Error, gone: Option<&'static str>) {
        let kind = why.kind();
        if matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory) {
            if let Some(gone) = gone {
                self.note(path, gone);
            }
        } else if kind == ErrorKind::PermissionDenied {
            self.note(path, "forebay may not read it");
        } else {
            self.has_failed = true;
            self.note(path, "the file system failed");
        }
    }
}

struct Walk {
    root: PathBuf,
    /// Whether the files lie at `/`, where `/.well-known/` is (RFC 8615).
    is_top: bool,
    links: Links,
    listing: Listing,
    entered: usize,
}

impl Walk {
    fn enter(&mut self, stop: &Stop, stops: &mut Vec<Stop>) {
        let entries = match fs::read_dir(&stop.real) {
            Ok(entries) => entries,
            Err(why) => return self.listing.fail(stop.real.clone(), &why, None),
        };
        for entry in entries {
            match entry {
                Ok(entry) => self.see(&entry, stop, stops),
                Err(why) => self.listing.fail(stop.real.clone(), &why, None),
            }
        }
    }

    fn see(&mut self, entry: &DirEntry, stop: &Stop, stops: &mut Vec<Stop>) {
        let path = entry.path();
        let text = entry.file_name();
        let Some(text) = text.to_str() else {
            return self.listing.note(path, "its name is not UTF-8");
        };
        if text.starts_with('.') && !(self.is_top && stop.name.is_empty() && text == WELL_KNOWN) {
            return;
        }
        let name = if stop.name.is_empty() { text.into() } else { format!("{}/{text}", stop.name) };
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(why) => return self.listing.fail(path, &why, None),
        };
        if kind.is_symlink() {
            return self.follow(path, name, stop, stops);
        }
        if kind.is_dir() {
            self.descend(Stop { real: path, name, links: stop.links.clone() }, stops);
        } else if kind.is_file() {
            self.keep(path, name, entry.metadata());
        } else {
            self.listing.note(path, "it is neither a file nor a directory");
        }
    }

    /// Follows a link to its end, which must lie beneath the root unless all links are followed.
    fn follow(&mut self, path: PathBuf, name: String, stop: &Stop, stops: &mut Vec<Stop>) {
        let (Ok(real), Ok(metadata)) = (fs::canonicalize(&path), fs::metadata(&path)) else {
            return self.listing.note(path, "the link leads nowhere");
        };
        if self.links == Links::Inside && !real.starts_with(&self.root) {
            return self.listing.note(path, "the link leads out of the directory");
        }
        if metadata.is_file() {
            return self.keep(path, name, Ok(metadata));
        }
        if !metadata.is_dir() {
            return self.listing.note(path, "it is neither a file nor a directory");
        }
        if stop.real.starts_with(&real) || stop.links.contains(&real) {
            return self.listing.note(path, "the link leads back to where it lies");
        }
        let mut links = stop.links.clone();
        links.push(real.clone());
        self.descend(Stop { real, name, links }, stops);
    }

    fn descend(&mut self, stop: Stop, stops: &mut Vec<Stop>) {
        if depth(&stop.name) > DEPTH_LIMIT {
            self.listing.note(stop.real, "it lies too deep");
        } else {
            stops.push(stop);
        }
    }

    fn keep(&mut self, path: PathBuf, name: String, metadata: io::Result<Metadata>) {
        match metadata.and_then(|metadata| Version::of(&metadata)) {
            // The walk ends with this directory.
            Ok(_) if self.listing.files.len() >= FILES_LIMIT => {}
            Ok(version) => self.listing.files.push(Found { name, version }),
            Err(why) => self.listing.fail(path, &why, None),
        }
    }
}

fn depth(name: &str) -> usize {
    Path::new(name).components().count()
}

const WELL_KNOWN: &str = ".well-known";
const TOO_MANY: &str = "it has 200,000 files or 50,000 directories; the rest is passed over";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::assets::tests::folder;
    use std::os::unix::fs::symlink;

    fn names(place: &Place, links: Links) -> Vec<String> {
        look(place, links).files.into_iter().map(|found| found.name).collect()
    }

    fn place(prefix: &str, directory: PathBuf) -> Place {
        Place { prefix: prefix.to_owned(), directory }
    }

    #[test]
    fn only_files_beneath_the_directory_are_found() {
        let folder = folder();
        let root = folder.join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join(".well-known")).unwrap();
        fs::create_dir_all(root.join(".git")).unwrap();
        for name in ["a/b/c.css", "z.js", ".env", ".git/config", ".well-known/security.txt"] {
            fs::write(root.join(name), name).unwrap();
        }
        fs::write(folder.join("secret"), "secret").unwrap();
        symlink("../secret", root.join("out")).unwrap();
        symlink("nothing", root.join("broken")).unwrap();
        symlink("a/b/c.css", root.join("inside.css")).unwrap();
        symlink("..", root.join("a/up")).unwrap();
        symlink("a/b", root.join("b")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();

        let listing = look(&place("/static/", root.clone()), Links::Inside);
        let found: Vec<_> = listing.files.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(found, ["a/b/c.css", "b/c.css", "inside.css", "z.js"]);
        assert_eq!(listing.oddities.len(), 4, "{:?}", listing.oddities);
        let all = names(&place("/static/", root.clone()), Links::Anywhere);
        assert!(all.contains(&"out".to_owned()), "{all:?}");
        let top = names(&place("/", root), Links::Inside);
        assert!(top.contains(&".well-known/security.txt".to_owned()), "{top:?}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn links_in_a_circle_come_to_an_end() {
        let folder = folder();
        fs::create_dir_all(folder.join("a")).unwrap();
        fs::create_dir_all(folder.join("b")).unwrap();
        symlink("../b", folder.join("a/x")).unwrap();
        symlink("../a", folder.join("b/y")).unwrap();
        fs::write(folder.join("a/f"), "").unwrap();
        let found = names(&place("/static/", folder.clone()), Links::Inside);
        assert!(found.contains(&"a/f".to_owned()) && found.len() < 8, "{found:?}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_directory_that_is_not_there_is_said_to_be_missing() {
        let listing = look(&place("/static/", "/no/such".into()), Links::Inside);
        assert_eq!(listing.root, None);
        assert_eq!(listing.oddities.len(), 1);
    }
}
