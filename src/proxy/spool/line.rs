//! Content that waits in line: it comes in as fast as it is made and goes out as fast as it is taken.
//!
//! Owns: when memory is enough, when a file helps, when there is no more room.
//! Must not know: who makes it, who takes it.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::file::{Growing, Reading};
use super::pieces::Pieces;
use super::{Full, Lease, Stores};

/// Content in line.
#[derive(Debug)]
pub struct Line {
    stores: Arc<Stores>,
    memory: Lease,
    front: Pieces,
    file: Option<Box<Overflow>>,
    /// Behind everything else: what the file did not take.
    rest: Option<Bytes>,
}

/// The middle of the line, in a file.
#[derive(Debug)]
struct Overflow {
    file: Growing,
    /// What is being written, in case that it fails.
    writing: Option<Bytes>,
    /// Bytes that were taken from the file.
    taken: u64,
    reading: Option<Reading>,
}

/// So much of one line may be in memory.
const MEMORY: usize = 1024 * 1024;

impl Line {
    /// An empty line.
    pub fn new(stores: &Arc<Stores>) -> Self {
        Self {
            stores: Arc::clone(stores),
            memory: stores.memory.lease(),
            front: Pieces::default(),
            file: None,
            rest: None,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.front.is_empty() && self.rest.is_none() && !self.is_filing()
    }

    fn is_filing(&self) -> bool {
        self.file.as_ref().is_some_and(|overflow| !overflow.is_drained())
    }

    /// Ready when another piece may be pushed. While there is no room at all it is pending, and
    /// nothing wakes the task: who takes from the line asks again.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_written(cx));
        if self.rest.is_some() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Sees a write to its end.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(overflow) = &mut self.file else { return Poll::Ready(()) };
        let result = ready!(overflow.file.poll_written(cx));
        let written = overflow.writing.take();
        if let Err(why) = result {
            tracing::warn!(%why, cause = ?std::error::Error::source(&why), "the spool's file failed");
            self.rest = written;
        }
        Poll::Ready(())
    }

    /// Puts a piece behind. [`Line::poll_room`] must have been ready.
    pub fn push(&mut self, piece: Bytes) {
        let is_small = self.front.len() + piece.len() <= MEMORY;
        if is_small && !self.is_filing() && self.memory.grow(piece.len() as u64) {
            self.front.push(piece);
            return;
        }
        let stores = &self.stores;
        let overflow = self.file.get_or_insert_with(|| Box::new(Overflow::new(stores)));
        if overflow.write(&piece, stores.answer_disk).is_err() {
            self.rest = Some(piece);
        }
    }

