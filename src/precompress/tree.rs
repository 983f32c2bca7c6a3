//! Walks a tree and finds the files that may have variants.
//!
//! Owns: which files are looked at and which are left out, and why.
//! Must not know: what files hold, the record, encoders.

use std::collections::HashSet;
use std::fs::{self, DirEntry, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use super::{Error, Skips, write};
use crate::coding::Coding;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// The names of the files that may have variants: paths beneath the directory, sorted.
    pub(super) sources: Vec<String>,
    /// The directories that were read, by name; the whole tree's is empty.
    pub(super) directories: HashSet<String>,
    /// The directories that could not be read.
    pub(super) unread: Vec<String>,
    pub(super) left_out: Vec<(PathBuf, Reason)>,
    /// The temporary files of runs that were killed.
    pub(super) leftovers: Vec<PathBuf>,
    pub(super) errors: Vec<Error>,
}

/// Why a file is left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Reason {
    #[error("its name is not UTF-8")]
    Name,
    #[error("its name is so long that a variant's does not fit")]
    LongName,
    #[error("a link that leads out of the directory")]
    LeadsOut,
    #[error("a link to nothing")]
    LeadsNowhere,
    #[error("neither a file nor a directory")]
    Special,
    #[error("larger than 64 MiB")]
    TooLarge,
}

/// The largest file that is compressed. It bounds memory and time, brotli's being a minute for 32 MiB,
/// and nobody fetches text of this size in one piece.
const LARGEST: u64 = 64 << 20;
/// The longest name that file systems take, in bytes.
const LONGEST_NAME: usize = 255;
/// The only directory with a dot that is there to be served (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// Walks the tree beneath a directory, whose path has no links in it.
pub(super) fn walk(root: &Path, skips: &Skips) -> Tree {
    let mut tree = Tree::default();
    let mut waiting = vec![String::new()];
    while let Some(directory) = waiting.pop() {
        let path = root.join(&directory);
        match fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => {
                let found = Found::of(root, &entries, &mut tree);
                waiting.extend(found.directories.iter().map(|name| join(&directory, name)));
                let sources = found.files.iter().filter(|name| found.is_source(name, skips));
                tree.sources.extend(sources.map(|name| join(&directory, name)));
                tree.directories.insert(directory);
            }
            Err(source) => {
                tree.errors.push(Error::List { path, source });
                tree.unread.push(directory);
            }
        }
    }
    tree.sources.sort_unstable();
    tree
}

/// The directory part of a name.
pub(super) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(directory, _)| directory)
}

fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// What is in one directory.
#[derive(Debug, Default)]
struct Found {
    directories: Vec<String>,
    /// Regular files, and links to some beneath the root.
    files: HashSet<String>,
}

impl Found {
    fn of(root: &Path, entries: &[DirEntry], tree: &mut Tree) -> Self {
        let mut found = Self::default();
        for entry in entries {
            let path = entry.path();
            let Ok(name) = entry.file_name().into_string() else {
                tree.left_out.push((path, Reason::Name));
                continue;
            };
            if write::is_temporary(&name) {
                tree.leftovers.push(path);
            } else if name == WELL_KNOWN || !name.starts_with('.') {
                match kind(root, &path, &name) {
                    Ok(Kind::Directory) => found.directories.push(name),
                    Ok(Kind::File) => drop(found.files.insert(name)),
                    Ok(Kind::Elsewhere) => {}
                    Ok(Kind::LeftOut(reason)) => tree.left_out.push((path, reason)),
                    Err(source) => tree.errors.push(Error::Read { path, source }),
                }
            }
        }
        found
    }

    /// Whether variants are made of a file: not of a variant, whoever wrote it.
    fn is_source(&self, name: &str, skips: &Skips) -> bool {
        let is_variant =
            Coding::of_variant(name).is_some_and(|(_, source)| self.files.contains(source));
        !is_variant && !skips.matches(name)
    }
}

#[derive(Debug)]
enum Kind {
    Directory,
    File,
    /// A link to what is walked at its own place, so that cycles end nowhere.
    Elsewhere,
    LeftOut(Reason),
}

