//! The way of log lines to standard output.
//!
//! Owns: the bounded buffer and the thread that empties it.
//! Must not know: what a line says.
//!
//! Standard output is a pipe on App Service, and whoever reads it may stall. No request waits for
//! that: lines go into a buffer, one thread writes them, and what does not fit is counted.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// The most bytes of lines that wait to be written. More are lost, and counted.
const BUFFER_LIMIT: usize = 1024 * 1024;

/// How long the last lines may take at the end of the process.
const LAST_LINES: Duration = Duration::from_millis(500);

/// How long the first line waits for others, so that a busy minute costs few writes.
const GATHER: Duration = Duration::from_millis(10);

/// Where log lines go.
#[derive(Debug)]
pub struct Output {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    lost: u64,
    is_closed: bool,
}

/// The thread that writes; closing it writes what is left.
#[derive(Debug)]
pub struct Writer {
    output: Arc<Output>,
    ended: Receiver<()>,
}

impl Output {
    /// Starts the thread that writes to `sink`, standard output as a rule.
    ///
    /// # Errors
    ///
    /// When the system allows no more threads.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<(Arc<Self>, Writer)> {
        let output = Arc::new(Self { waiting: Mutex::default(), changed: Condvar::new() });
        let writing = Arc::clone(&output);
        let (end, ended) = sync_channel(1);
        std::thread::Builder::new().name("forebay-log".to_owned()).spawn(move || {
            writing.write_all(sink);
            // Nobody waits where the writer was given up.
            let _ = end.try_send(());
        })?;
        let writer = Writer { output: Arc::clone(&output), ended };
        Ok((output, writer))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines were lost so far.
    pub fn lost(&self) -> u64 {
        self.waiting().lost
    }

    /// Adds a line, which `write` puts at the end of the buffer with its line end.
    pub fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut waiting = self.waiting();
        if waiting.lines.len() >= BUFFER_LIMIT {
            waiting.lost += 1;
            return;
        }
        let was_empty = waiting.lines.is_empty();
        write(&mut waiting.lines);
        drop(waiting);
        if was_empty {
            self.changed.notify_one();
        }
    }

    /// Writes until the output is closed and empty.
    fn write_all(&self, mut sink: impl Write) {
        let mut lines = Vec::new();
        let mut lost_told = 0;
        loop {
            let mut waiting = self.waiting();
            while waiting.lines.is_empty() && !waiting.is_closed {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if !waiting.is_closed {
                let gathered = self.changed.wait_timeout(waiting, GATHER);
                waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
            }
            std::mem::swap(&mut lines, &mut waiting.lines);
            let (lost, is_closed) = (waiting.lost, waiting.is_closed);
            drop(waiting);
            if lost > lost_told {
                let count = lost - lost_told;
                lost_told = lost;
                // A buffer in memory takes everything.
                writeln!(lines, "forebay: {count} log lines were lost: standard output stalled")
                    .unwrap_or_default();
            }
            // Nobody is left to tell that the log itself cannot be written.
            drop(sink.write_all(&lines).and_then(|()| sink.flush()));
            if is_closed && lines.is_empty() {
                return;
            }
            lines.clear();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.output.waiting().is_closed = true;
        self.output.changed.notify_one();
        // It ended, or standard output stalls: then what is left is lost, and the process ends.
        let _ = self.ended.recv_timeout(LAST_LINES);
    }
}

/// Lines from `tracing`.
#[derive(Debug)]
pub(super) struct Lines(Arc<Output>);

impl Lines {
    pub(super) fn new(output: Arc<Output>) -> Self {
        Self(output)
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(&self.0)
    }
}

/// One line from `tracing`, which is written whole.
#[derive(Debug)]
pub(super) struct Line<'a>(&'a Output);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.line(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// A sink that waits for a permit before each write.
    struct Gate(Receiver<()>, Arc<Mutex<Vec<u8>>>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stalled_reader_costs_lines_and_never_memory_or_time() {
        let (permit, gate) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (output, writer) = Output::start(Gate(gate, Arc::clone(&written))).unwrap();
        let line = [&[b'x'; 1023][..], b"\n"].concat();
        for _ in 0..3000 {
            output.line(|lines| lines.extend_from_slice(&line));
        }
        assert!(output.waiting().lines.len() <= BUFFER_LIMIT + line.len());
        for _ in 0..10 {
            permit.send(()).unwrap();
        }
        drop(writer);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        let kept = text.lines().filter(|line| line.starts_with('x')).count();
        let lost = text.lines().find_map(|line| line.strip_prefix("forebay: ")).unwrap();
        let lost: usize = lost.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(kept + lost, 3000);
        assert!(lost > 900);
    }
}
