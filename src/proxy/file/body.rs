//! The content of a file, or of ranges of it, on its way to the client.
//!
//! Owns: positioned reads off the data thread, one chunk ahead; what a file that changes means.
//! Must not know: requests, fields, which client reads.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Timeout, timeout};

use super::confine::{Opened, version};
use super::ranges::Span;
use crate::code::Code;

/// How long opening a file, or reading one chunk, may take: a share that hangs must not hang its
/// readers.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How much is read at once. Two such chunks are in memory for each answer: one on its way, one
/// ahead.
pub const CHUNK: usize = 128 * 1024;

/// Why the content of a file ended early. The header section is gone by then: the connection is cut
/// short of what it promised, so that the client knows.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The file became shorter than it was when the answer began.
    #[error("`{}` became shorter while it was sent", .0.display())]
    Shortened(PathBuf),
    /// The file was written to in its place; what was sent and what is there do not go together.
    #[error("`{}` was rewritten while it was sent", .0.display())]
    Rewritten(PathBuf),
    /// The system does not read it.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file system did not answer.
    #[error("reading `{}` took longer than {DEADLINE:?}", .0.display())]
    Slow(PathBuf),
}

impl Broken {
    /// The code for the log line.
    pub fn code(&self) -> Code {
        match self {
            Self::Shortened(_) | Self::Rewritten(_) | Self::Unreadable { .. } | Self::Slow(_) => {
                Code::FileBrokenOff
            }
        }
    }
}

/// A piece of content.
#[derive(Debug)]
pub enum Piece {
    /// Text between ranges.
    Text(Bytes),
    /// A part of the file.
    Part(Span),
}

/// The content of a file or of ranges of it; nothing of it is read before it is asked for.
#[derive(Debug)]
pub struct Content {
    source: Option<Arc<Source>>,
    pieces: VecDeque<Piece>,
    /// Bytes that were not handed out yet.
    left: u64,
    reading: Option<Pin<Box<Reading>>>,
}

type Reading = Timeout<JoinHandle<Result<Vec<u8>, Broken>>>;

#[derive(Debug)]
struct Source {
    file: Arc<File>,
    path: PathBuf,
    size: u64,
    modified: SystemTime,
    /// Whether it is still itself when it has grown, as a log is.
    may_grow: bool,
    /// Whether it is in memory and cannot change: reading it takes no time, and nothing is checked.
    is_sealed: bool,
}

impl Content {
    /// No content, for an answer that has none.
    pub fn nothing() -> Self {
        Self { source: None, pieces: VecDeque::new(), left: 0, reading: None }
    }

