//! Content that is kept whole and can be read again from its start.
//!
//! Owns: where it is kept, reading it.
//! Must not know: who sent it, who reads it.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::file::{Growing, Reading};
use super::pieces::{CHUNK, Pieces};
use super::{Full, Lease, Stores};

/// Content that is kept whole.
#[derive(Debug)]
pub struct Whole {
    place: Place,
    length: u64,
    /// Gives the room back.
    _lease: Lease,
}

#[derive(Debug)]
enum Place {
    Memory(Bytes),
    File(Arc<File>),
}

impl Whole {
    /// Bytes of content.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Whether it can be read without waiting.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(_))
    }

    /// Reads it from its start.
    pub fn reader(self: &Arc<Self>) -> Reader {
        Reader { whole: Arc::clone(self), place: 0, reading: None }
    }
}

/// Reads content that is kept whole.
#[derive(Debug)]
pub struct Reader {
    whole: Arc<Whole>,
    place: u64,
    reading: Option<Reading>,
}

impl Reader {
    /// The next piece; nothing at the end.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let (place, end) = (self.place, self.whole.length);
        if place >= end {
            return Poll::Ready(None);
        }
        let bytes = match &self.whole.place {
            Place::Memory(bytes) => Ok(bytes.clone()),
            Place::File(file) => {
                let begin = || Reading::begin(file, place, end);
                ready!(self.reading.get_or_insert_with(begin).poll(cx))
            }
        };
        self.reading = None;
        if let Ok(bytes) = &bytes {
            self.place += bytes.len() as u64;
        }
        Poll::Ready(Some(bytes))
    }

    /// Whether nothing is left.
    pub fn is_end(&self) -> bool {
        self.place >= self.whole.length
    }
}

/// Collects content until it is whole: up to 64 KiB in memory, more in a file.
#[derive(Debug)]
pub struct Collector {
    stores: Arc<Stores>,
    memory: Lease,
    /// A piece that may be all there is.
    first: Option<Bytes>,
    held: Pieces,
    file: Option<Growing>,
}

impl Collector {
    /// Begins to collect; `length` is what was announced. Room is taken as content comes: else a few
    /// who announce much and send nothing would take all of it.
    ///
    /// # Errors
    ///
    /// [`Full`]: there is no room for as much now.
    pub fn new(stores: &Arc<Stores>, length: Option<u64>) -> Result<Self, Full> {
        let mut collector = Self {
            stores: Arc::clone(stores),
            memory: stores.memory.lease(),
            first: None,
            held: Pieces::default(),
            file: None,
        };
        if let Some(length) = length
            && length > CHUNK as u64
        {
            if length > stores.disk.free() {
                return Err(Full::Budget);
            }
            collector.file = Some(Growing::new(stores));
        }
        Ok(collector)
    }

    /// Adds a piece.
    ///
    /// # Errors
    ///
    /// [`Full`]: there is no room for it; what was collected is lost.
    pub async fn add(&mut self, piece: Bytes) -> Result<(), Full> {
        let length = piece.len() as u64;
        let is_first = self.first.is_none() && self.held.is_empty() && self.file.is_none();
        let has_memory = self.memory.grow(length);
        if is_first && has_memory && piece.len() <= CHUNK {
            self.first = Some(piece);
            return Ok(());
        }
        if let Some(first) = self.first.take() {
            self.held.push(first);
        }
        self.held.push(piece);
        if self.held.len() > CHUNK || !has_memory { self.write_out().await } else { Ok(()) }
    }

    /// Moves what is held in memory to the file.
    async fn write_out(&mut self) -> Result<(), Full> {
        let file = self.file.get_or_insert_with(|| Growing::new(&self.stores));
        file.write(self.held.take())?;
        let written = poll_fn(|cx| file.poll_written(cx));
        timeout(WRITE_WITHIN, written).await.map_err(|_| Full::Slow)??;
        self.memory.shrink(self.memory.bytes());
        Ok(())
    }

