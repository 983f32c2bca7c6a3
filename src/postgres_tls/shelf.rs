//! Buffers of one thread: a connection has one only while bytes wait in it.
//!
//! Owns: their size, how many are kept.
//! Must not know: what is in them.

use std::cell::RefCell;
use std::mem;

/// As large as what rustls takes at once. A connection that rests has none.
pub(super) const SIZE: usize = 64 * 1024;

/// So many are kept; others go back to the system.
const KEPT: usize = 32;

thread_local! {
    static SHELF: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes that wait: read at one end, taken at the other.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// Empty, or [`SIZE`] bytes.
    room: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The bytes that wait.
    pub(super) fn waiting(&self) -> &[u8] {
        self.room.get(self.start..self.end).unwrap_or_default()
    }

    /// Where more can be put; nothing where there is no room before some are taken.
    pub(super) fn room(&mut self) -> &mut [u8] {
        if self.room.is_empty() {
            self.room = SHELF.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; SIZE]);
        }
        self.room.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that so many bytes have been put.
    pub(super) fn put(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.room.len());
    }

    /// Says that so many bytes have been taken.
    pub(super) fn take(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Lays the memory on the shelf, if no byte waits.
    pub(super) fn rest(&mut self) {
        if self.start == self.end && !self.room.is_empty() {
            (self.start, self.end) = (0, 0);
            let room = mem::take(&mut self.room);
            SHELF.with_borrow_mut(|shelf| {
                if shelf.len() < KEPT {
                    shelf.push(room);
                }
            });
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        (self.start, self.end) = (0, 0);
        self.rest();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_and_the_memory_is_used_again() {
        let mut buffer = Buffer::default();
        assert!(buffer.waiting().is_empty());
        assert_eq!(buffer.room().len(), SIZE);
        buffer.room()[..3].copy_from_slice(b"abc");
        buffer.put(3);
        assert_eq!(buffer.room().len(), SIZE - 3);
        buffer.take(1);
        buffer.rest();
        assert_eq!(buffer.waiting(), b"bc");
        buffer.take(2);
        let place = buffer.room().as_ptr();
        buffer.rest();
        assert_eq!(Buffer::default().room().as_ptr(), place, "from the shelf");
        let many: Vec<_> = (0..2 * KEPT).map(|_| Buffer::default()).collect();
        for mut buffer in many {
            buffer.room();
        }
        assert!(SHELF.with_borrow(Vec::len) <= KEPT);
    }
}
