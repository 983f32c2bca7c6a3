//! Compresses a tree of files at build time, so that no request has to wait for it.
//!
//! Owns: the order of the steps, what the command may be told, how it ends.
//! Must not know: requests, argv, who serves the files.

mod tree;
mod file;
mod record;
mod survey;
mod plan;
mod encoder;
mod write;
mod work;
mod commit;
mod lock;
mod report;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use tokio::time::Instant;

use crate::coding::{self, Coding};
use commit::{Committer, Step};
use file::Eye;
use lock::Lock;
use plan::{Plan, Wanted};
use record::Record;
use report::{Report, Size, beneath};

/// What to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The tree, such as Django's `STATIC_ROOT`.
    pub directory: PathBuf,
    /// The codings that the tree shall have variants of, and no others.
    pub codings: Vec<Coding>,
    /// How hard it is tried.
    pub effort: Effort,
    /// The files that are not tried.
    pub skips: Skips,
    /// What the run is for.
    pub purpose: Purpose,
    /// How many threads compress.
    pub threads: NonZeroUsize,
    /// What is shown besides errors.
    pub show: Show,
}

/// How hard it is tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effort {
    /// The fewest bytes.
    Best,
    /// A third of the time for three per cent more bytes.
    Fast,
}

/// Which files are not worth compressing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Skips {
    /// Whether those count that [`coding::is_compressed_already`] knows.
    pub usual: bool,
    /// More endings, without the dot.
    pub more: Vec<String>,
}

/// What the run is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// Writes what is missing, removes what is superfluous.
    Write,
    /// Writes nothing; says whether a run would.
    Check,
}

/// What is shown besides errors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Show {
    /// For people who watch: a bar.
    Bar,
    /// For logs: a line for each variant.
    Lines,
    /// Only what is wrong.
    Nothing,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Every variant is there and right.
    InOrder,
    /// What is wrong has been said.
    OutOfOrder,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to compress.
    #[error("`{}` is no directory", path.display())]
    NoDirectory {
        /// As it was given.
        path: PathBuf,
        /// What the system said, if it was asked.
        source: Option<io::Error>,
    },
    /// Another run did not end.
    #[error("another run has been at work in `{}` for half an hour", path.display())]
    Busy {
        /// The tree.
        path: PathBuf,
    },
    /// A directory cannot be listed.
    #[error("cannot list the directory `{}`", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file got another content meanwhile.
    #[error("`{}` changed while it was compressed", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// An encoder gave up.
    #[error("cannot compress `{}` with {}", path.display(), coding.name())]
    Encode {
        /// The file.
        path: PathBuf,
        /// The encoder's coding.
        coding: Coding,
        /// What the encoder said.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file cannot be removed.
    #[error("cannot remove `{}`", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Brings a tree into order, or says whether it is.
///
/// # Errors
///
/// [`Error::NoDirectory`] and whatever ends a run early. Errors with single files go to `complain`,
/// and the other files are done.
pub fn run(settings: &Settings, complain: &mut dyn FnMut(&Error)) -> Result<End, Error> {
    let began = Instant::now();
    let root = root(&settings.directory)?;
    let mut report = Report::new(settings.show, complain);
    let _lock = Lock::of(&root, || {
        report.note(format_args!("waiting for another run in {}", root.display()));
    })?;
    let eye = Eye::open_now();
    let wanted: Wanted =
        settings.codings.iter().map(|it| (*it, settings.effort.level(*it))).collect();
    let old = Record::load(&root).unwrap_or_else(|why| {
        let name = record::NAME;
        report.note(format_args!("{name} does not count, so all is compressed anew: {why}"));
        Record::default()
    });
    let tree = tree::walk(&root, &settings.skips);
    for (path, reason) in &tree.left_out {
        report.note(format_args!("{}: left out, {reason}", beneath(&root, path)));
    }
    let threads = settings.threads.get();
    let (sights, errors) = survey::look((&root, eye), &tree, old.clone(), threads);
    for why in tree.errors.iter().chain(&errors) {
        report.error(why);
    }
    let plan = plan::plan(&sights, &wanted);
    let record = match settings.purpose {
        Purpose::Check => {
            let is_in_order = check(&root, &plan, &wanted, &tree.leftovers, &mut report);
            report.has_errors |= !is_in_order;
            plan.record
        }
        Purpose::Write => {
            sweep(&tree.leftovers, &mut report);
            compress(&root, (eye, threads), plan, (&wanted, &old), &mut report)?
        }
    };
    report.summary(&record, &wanted, began.elapsed());
    Ok(if report.has_errors { End::OutOfOrder } else { End::InOrder })
}

fn root(directory: &Path) -> Result<PathBuf, Error> {
    let none = |source| Error::NoDirectory { path: directory.to_owned(), source };
    let root = directory.canonicalize().map_err(|why| none(Some(why)))?;
    if root.is_dir() { Ok(root) } else { Err(none(None)) }
}

/// Removes what killed runs left.
fn sweep(leftovers: &[PathBuf], report: &mut Report<'_>) {
    for path in leftovers {
        if let Err(source) = write::remove(path) {
            report.error(&Error::Remove { path: path.clone(), source });
        }
    }
}

fn compress(
    root: &Path,
    (eye, threads): (Eye, usize),
    mut plan: Plan,
    (wanted, old): (&Wanted, &Record),
    report: &mut Report<'_>,
) -> Result<Record, Error> {
    let jobs = std::mem::take(&mut plan.jobs);
    let mut left = jobs.len();
    report.begin(jobs.iter().map(plan::Job::work).sum());
    let mut committer = Committer::of(root, eye, plan, wanted);
    // Where nothing can be written, the first job says so.
    tell(root, committer.remove_stale(), report).unwrap_or_default();
    let mut fatal = None;
    work::run(root, jobs, threads, |done| {
        if let Some(done) = &done {
            left = left.saturating_sub(1);
            report.advance(done.job.work(), left);
        }
        match committer.take(done) {
            Ok(step) => match tell(root, step, report) {
                Ok(()) => ControlFlow::Continue(()),
                Err(Hopeless) => ControlFlow::Break(()),
            },
            Err(why) => {
                fatal.get_or_insert(why);
                ControlFlow::Break(())
            }
        }
    });
    report.end();
    if let Some(why) = fatal {
        return Err(why);
    }
    let (step, record) = committer.finish(old)?;
    tell(root, step, report).unwrap_or_default();
    Ok(record)
}

/// Other files are bound to fail as well.
#[derive(Debug)]
struct Hopeless;

/// Says what was done.
fn tell(root: &Path, step: Step, report: &mut Report<'_>) -> Result<(), Hopeless> {
    for it in step.published {
        let (name, ending) = (it.name, it.coding.ending());
        let (before, after) = (Size(it.file_bytes), Size(it.variant_bytes));
        report.line(format_args!("{name}{ending}: {before} to {after}"));
    }
    for path in step.removed {
        report.line(format_args!("{}: removed", beneath(root, &path)));
    }
    for path in step.foreign {
        let path = beneath(root, &path);
        report.note(format_args!("{path}: left alone, though it may be stale: not forebay's"));
    }
    for why in &step.errors {
        report.error(why);
    }
    if step.errors.iter().any(Error::is_for_all) { Err(Hopeless) } else { Ok(()) }
}

/// Says what a run would do; whether that is nothing.
fn check(
    root: &Path,
    plan: &Plan,
    wanted: &Wanted,
    leftovers: &[PathBuf],
    report: &mut Report<'_>,
) -> bool {
    let mut found = BTreeMap::new();
    for it in plan::superfluous(&plan.record, &plan.sources, wanted) {
        let path = survey::variant_path(root, &it.name, it.coding);
        found.insert(path, if it.is_stale { "stale" } else { "left over" }.to_owned());
    }
    for job in &plan.jobs {
        for target in &job.targets {
            let path = survey::variant_path(root, &target.name, job.coding);
            found.insert(path, target.need.to_string());
        }
    }
    found.extend(leftovers.iter().map(|path| (path.clone(), "left over".to_owned())));
    for (path, what) in &found {
        report.note(format_args!("{}: {what}", beneath(root, path)));
    }
    if !found.is_empty() {
        let count = found.len();
        report.note(format_args!("{count} not in order: `forebay compress` mends that"));
    }
    found.is_empty()
}

impl Default for Skips {
    fn default() -> Self {
        Self { usual: true, more: Vec::new() }
    }
}

impl Skips {
    /// Whether a file of this name is left as it is.
    fn matches(&self, name: &str) -> bool {
        let ends = |ending: &String| {
            let before = name.len().checked_sub(ending.len() + 1);
            let tail = before.and_then(|before| name.get(before..));
            tail.and_then(|tail| tail.strip_prefix('.'))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(ending))
        };
        (self.usual && coding::is_compressed_already(name)) || self.more.iter().any(ends)
    }
}

