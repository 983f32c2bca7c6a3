//! Looks at every file of a tree and at the variants that the record names.
//!
//! Owns: what is true of the record by now.
//! Must not know: what follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::Error;
use super::file::{Eye, Seen};
use super::record::{Entry, Record};
use super::tree::{self, Tree};
use crate::coding::Coding;

/// What is known of one name.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) name: String,
    pub(super) source: Source,
    /// What the record says.
    pub(super) entry: Option<Entry>,
    /// The variants in the record that are there and hold what was written.
    pub(super) intact: BTreeSet<Coding>,
}

/// What is there by a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// A file that may have variants.
    There(Seen),
    /// None, or one that shall have no variants.
    Absent,
    /// It could not be read.
    Unknown,
}

/// Looks at everything, with some threads.
pub(super) fn look(
    (root, eye): (&Path, Eye),
    tree: &Tree,
    record: Record,
    threads: usize,
) -> (Vec<Sight>, Vec<Error>) {
    let mut names: BTreeMap<String, (bool, Option<Entry>)> =
        tree.sources.iter().map(|name| (name.clone(), (true, None))).collect();
    for (name, entry) in record.0 {
        names.entry(name).or_default().1 = Some(entry);
    }
    let names = Mutex::new(names.into_iter());
    let next = || names.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut seen = Vec::new();
        while let Some((name, (is_source, entry))) = next() {
            seen.push(look_at(root, eye, tree, (name, is_source, entry)));
        }
        seen
    };
    let mut all: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        // One that panicked has said why; its names are missing, so nothing is done to them.
        workers.into_iter().filter_map(|worker| worker.join().ok()).flatten().collect()
    });
    all.sort_unstable_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    let (sights, errors): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    (sights, errors.into_iter().flatten().collect())
}

/// The path of a variant.
pub(super) fn variant_path(root: &Path, name: &str, coding: Coding) -> PathBuf {
    root.join(format!("{name}{}", coding.ending()))
}

fn look_at(
    root: &Path,
    eye: Eye,
    tree: &Tree,
    (name, is_source, mut entry): (String, bool, Option<Entry>),
) -> (Sight, Option<Error>) {
    let path = root.join(&name);
    let mut error = None;
    let source = match is_source {
        true => match eye.see(&path, entry.as_ref().map(|entry| &entry.seen)) {
            Ok(seen) => Source::There(seen),
            Err(source) => {
                error = Some(Error::Read { path, source });
                Source::Unknown
            }
        },
        false if tree.unread.iter().any(|unread| is_beneath(&name, unread)) => Source::Unknown,
        false => Source::Absent,
    };
    let mut intact = BTreeSet::new();
    // Where the directory was not read, it is gone, or a link that is not followed.
    if tree.directories.contains(tree::parent(&name))
        && let Some(entry) = &mut entry
    {
        for (coding, result) in &mut entry.results {
            let Some(written) = &mut result.variant else { continue };
            let path = variant_path(root, &name, *coding);
            let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
            if let Ok(seen) = eye.see(&path, Some(written))
                && !is_link
                && seen.hash == written.hash
            {
                // The stamp may be a new one.
                *written = seen;
                intact.insert(*coding);
            }
        }
    }
    (Sight { name, source, entry, intact }, error)
}

fn is_beneath(name: &str, directory: &str) -> bool {
    directory.is_empty() || name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_beneath_a_directory_and_not_beneath_one_that_starts_the_same() {
        for (name, directory) in [("a/b", "a"), ("a/b/c", "a"), ("a/b/c", "a/b"), ("a", "")] {
            assert!(is_beneath(name, directory), "{name} {directory}");
        }
        for (name, directory) in [("ab/c", "a"), ("a", "a"), ("b/a/c", "a")] {
            assert!(!is_beneath(name, directory), "{name} {directory}");
        }
    }
}