    /// Takes the first piece; ready with nothing when the line is empty.
    ///
    /// # Errors
    ///
    /// [`Full::File`]: the file cannot be read, and what is in it is lost.
    pub fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Full>>> {
        if let Some(piece) = self.front.pop() {
            self.memory.shrink(piece.len() as u64);
            return Poll::Ready(Some(Ok(piece)));
        }
        if self.is_filing() {
            // What is being written may be all that is left.
            let is_written = self.poll_written(cx).is_ready();
            if let Some(overflow) = &mut self.file {
                if let Some(result) = ready!(overflow.poll_take(cx)) {
                    return Poll::Ready(Some(result));
                }
                if !is_written {
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(self.rest.take().map(Ok))
    }
}

impl Overflow {
    fn new(stores: &Stores) -> Self {
        Self { file: Growing::new(stores), writing: None, taken: 0, reading: None }
    }

    fn is_drained(&self) -> bool {
        self.writing.is_none() && self.taken == self.file.length()
    }

    fn write(&mut self, piece: &Bytes, limit: u64) -> Result<(), Full> {
        if self.is_drained() {
            self.taken = 0;
            self.file.rewind();
        }
        if self.file.length() + piece.len() as u64 > limit {
            return Err(Full::Budget);
        }
        self.file.write(vec![piece.clone()])?;
        self.writing = Some(piece.clone());
        Ok(())
    }

    /// Takes the next piece of what was written; nothing if there is none yet.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Full>>> {
        if self.reading.is_none() {
            self.reading = self.file.read(self.taken);
        }
        let Some(reading) = &mut self.reading else { return Poll::Ready(None) };
        let result = ready!(reading.poll(cx));
        self.reading = None;
        if let Ok(piece) = &result {
            self.taken += piece.len() as u64;
        }
        Poll::Ready(Some(result.map_err(Full::File)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use super::super::Settings;
    use super::*;
    use proptest::prelude::*;

    fn stores(memory: u64, disk: u64, answer_disk: u64) -> Arc<Stores> {
        let directory = std::env::temp_dir();
        Stores::new(Settings { memory, disk, answer_disk, directory })
    }

    fn piece(number: usize, length: usize) -> Bytes {
        Bytes::from(vec![number.to_le_bytes()[0]; length])
    }

    /// Pushes while there is room, at most `most` pieces; returns how many.
    async fn fill(line: &mut Line, length: usize, most: usize) -> usize {
        for number in 0..most {
            let has_room = tokio::time::timeout(
                std::time::Duration::from_millis(300),
                poll_fn(|cx| line.poll_room(cx)),
            );
            if has_room.await.is_err() {
                return number;
            }
            line.push(piece(number, length));
        }
        most
    }

    async fn drain(line: &mut Line) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(result) = poll_fn(|cx| line.poll_pop(cx)).await {
            out.extend_from_slice(&result.unwrap());
        }
        assert!(line.is_empty());
        out
    }

    #[tokio::test]
    async fn a_line_takes_what_memory_and_file_hold_and_gives_it_back_in_order() {
        for (memory, disk, answer_disk, taken) in [
            (4 << 20, 0, 0, 17), // 16 in memory, one over
            (4 << 20, 8 << 20, 8 << 20, 100),
            (0, 8 << 20, 8 << 20, 100),
            (4 << 20, 8 << 20, 1 << 20, 33), // 16 in memory, 16 in the file, one over
            (0, 0, 0, 1),
        ] {
            let stores = stores(memory, disk, answer_disk);
            let mut line = Line::new(&stores);
            for _ in 0..2 {
                assert_eq!(fill(&mut line, 64 * 1024, 100).await, taken);
                assert!(stores.memory().used() <= MEMORY as u64);
                let expected: Vec<u8> = (0..taken).flat_map(|n| piece(n, 64 * 1024)).collect();
                assert!(drain(&mut line).await == expected);
            }
            drop(line);
            assert_eq!((stores.memory().used(), stores.disk().used()), (0, 0));
        }
    }

    #[tokio::test]
    async fn a_file_that_fails_loses_nothing() {
        let directory = "/nowhere/at/all".into();
        let stores =
            Stores::new(Settings { memory: 0, disk: 1 << 20, answer_disk: 1 << 20, directory });
        let mut line = Line::new(&stores);
        assert_eq!(fill(&mut line, 1000, 10).await, 1);
        assert_eq!(drain(&mut line).await, piece(0, 1000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_order_of_pushing_and_taking_keeps_the_order(
            steps in proptest::collection::vec((any::<bool>(), 1_usize..200_000), 1..60),
            memory in prop_oneof![Just(0_u64), Just(300_000), Just(10_000_000)],
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let stores = stores(memory, 20_000_000, 20_000_000);
                let mut line = Line::new(&stores);
                let mut expected = VecDeque::new();
                for (number, (pushes, length)) in steps.into_iter().enumerate() {
                    if pushes {
                        poll_fn(|cx| line.poll_room(cx)).await;
                        let piece = piece(number, length);
                        expected.extend(piece.iter().copied());
                        line.push(piece);
                    } else if let Some(piece) = poll_fn(|cx| line.poll_pop(cx)).await {
                        for byte in piece.unwrap() {
                            assert_eq!(expected.pop_front(), Some(byte));
                        }
                    } else {
                        assert!(expected.is_empty());
                    }
                }
                assert!(drain(&mut line).await.into_iter().eq(expected));
            });
        }
    }
}
