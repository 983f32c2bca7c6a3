//! Publishes variants, and writes down which ones first.
//!
//! Owns: the order of record and variant, by which a killed run is told from a foreign hand.
//! Must not know: threads, encoders, how anything is shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use blake3::Hash;
use tempfile::TempPath;
use tokio::time::Instant;

use super::file::{Eye, Seen};
use super::plan::{Plan, Superfluous, Target, Wanted, superfluous};
use super::record::{self, Compressed, Entry, Record};
use super::survey::variant_path;
use super::work::Done;
use super::{Error, write};
use crate::coding::Coding;

/// Holds the record while variants are published.
#[derive(Debug)]
pub(super) struct Committer<'a> {
    root: &'a Path,
    eye: Eye,
    record: Record,
    sources: BTreeMap<String, Option<Hash>>,
    wanted: &'a Wanted,
    waiting: Vec<Waiting>,
    saved: Instant,
    pause: Duration,
}

/// A variant that the record does not name yet.
#[derive(Debug)]
struct Waiting {
    target: Target,
    coding: Coding,
    result: Compressed,
    file: TempPath,
}

/// A variant in its place.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) name: String,
    pub(super) coding: Coding,
    pub(super) file_bytes: u64,
    pub(super) variant_bytes: u64,
}

/// What a step did.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) published: Vec<Published>,
    pub(super) removed: Vec<PathBuf>,
    /// Variants that somebody else wrote and that may be stale.
    pub(super) foreign: Vec<PathBuf>,
    pub(super) errors: Vec<Error>,
}

/// How long variants wait at least, so that the record is not written for each.
const PAUSE: Duration = Duration::from_secs(1);

impl<'a> Committer<'a> {
    pub(super) fn of(root: &'a Path, eye: Eye, plan: Plan, wanted: &'a Wanted) -> Self {
        Self {
            root,
            eye,
            record: plan.record,
            sources: plan.sources,
            wanted,
            waiting: Vec::new(),
            saved: Instant::now(),
            pause: PAUSE,
        }
    }

    /// Takes what became of a job; publishes what waited long enough.
    pub(super) fn take(&mut self, done: Option<Done>) -> Result<Step, Error> {
        let mut step = Step::default();
        if let Some(Done { job, variant, errors }) = done {
            let has_failed = !errors.is_empty();
            step.errors.extend(errors);
            let result = |variant| Compressed { content: job.content, level: job.level, variant };
            if let Some(variant) = variant {
                let seen = Seen { bytes: variant.bytes, hash: variant.hash, stamp: None };
                let result = result(Some(seen));
                self.waiting.extend(variant.files.into_iter().map(|(target, file)| Waiting {
                    target,
                    coding: job.coding,
                    result: result.clone(),
                    file,
                }));
            } else if !has_failed {
                for target in &job.targets {
                    self.does_not_pay(target, job.coding, result(None), &mut step);
                }
            }
        }
        if self.saved.elapsed() >= self.pause {
            self.publish(&mut step)?;
        }
        Ok(step)
    }

    /// Removes variants that are wrong, before anything else: nobody shall get one meanwhile.
    pub(super) fn remove_stale(&mut self) -> Step {
        let mut step = Step::default();
        let all = superfluous(&self.record, &self.sources, self.wanted);
        for it in all.into_iter().filter(|it| it.is_stale) {
            self.remove(&it, &mut step);
        }
        step
    }

    /// Publishes what waits, removes what is superfluous and writes the record. Gives the record.
    pub(super) fn finish(mut self, old: &Record) -> Result<(Step, Record), Error> {
        let mut step = Step::default();
        self.publish(&mut step)?;
        for it in superfluous(&self.record, &self.sources, self.wanted) {
            self.remove(&it, &mut step);
        }
        let sources = &self.sources;
        let is_of_use = |name: &String, entry: &Entry| {
            sources.contains_key(name) || entry.results.values().any(|it| it.variant.is_some())
        };
        self.record.0.retain(|name, entry| is_of_use(name, entry));
        if !self.record.agrees_with(old) {
            self.save()?;
        } else if self.record != *old {
            // Newer stamps only save the next run some time: an unchanged tree may be read-only.
            self.save().unwrap_or_default();
        }
        Ok((step, self.record))
    }

