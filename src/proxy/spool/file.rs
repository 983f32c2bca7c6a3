//! A file without a name, read and written at positions, never on a data thread.
//!
//! Owns: its lease of disk, the write that is under way.
//! Must not know: what is in it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Full, Lease, Stores};

/// So much is read at once.
const READ: u64 = 64 * 1024;

/// Bytes on their way from a file.
#[derive(Debug)]
pub(super) struct Reading(JoinHandle<io::Result<Bytes>>);

impl Reading {
    /// Begins to read what lies from `start` to `end`, 64 KiB at most.
    pub(super) fn begin(file: &Arc<File>, start: u64, end: u64) -> Self {
        let file = Arc::clone(file);
        let length = usize::try_from(end.saturating_sub(start).min(READ)).unwrap_or_default();
        Self(spawn_blocking(move || {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, start)?;
            Ok(Bytes::from(bytes))
        }))
    }

    /// Ready when they are there.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        Poll::Ready(joined(ready!(Pin::new(&mut self.0).poll(cx))))
    }
}

/// A file that grows at its end, by one write at a time.
#[derive(Debug)]
pub(super) struct Growing {
    file: Option<Arc<File>>,
    lease: Lease,
    directory: PathBuf,
    length: u64,
    writing: Option<Writing>,
}

/// A write under way: its length, and the file, which it makes if there was none.
#[derive(Debug)]
struct Writing {
    length: u64,
    job: JoinHandle<io::Result<Arc<File>>>,
}

impl Growing {
    /// An empty file, which is made when something is written.
    pub(super) fn new(stores: &Stores) -> Self {
        Self {
            file: None,
            lease: stores.disk.lease(),
            directory: stores.directory.clone(),
            length: 0,
            writing: None,
        }
    }

    /// Takes disk for a file of `length` bytes.
    fn reserve(&mut self, length: u64) -> Result<(), Full> {
        let missing = length.saturating_sub(self.lease.bytes());
        if missing == 0 || self.lease.grow(missing) { Ok(()) } else { Err(Full::Budget) }
    }

    /// Begins to write `pieces` at the end. The last write must have ended.
    ///
    /// # Errors
    ///
    /// [`Full::Budget`]; nothing is written then.
    pub(super) fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), Full> {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        self.reserve(self.length + length)?;
        let (file, directory, mut at) = (self.file.clone(), self.directory.clone(), self.length);
        let job = spawn_blocking(move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile_in(directory)?),
            };
            for piece in pieces {
                file.write_all_at(&piece, at)?;
                at += piece.len() as u64;
            }
            Ok(file)
        });
        self.writing = Some(Writing { length, job });
        Ok(())
    }

    /// Ready when no write is under way.
    ///
    /// # Errors
    ///
    /// [`Full::File`]: as a rule the disk is full.
    pub(super) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Full>> {
        let Some(writing) = &mut self.writing else { return Poll::Ready(Ok(())) };
        let result = joined(ready!(Pin::new(&mut writing.job).poll(cx)));
        let length = writing.length;
        self.writing = None;
        Poll::Ready(match result {
            Ok(file) => {
                self.file = Some(file);
                self.length += length;
                Ok(())
            }
            Err(why) => Err(Full::File(why)),
        })
    }

    /// Bytes that have been written.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Begins to read what was written, from `start` on.
    pub(super) fn read(&self, start: u64) -> Option<Reading> {
        let file = self.file.as_ref().filter(|_| start < self.length)?;
        Some(Reading::begin(file, start, self.length))
    }

    /// Begins anew at the start: everything has been read.
    pub(super) fn rewind(&mut self) {
        self.length = 0;
    }

    /// Ends the growth: the file and its lease. The last write must have ended.
    pub(super) fn finish(self) -> Option<(Arc<File>, Lease)> {
        Some((self.file?, self.lease))
    }
}

/// A panic, or a runtime that ends, is a failure of the file.
fn joined<T>(result: Result<io::Result<T>, tokio::task::JoinError>) -> io::Result<T> {
    result.unwrap_or_else(|why| Err(io::Error::other(why)))
}