    /// Pieces of content that is in memory, in this order.
    pub fn of_memory(bytes: &Bytes, pieces: Vec<Piece>) -> Self {
        let slice = |part: &Span| {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
            bytes.slice(place(part.start)..place(part.end))
        };
        let pieces: VecDeque<_> = pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => Piece::Text(text),
                Piece::Part(part) => Piece::Text(slice(&part)),
            })
            .collect();
        let left = pieces.iter().map(Piece::length).sum();
        Self { source: None, pieces, left, reading: None }
    }

    /// Pieces of a file in memory that nobody can change, in this order.
    pub fn of_sealed(file: Arc<File>, pieces: Vec<Piece>) -> Self {
        let left = pieces.iter().map(Piece::length).sum();
        let source = Source {
            file,
            path: PathBuf::new(),
            size: 0,
            modified: SystemTime::UNIX_EPOCH,
            may_grow: false,
            is_sealed: true,
        };
        Self { source: Some(Arc::new(source)), pieces: pieces.into(), left, reading: None }
    }

    /// Pieces of a file, in this order.
    pub fn new(opened: Opened, pieces: Vec<Piece>) -> Self {
        let Opened { file, path, size, modified } = opened;
        let left = pieces.iter().map(Piece::length).sum();
        let file = Arc::new(file);
        let source = Source { file, path, size, modified, may_grow: true, is_sealed: false };
        Self { source: Some(Arc::new(source)), pieces: pieces.into(), left, reading: None }
    }

    /// Pieces of a file whose every byte is described already: one that grows is not it any more.
    pub fn of_known(opened: Opened, pieces: Vec<Piece>) -> Self {
        let mut content = Self::new(opened, pieces);
        if let Some(source) = content.source.as_mut().and_then(Arc::get_mut) {
            source.may_grow = false;
        }
        content
    }

    /// Whether nothing is left.
    pub fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    /// How much is left.
    pub fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    /// Hands out the next chunk, and begins to read the one after it. It needs a runtime of tokio.
    ///
    /// # Errors
    ///
    /// [`Broken`], after which nothing more comes.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.reading.is_none()
            && let Some(Piece::Text(_)) = self.pieces.front()
            && let Some(Piece::Text(text)) = self.pieces.pop_front()
        {
            self.left = self.left.saturating_sub(text.len() as u64);
            self.read_ahead();
            return Poll::Ready(Some(Ok(Frame::data(text))));
        }
        if let Some(chunk) = self.next_sealed() {
            if let Ok(chunk) = &chunk {
                self.left = self.left.saturating_sub(chunk.len() as u64);
            }
            return Poll::Ready(Some(chunk.map(Frame::data)));
        }
        self.read_ahead();
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let result = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        match self.read(result) {
            Ok(chunk) => {
                self.left = self.left.saturating_sub(chunk.len() as u64);
                self.read_ahead();
                Poll::Ready(Some(Ok(Frame::data(chunk))))
            }
            Err(why) => {
                self.pieces.clear();
                Poll::Ready(Some(Err(why)))
            }
        }
    }

    /// Begins to read the next chunk, if one is wanted and none is being read.
    fn read_ahead(&mut self) {
        if self.reading.is_some() {
            return;
        }
        let (Some(source), Some(Piece::Part(part))) = (&self.source, self.pieces.front_mut())
        else {
            return;
        };
        if source.is_sealed {
            return;
        }
        let chunk = next_chunk(part);
        if part.is_empty() {
            self.pieces.pop_front();
        }
        let source = Arc::clone(source);
        let reading = timeout(DEADLINE, spawn_blocking(move || source.read(&chunk)));
        self.reading = Some(Box::pin(reading));
    }

    /// The next chunk, where it is read in no time.
    fn next_sealed(&mut self) -> Option<Result<Bytes, Broken>> {
        let source = self.source.as_ref().filter(|source| source.is_sealed)?;
        let Some(Piece::Part(part)) = self.pieces.front_mut() else { return None };
        let chunk = next_chunk(part);
        let is_last = part.is_empty();
        let read = source.read(&chunk);
        if is_last || read.is_err() {
            self.pieces.pop_front();
        }
        Some(read.map(Bytes::from))
    }

    /// What a read brought.
    fn read(&self, result: <Reading as Future>::Output) -> Result<Bytes, Broken> {
        let path = || self.source.as_ref().map(|source| source.path.clone()).unwrap_or_default();
        match result {
            Ok(Ok(chunk)) => chunk.map(Bytes::from),
            // The runtime ends.
            Ok(Err(why)) => Err(Broken::Unreadable { path: path(), source: io::Error::other(why) }),
            Err(_) => Err(Broken::Slow(path())),
        }
    }
}

/// Takes a chunk off the front of a part.
fn next_chunk(part: &mut Span) -> Span {
    let chunk = part.start..part.end.min(part.start.saturating_add(CHUNK as u64));
    part.start = chunk.end;
    chunk
}

impl Piece {
    /// Its bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Part(part) => part.end - part.start,
        }
    }
}

/// How often a file whose time has changed is looked at, a millisecond apart, until it has grown.
const LOOKS: u32 = 20;

impl Source {
    /// Reads a chunk, then looks whether the file is still the one that the header section
    /// describes. One that has grown is, where it may: its beginning is what it was, as in a log.
    fn read(&self, chunk: &Span) -> Result<Vec<u8>, Broken> {
        let unreadable = |source| Broken::Unreadable { path: self.path.clone(), source };
        let length = usize::try_from(chunk.end - chunk.start).unwrap_or(CHUNK);
        let mut buffer = vec![0; length];
        match self.file.read_exact_at(&mut buffer, chunk.start) {
            Ok(()) => {}
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Broken::Shortened(self.path.clone()));
            }
            Err(why) => return Err(unreadable(why)),
        }
        if self.is_sealed {
            return Ok(buffer);
        }
        for _ in 0..LOOKS {
            let now = self.file.metadata().and_then(|metadata| version(&metadata));
            let (size, modified) = now.map_err(unreadable)?;
            if size < self.size {
                return Err(Broken::Shortened(self.path.clone()));
            }
            if (size > self.size && self.may_grow)
                || (size == self.size && modified == self.modified)
            {
                return Ok(buffer);
            }
            if size > self.size {
                break;
            }
            // A write at the end moves the time first and the size afterwards.
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Err(Broken::Rewritten(self.path.clone()))
    }
}