impl Error {
    /// Whether the command line is at fault.
    pub fn is_the_command_lines_fault(&self) -> bool {
        matches!(self, Self::NoDirectory { .. })
    }

    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::NoDirectory { .. } => {
                "name the directory that holds the files, such as Django's STATIC_ROOT".to_owned()
            }
            Self::Busy { .. } => "see why it does not end, then start this one again".to_owned(),
            Self::List { .. } | Self::Read { .. } => {
                "let the user that forebay runs as read it, or take it out of the tree".to_owned()
            }
            Self::Changed { .. } => {
                "compress once nothing writes to the tree any more, after collectstatic".to_owned()
            }
            Self::Encode { .. } => {
                "see whether there is enough memory; --jobs 1 takes least".to_owned()
            }
            Self::Write { .. } | Self::Remove { .. } => {
                "see that the disk has room and that the user forebay runs as may write there"
                    .to_owned()
            }
        }
    }

    /// Whether other files are bound to fail too.
    fn is_for_all(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let Self::Write { source, .. } = self else { return false };
        matches!(source.kind(), StorageFull | QuotaExceeded | ReadOnlyFilesystem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_skipped_in_any_case_and_only_behind_a_dot() {
        let skips = Skips { usual: false, more: vec!["map".to_owned(), "min.js".to_owned()] };
        for name in ["a.map", "a.js.MAP", "b.min.js", "é.map"] {
            assert!(skips.matches(name), "{name}");
        }
        for name in ["map", "a.bitmap", "a.js", "min.js", "a.png", "", "é", "aé.ma"] {
            assert!(!skips.matches(name), "{name}");
        }
        assert!(Skips::default().matches("a.png"));
    }
}
