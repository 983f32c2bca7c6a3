//! Compresses with several threads, in bounded memory.
//!
//! Owns: threads, their queue, the making of one variant.
//! Must not know: the record, when a variant is published, what is shown.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use blake3::Hash;
use tempfile::TempPath;

use super::plan::{Job, Target};
use super::survey::variant_path;
use super::{Error, encoder, file, write};
use crate::coding;

/// What became of a job.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) job: Job,
    /// Nothing when there is an error, or when no variant pays.
    pub(super) variant: Option<Variant>,
    pub(super) errors: Vec<Error>,
}

/// A variant that waits to be published.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) bytes: u64,
    pub(super) hash: Hash,
    /// A file of its own for each target that could be written.
    pub(super) files: Vec<(Target, TempPath)>,
}

/// The most content that is compressed at once, unless one file is larger. Brotli takes fifteen times
/// as much: two files of 7 MB at once took 200 MiB.
const CONTENT_LIMIT: u64 = 64 << 20;

/// Does jobs in their order. Tells each that is done, and nothing whenever a second passed without
/// one; when told to break, no more are begun.
pub(super) fn run(
    root: &Path,
    jobs: Vec<Job>,
    threads: usize,
    mut tell: impl FnMut(Option<Done>) -> ControlFlow<()>,
) {
    let queue = Queue::of(jobs);
    thread::scope(|scope| {
        let (sender, results) = sync_channel(threads);
        for _ in 0..threads {
            let (sender, queue) = (sender.clone(), &queue);
            scope.spawn(move || {
                while let Some(job) = queue.take() {
                    let held = Held { queue, bytes: job.bytes };
                    let done = make(root, job);
                    drop(held);
                    if sender.send(done).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        loop {
            let flow = match results.recv_timeout(Duration::from_secs(1)) {
                Ok(done) => tell(Some(done)),
                Err(RecvTimeoutError::Timeout) => tell(None),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if flow.is_break() {
                queue.clear();
            }
        }
    });
}

/// Makes a variant and writes it beside each target.
fn make(root: &Path, mut job: Job) -> Done {
    let mut errors = Vec::new();
    let variant = match encoded(root, &job) {
        Ok(variant) if coding::pays(job.bytes, variant.len() as u64) => {
            let mut files = Vec::new();
            for target in std::mem::take(&mut job.targets) {
                match written(root, &job, &target, &variant) {
                    Ok(file) => files.push((target, file)),
                    Err(why) => errors.push(why),
                }
            }
            Some(Variant { bytes: variant.len() as u64, hash: blake3::hash(&variant), files })
        }
        Ok(_) => None,
        Err(why) => {
            errors.push(why);
            None
        }
    };
    Done { job, variant, errors }
}

fn encoded(root: &Path, job: &Job) -> Result<Vec<u8>, Error> {
    if let Some((name, variant)) = &job.donor {
        let path = variant_path(root, name, job.coding);
        if let Ok(Some(bytes)) = file::read(&path, variant.bytes, variant.hash) {
            return Ok(bytes);
        }
        // It was there a moment ago; then it is made again.
    }
    let mut last = None;
    for target in &job.targets {
        let path = root.join(&target.name);
        match file::read(&path, job.bytes, job.content) {
            Ok(Some(content)) => {
                return encoder::encode(job.coding, job.level, &content)
                    .map_err(|source| Error::Encode { path, coding: job.coding, source });
            }
            Ok(None) => last = Some(Error::Changed { path }),
            Err(source) => last = Some(Error::Read { path, source }),
        }
    }
    Err(last.unwrap_or_else(|| Error::Changed { path: root.to_owned() }))
}

fn written(root: &Path, job: &Job, target: &Target, variant: &[u8]) -> Result<TempPath, Error> {
    let source = root.join(&target.name);
    let place = variant_path(root, &target.name, job.coding);
    let directory = place.parent().unwrap_or(root);
    file::open(&source)
        .and_then(|(_, metadata)| write::variant(directory, variant, &metadata))
        .map_err(|source| Error::Write { path: place, source })
}

/// Jobs that wait for a thread.
#[derive(Debug)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug)]
struct Waiting {
    jobs: Vec<Option<Job>>,
    /// All before it are taken.
    first: usize,
    /// Of the jobs that are being done.
    bytes: u64,
}

impl Queue {
    fn of(jobs: Vec<Job>) -> Self {
        let jobs = jobs.into_iter().map(Some).collect();
        let waiting = Mutex::new(Waiting { jobs, first: 0, bytes: 0 });
        Self { waiting, changed: Condvar::new() }
    }

    /// The next job that fits beside those that are being done.
    fn take(&self) -> Option<Job> {
        let mut waiting = self.lock();
        loop {
            if let Some(job) = waiting.take() {
                return Some(job);
            }
            if waiting.first == waiting.jobs.len() {
                return None;
            }
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn clear(&self) {
        let mut waiting = self.lock();
        waiting.jobs.clear();
        waiting.first = 0;
        drop(waiting);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job's part of the limit, also when its thread panics.
#[derive(Debug)]
struct Held<'a> {
    queue: &'a Queue,
    bytes: u64,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.queue.lock().bytes -= self.bytes;
        self.queue.changed.notify_all();
    }
}

impl Waiting {
    fn take(&mut self) -> Option<Job> {
        let limit =
            if self.bytes == 0 { u64::MAX } else { CONTENT_LIMIT.saturating_sub(self.bytes) };
        let rest = self.jobs.get_mut(self.first..)?;
        let fitting = rest.iter_mut().find(|job| job.as_ref().is_some_and(|it| it.bytes <= limit));
        let job = fitting.and_then(Option::take)?;
        self.bytes += job.bytes;
        while self.jobs.get(self.first).is_some_and(Option::is_none) {
            self.first += 1;
        }
        Some(job)
    }
}