fn kind(root: &Path, path: &Path, name: &str) -> io::Result<Kind> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => match target(root, path)? {
            Ok(metadata) if metadata.is_dir() => return Ok(Kind::Elsewhere),
            Ok(metadata) => metadata,
            Err(reason) => return Ok(Kind::LeftOut(reason)),
        },
        Ok(metadata) => metadata,
        // Removed since its directory was read.
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Kind::Elsewhere),
        Err(why) => return Err(why),
    };
    let longest = Coding::ALL.map(|coding| coding.ending().len()).into_iter().max().unwrap_or(0);
    Ok(match metadata {
        it if it.is_dir() => Kind::Directory,
        it if !it.is_file() => Kind::LeftOut(Reason::Special),
        it if it.len() > LARGEST => Kind::LeftOut(Reason::TooLarge),
        _ if name.len() + longest > LONGEST_NAME => Kind::LeftOut(Reason::LongName),
        _ => Kind::File,
    })
}

/// What a link leads to, beneath the root.
fn target(root: &Path, link: &Path) -> io::Result<Result<Metadata, Reason>> {
    match fs::canonicalize(link) {
        Ok(path) if path.starts_with(root) => fs::symlink_metadata(path).map(Ok),
        Ok(_) => Ok(Err(Reason::LeadsOut)),
        // A link to itself is an error of its own kind, which the standard library has no name for.
        Err(why) if why.raw_os_error() == Some(libc::ELOOP) => Ok(Err(Reason::LeadsNowhere)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Err(Reason::LeadsNowhere)),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(make: impl FnOnce(&Path)) -> Tree {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        make(&root);
        walk(&root, &Skips::default())
    }

    fn file(root: &Path, name: &str) {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), name).unwrap();
    }

    #[test]
    fn variants_and_what_is_skipped_or_hidden_are_no_sources() {
        let tree = tree(|root| {
            for name in [
                "a.css",
                "a.css.gz",
                "a.css.br",
                "a.css.zst",
                "a.css.zstd",
                "b/c.js",
                "b/d.png",
                "b/.hidden",
                ".git/config",
                ".well-known/security.txt",
                "orphan.txt.gz",
            ] {
                file(root, name);
            }
        });
        assert_eq!(tree.sources, [".well-known/security.txt", "a.css", "b/c.js"]);
        assert!(tree.left_out.is_empty() && tree.errors.is_empty());
        assert_eq!(tree.directories, ["", "b", ".well-known"].map(str::to_owned).into());
    }

    #[test]
    fn without_the_usual_skips_a_variant_is_still_no_source() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for name in ["a.css", "a.css.gz", "a.css.gz.br", "b.png", "orphan.gz"] {
            file(&root, name);
        }
        let skips = Skips { usual: false, more: vec!["css".to_owned()] };
        assert_eq!(walk(&root, &skips).sources, ["b.png", "orphan.gz"]);
    }

    #[test]
    fn links_count_as_far_as_they_stay_within() {
        let elsewhere = tempfile::tempdir().unwrap();
        file(elsewhere.path(), "secret.txt");
        let tree = tree(|root| {
            file(root, "a/b.txt");
            symlink("a/b.txt", root.join("within.txt")).unwrap();
            symlink(".", root.join("a/cycle")).unwrap();
            symlink("loop.txt", root.join("loop.txt")).unwrap();
            symlink("nothing.txt", root.join("dangling.txt")).unwrap();
            symlink(elsewhere.path(), root.join("out")).unwrap();
            symlink(elsewhere.path().join("secret.txt"), root.join("out.txt")).unwrap();
        });
        assert_eq!(tree.sources, ["a/b.txt", "within.txt"]);
        let mut left_out: Vec<_> = tree
            .left_out
            .iter()
            .map(|(path, reason)| (path.file_name().unwrap().to_str().unwrap(), *reason))
            .collect();
        left_out.sort_unstable_by_key(|(name, _)| *name);
        let expected = [
            ("dangling.txt", Reason::LeadsNowhere),
            ("loop.txt", Reason::LeadsNowhere),
            ("out", Reason::LeadsOut),
            ("out.txt", Reason::LeadsOut),
        ];
        assert_eq!(left_out, expected);
    }

    #[test]
    fn a_file_is_left_out_above_the_largest_size_and_the_longest_name() {
        let name = |length: usize| "n".repeat(length);
        let tree = tree(|root| {
            for (name, bytes) in [("largest", LARGEST), ("larger", LARGEST + 1)] {
                fs::File::create(root.join(name)).unwrap().set_len(bytes).unwrap();
            }
            file(root, &name(251));
            file(root, &name(252));
        });
        assert_eq!(tree.sources, ["largest".to_owned(), name(251)]);
        let mut reasons: Vec<_> = tree.left_out.iter().map(|(_, reason)| *reason).collect();
        reasons.sort_unstable_by_key(|reason| reason.to_string());
        assert_eq!(reasons, [Reason::LongName, Reason::TooLarge]);
    }
}
