//! Content in memory, in order, in chunks of even size.
//!
//! Owns: that small pieces do not take more memory than they have bytes.
//! Must not know: budgets.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Content in memory. What is put in behind comes out in front.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    queue: VecDeque<Bytes>,
    tail: BytesMut,
    length: usize,
}

/// A chunk of gathered pieces.
pub(super) const CHUNK: usize = 64 * 1024;

impl Pieces {
    /// Bytes.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts a piece behind. A large one is kept as it is; a small one is copied, since it may hold
    /// the large buffer that it was read into.
    pub(super) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() >= CHUNK {
            self.close_tail();
            self.queue.push_back(piece);
            return;
        }
        if self.tail.len() + piece.len() > CHUNK {
            self.close_tail();
        }
        self.tail.extend_from_slice(&piece);
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.queue.push_back(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// Takes the first chunk.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.queue.is_empty() {
            self.close_tail();
        }
        let piece = self.queue.pop_front()?;
        self.length -= piece.len();
        Some(piece)
    }

    /// Takes everything.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.close_tail();
        self.length = 0;
        std::mem::take(&mut self.queue).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out_in_order_and_small_pieces_are_gathered() {
        let mut pieces = Pieces::default();
        let whole: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
        let mut rest = Bytes::from(whole.clone());
        for step in [1, 10, 70_000, 3, 65_536, 65_535, 2, 1].into_iter().cycle() {
            pieces.push(rest.split_to(rest.len().min(step)));
            if rest.is_empty() {
                break;
            }
        }
        assert_eq!(pieces.len(), whole.len());
        let mut out = Vec::new();
        let mut count = 0;
        while let Some(piece) = pieces.pop() {
            out.extend_from_slice(&piece);
            count += 1;
        }
        assert_eq!(out, whole);
        assert!(count < 12, "{count} chunks");
        assert!(pieces.is_empty());
    }
}