    /// Ends: all has been added.
    ///
    /// # Errors
    ///
    /// [`Full`]: there is no room for the last of it.
    pub async fn finish(mut self) -> Result<Whole, Full> {
        if let Some(first) = self.first {
            let length = first.len() as u64;
            return Ok(Whole { place: Place::Memory(first), length, _lease: self.memory });
        }
        if self.file.as_ref().is_some_and(|file| file.length() > 0 || self.held.len() > CHUNK)
            && !self.held.is_empty()
        {
            self.write_out().await?;
        }
        let written = self.file.map(|file| (file.length(), file.finish()));
        if let Some((length, Some((file, lease)))) = written {
            return Ok(Whole { place: Place::File(file), length, _lease: lease });
        }
        let length = self.held.len() as u64;
        // Not more than one chunk: else it would have been written out.
        let bytes = self.held.pop().unwrap_or_default();
        Ok(Whole { place: Place::Memory(bytes), length, _lease: self.memory })
    }
}

/// A disk that takes longer hangs.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    fn stores(memory: u64, disk: u64) -> Arc<Stores> {
        let directory = std::env::temp_dir();
        Stores::new(Settings { memory, disk, answer_disk: disk, directory })
    }

    async fn collect(
        stores: &Arc<Stores>,
        announced: bool,
        content: &[u8],
        step: usize,
    ) -> Result<Arc<Whole>, Full> {
        let length = announced.then_some(content.len() as u64);
        let mut collector = Collector::new(stores, length)?;
        for piece in content.chunks(step) {
            collector.add(Bytes::copy_from_slice(piece)).await?;
        }
        collector.finish().await.map(Arc::new)
    }

    async fn read(whole: &Arc<Whole>) -> Vec<u8> {
        let (mut reader, mut out) = (whole.reader(), Vec::new());
        while let Some(piece) = poll_fn(|cx| reader.poll_next(cx)).await {
            out.extend_from_slice(&piece.unwrap());
        }
        out
    }

    #[tokio::test]
    async fn content_of_every_size_and_cut_is_kept_and_can_be_read_twice() {
        for length in [0, 1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
            let content: Vec<u8> =
                (0..length).map(|number| number.to_le_bytes()[number % 2]).collect();
            for step in [7, 1000, CHUNK, 10 * CHUNK] {
                for (announced, memory) in [(true, 1 << 20), (false, 1 << 20), (false, 10)] {
                    let stores = stores(memory, 1 << 20);
                    let whole = collect(&stores, announced, &content, step).await.unwrap();
                    assert_eq!(whole.length(), length as u64);
                    for _ in 0..2 {
                        assert!(read(&whole).await == content, "{length} by {step}");
                    }
                    assert!(length <= CHUNK || matches!(whole.place, Place::File(_)));
                    assert!(stores.memory().used() <= CHUNK as u64);
                    drop(whole);
                    assert_eq!((stores.memory().used(), stores.disk().used()), (0, 0));
                }
            }
        }
    }

    #[tokio::test]
    async fn without_room_nothing_is_kept() {
        let big = vec![7; 2 * CHUNK];
        let none = stores(1 << 20, CHUNK as u64);
        assert!(matches!(collect(&none, true, &big, 1000).await, Err(Full::Budget)));
        assert!(matches!(collect(&none, false, &big, 1000).await, Err(Full::Budget)));
        assert_eq!((none.memory().used(), none.disk().used()), (0, 0));
        let directory = "/nowhere/at/all".into();
        let lost =
            Stores::new(Settings { memory: 1 << 20, disk: 1 << 20, answer_disk: 0, directory });
        assert!(matches!(collect(&lost, true, &big, 1000).await, Err(Full::File(_))));
        assert_eq!((lost.memory().used(), lost.disk().used()), (0, 0));
    }
}