    /// First the record, then the variants. A variant is forebay's where it is as the record says:
    /// so a run that is killed in between claims nothing that it did not write.
    fn publish(&mut self, step: &mut Step) -> Result<(), Error> {
        let mut ready = Vec::new();
        for it in std::mem::take(&mut self.waiting) {
            let source = self.root.join(&it.target.name);
            if !self.eye.still_holds(&source, &it.target.seen) {
                step.errors.push(Error::Changed { path: source });
            } else if let Some(entry) = self.record.0.get_mut(&it.target.name) {
                entry.results.insert(it.coding, it.result.clone());
                ready.push(it);
            }
        }
        if ready.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        self.save()?;
        // Writing a large record takes a tenth of the time at most.
        self.pause = PAUSE.max(began.elapsed() * 10);
        for it in ready {
            let place = variant_path(self.root, &it.target.name, it.coding);
            match write::publish(it.file, &place) {
                Ok(()) => step.published.push(Published {
                    name: it.target.name,
                    coding: it.coding,
                    file_bytes: it.target.seen.bytes,
                    variant_bytes: it.result.variant.map_or(0, |seen| seen.bytes),
                }),
                Err(source) => {
                    self.forget(&it.target.name, it.coding);
                    step.errors.push(Error::Write { path: place, source });
                }
            }
        }
        self.saved = Instant::now();
        Ok(())
    }

    /// Writes down that a file has no variant, and sees to what is there in its place.
    fn does_not_pay(&mut self, target: &Target, coding: Coding, it: Compressed, step: &mut Step) {
        let name = target.name.clone();
        if self.record.0.get(&name).is_some_and(|entry| entry.has_variant(coding)) {
            self.remove(&Superfluous { name, coding, is_stale: false }, step);
        }
        let place = variant_path(self.root, &target.name, coding);
        if place.symlink_metadata().is_ok() {
            step.foreign.push(place);
        }
        if let Some(entry) = self.record.0.get_mut(&target.name) {
            entry.results.insert(coding, it);
        }
    }

    /// Removes a variant if it is still the one that was written.
    fn remove(&mut self, it: &Superfluous, step: &mut Step) {
        let path = variant_path(self.root, &it.name, it.coding);
        let results = self.record.0.get(&it.name).map(|entry| &entry.results);
        let written = results.and_then(|results| results.get(&it.coding)?.variant.as_ref());
        if written.is_some_and(|written| self.eye.still_holds(&path, written)) {
            if let Err(source) = write::remove(&path) {
                step.errors.push(Error::Remove { path, source });
                return;
            }
            step.removed.push(path);
        }
        self.forget(&it.name, it.coding);
    }

    fn forget(&mut self, name: &str, coding: Coding) {
        if let Some(entry) = self.record.0.get_mut(name) {
            entry.results.remove(&coding);
        }
    }

    fn save(&self) -> Result<(), Error> {
        self.record
            .save(self.root)
            .map_err(|source| Error::Write { path: self.root.join(record::NAME), source })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::precompress::plan::{Job, Need};
    use crate::precompress::work::Variant;

    /// A directory with a file that has just been compressed.
    struct World {
        directory: tempfile::TempDir,
        wanted: Wanted,
        eye: Eye,
        seen: Seen,
    }

    impl World {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("a");
            fs::write(&path, "content").unwrap();
            let eye = Eye::open_now();
            let seen = eye.see(&path, None).unwrap();
            Self { directory, wanted: [(Coding::Gzip, 12)].into(), eye, seen }
        }

        fn root(&self) -> &Path {
            self.directory.path()
        }

        fn committer(&self) -> Committer<'_> {
            let entry = Entry { seen: self.seen.clone(), results: BTreeMap::new() };
            let plan = Plan {
                jobs: Vec::new(),
                record: Record([("a".to_owned(), entry)].into()),
                sources: [("a".to_owned(), Some(self.seen.hash))].into(),
            };
            Committer::of(self.root(), self.eye, plan, &self.wanted)
        }

