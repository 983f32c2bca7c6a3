//! Room to read into, which the connections of a thread share.
//!
//! Owns: where room comes from, and that nobody holds any while nothing comes.
//! Must not know: what is read.

use std::cell::RefCell;
use std::future::Future as _;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// What is left of the room that was read into last. Whoever reads next takes it, so that a connection
/// that waits holds none, and all of them use the same memory, which is in the CPU's cache.
#[derive(Debug, Default)]
pub struct Room(RefCell<BytesMut>);

impl Room {
    /// Reads to the end of `held`. Where it has room for less than `least` bytes, room for `usual` is
    /// made; all of it is used.
    pub fn poll_read(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        held: &mut BytesMut,
        (least, usual): (usize, usize),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if held.is_empty() && held.capacity() < least {
            // Its own room can be had again, where nobody uses what was read into it.
            let mut room = self.0.borrow_mut();
            if room.capacity() > held.capacity() {
                *held = std::mem::take(&mut room);
            }
        }
        if held.capacity() - held.len() < least {
            held.reserve(usual);
        }
        let read = pin!(stream.read_buf(held)).poll(cx);
        if read.is_pending() {
            self.give_back(held);
        }
        read
    }

    /// Takes back the room of a connection that holds nothing.
    pub fn give_back(&self, held: &mut BytesMut) {
        if held.is_empty() && held.capacity() > 0 {
            let room = std::mem::take(held);
            if room.capacity() <= MOST {
                self.0.replace(room);
            }
        }
    }
}

/// Larger room is not kept: what is read at once would be as large.
const MOST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn a_connection_holds_room_only_for_what_has_come() {
        let room = Room::default();
        let (mut near, mut far) = tokio::io::duplex(64);
        let mut held = BytesMut::new();
        let waits = poll_fn(|cx| {
            let read = room.poll_read(&mut near, &mut held, (10, 100), cx);
            Poll::Ready(read.is_pending())
        });
        assert!(waits.await);
        assert_eq!(held.capacity(), 0);
        assert!(room.0.borrow().capacity() >= 100, "the next one takes it");
        far.write_all(b"hello").await.unwrap();
        let count = poll_fn(|cx| room.poll_read(&mut near, &mut held, (10, 100), cx)).await;
        assert_eq!((count.unwrap(), &held[..]), (5, &b"hello"[..]));
        assert_eq!(room.0.borrow().capacity(), 0);
        room.give_back(&mut held);
        assert_eq!(&held[..], b"hello", "it is in use");
        held.clear();
        room.give_back(&mut held);
        assert_eq!(held.capacity(), 0);
        room.give_back(&mut BytesMut::with_capacity(2 * MOST));
        assert!(room.0.borrow().capacity() < MOST);
    }
}
