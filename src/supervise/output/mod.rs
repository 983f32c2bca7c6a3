//! What children write, on its way to the log.
//!
//! Owns: the reading of their pipes, the last lines of each.
//! Must not know: when a child starts or ends.
//!
//! A pipe is read as fast as its child writes, so that no child ever waits for the log; what the log
//! has no room for is dropped and counted there.

mod level;
mod record;

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::telemetry::{Format, Level, Output, Said};
use record::{Record, Records};

/// Where records go.
#[derive(Clone, Debug)]
pub struct Sink {
    /// The log.
    pub output: Arc<Output>,
    /// Its form.
    pub format: Format,
}

/// The last lines of a child.
#[derive(Debug, Default)]
pub(super) struct Tail(Mutex<VecDeque<String>>);

impl Tail {
    fn kept(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, text: &[u8]) {
        let mut kept = self.kept();
        for line in String::from_utf8_lossy(text).lines() {
            let line = line.chars().filter(|letter| !letter.is_control());
            kept.push_back(line.take(TAIL_LINE_LIMIT).collect());
            if kept.len() > TAIL_LIMIT {
                kept.pop_front();
            }
        }
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        self.kept().iter().cloned().collect()
    }
}

/// One stream of a child.
struct Stream {
    process: String,
    name: &'static str,
    sink: Sink,
    tail: Arc<Tail>,
}

/// Reads both streams of a child until they end; the task ends then.
///
/// # Errors
///
/// When they are no pipes.
pub(super) fn follow(
    process: &str,
    (stdout, stderr): (OwnedFd, OwnedFd),
    sink: &Sink,
    tail: &Arc<Tail>,
) -> io::Result<JoinHandle<()>> {
    let stream = |name| Stream {
        process: process.to_owned(),
        name,
        sink: sink.clone(),
        tail: Arc::clone(tail),
    };
    let stdout = stream("stdout").read(pipe::Receiver::from_owned_fd(stdout)?);
    let stderr = stream("stderr").read(pipe::Receiver::from_owned_fd(stderr)?);
    Ok(tokio::spawn(async {
        tokio::join!(stdout, stderr);
    }))
}

impl Stream {
    async fn read(self, mut pipe: pipe::Receiver) {
        let mut records = Records::default();
        let mut piece = vec![0; PIECE];
        let mut give = |record| self.give(&record);
        loop {
            let length = if records.has_lines() {
                let Ok(length) = timeout(QUIET, pipe.read(&mut piece)).await else {
                    records.settle(&mut give);
                    continue;
                };
                length
            } else {
                pipe.read(&mut piece).await
            };
            match length {
                Ok(length @ 1..) => {
                    records.take(piece.get(..length).unwrap_or_default(), &mut give);
                }
                Ok(0) | Err(_) => break,
            }
        }
        records.end(&mut give);
    }

    fn give(&self, record: &Record) {
        // Without handlers Python's logging writes warnings and errors, and only these, to
        // standard error (the handler of last resort).
        let otherwise = if self.name == "stderr" { Level::Warn } else { Level::Info };
        let said = Said {
            process: &self.process,
            stream: self.name,
            level: record.level.unwrap_or(otherwise),
            text: &record.text,
            cut_bytes: record.cut_bytes,
        };
        self.tail.keep(&record.text);
        self.sink.output.line(|out| said.write(out, self.sink.format));
    }
}

/// A record whose next line has not come for so long is whole.
const QUIET: Duration = Duration::from_millis(50);

/// As much as a pipe of Linux holds.
const PIECE: usize = 64 * 1024;

/// So many last lines are kept, each up to so many letters.
const TAIL_LIMIT: usize = 12;
const TAIL_LINE_LIMIT: usize = 500;