        fn done(&self, variant: Option<&str>) -> Done {
            let source = fs::metadata(self.root().join("a")).unwrap();
            let target = Target { name: "a".to_owned(), seen: self.seen.clone(), need: Need::New };
            let variant = variant.map(|variant| Variant {
                bytes: variant.len() as u64,
                hash: blake3::hash(variant.as_bytes()),
                files: vec![(
                    target.clone(),
                    write::variant(self.root(), variant.as_bytes(), &source).unwrap(),
                )],
            });
            let targets = if variant.is_some() { Vec::new() } else { vec![target] };
            let job = Job {
                coding: Coding::Gzip,
                level: 12,
                content: self.seen.hash,
                bytes: self.seen.bytes,
                targets,
                donor: None,
            };
            Done { job, variant, errors: Vec::new() }
        }

        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.root()).unwrap();
            let mut names: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort_unstable();
            names
        }
    }

    #[test]
    fn a_variant_and_the_record_are_there_at_the_end_and_nothing_else() {
        let world = World::new();
        let mut committer = world.committer();
        let step = committer.take(Some(world.done(Some("v")))).unwrap();
        assert!(step.published.is_empty());
        let (step, record) = committer.finish(&Record::default()).unwrap();
        assert_eq!((step.published.len(), step.errors.len()), (1, 0));
        assert_eq!(world.names(), [record::NAME, "a", "a.gz"]);
        assert_eq!(Record::load(world.root()).unwrap(), record);
    }

    #[test]
    fn a_file_that_changed_meanwhile_gets_no_variant() {
        let world = World::new();
        let mut committer = world.committer();
        committer.take(Some(world.done(Some("v")))).unwrap();
        fs::write(world.root().join("a"), "another").unwrap();
        let (step, record) = committer.finish(&Record::default()).unwrap();
        assert!(matches!(step.errors.as_slice(), [Error::Changed { .. }]), "{step:?}");
        assert!(step.published.is_empty());
        assert!(!record.0["a"].has_variant(Coding::Gzip));
        assert_eq!(world.names(), [record::NAME, "a"]);
    }

    #[test]
    fn without_a_record_nothing_is_published() {
        let world = World::new();
        fs::create_dir(world.root().join(record::NAME)).unwrap();
        let mut committer = world.committer();
        committer.take(Some(world.done(Some("v")))).unwrap();
        let why = committer.finish(&Record::default()).unwrap_err();
        assert!(matches!(&why, Error::Write { path, .. } if path.ends_with(record::NAME)), "{why}");
        assert_eq!(world.names(), [record::NAME, "a"]);
    }

    #[test]
    fn a_foreign_variant_of_a_file_for_which_none_pays_is_left_alone_and_told() {
        let world = World::new();
        fs::write(world.root().join("a.gz"), "foreign").unwrap();
        let mut committer = world.committer();
        let step = committer.take(Some(world.done(None))).unwrap();
        assert_eq!(step.foreign, [world.root().join("a.gz")]);
        committer.finish(&Record::default()).unwrap();
        assert_eq!(world.names(), [record::NAME, "a", "a.gz"]);
    }

    #[test]
    fn the_own_variant_goes_when_none_pays_any_more_unless_somebody_altered_it() {
        for (is_altered, left) in
            [(false, [record::NAME, "a"].as_slice()), (true, &[record::NAME, "a", "a.gz"])]
        {
            let world = World::new();
            let mut committer = world.committer();
            committer.pause = Duration::ZERO;
            committer.take(Some(world.done(Some("v")))).unwrap();
            if is_altered {
                fs::write(world.root().join("a.gz"), "w").unwrap();
            }
            committer.take(Some(world.done(None))).unwrap();
            committer.finish(&Record::default()).unwrap();
            assert_eq!(world.names(), left);
        }
    }
}
