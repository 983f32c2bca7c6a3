//! A stream that is read in large pieces: rustls asks for 4 KiB at a time, and each would be a call
//! into the kernel.
//!
//! Owns: reading ahead.
//! Must not know: what the bytes are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::shelf::Buffer;

/// The stream.
#[derive(Debug)]
pub(super) struct Wide<S> {
    stream: S,
    ahead: Buffer,
}

impl<S> Wide<S> {
    /// Reads ahead from now on.
    pub(super) fn new(stream: S) -> Self {
        Self { stream, ahead: Buffer::default() }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wide<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, ahead } = self.get_mut();
        if ahead.waiting().is_empty() {
            let mut room = ReadBuf::new(ahead.room());
            let result = Pin::new(stream).poll_read(cx, &mut room);
            let count = room.filled().len();
            ahead.put(count);
            if result.is_pending() || count == 0 {
                ahead.rest();
            }
            ready!(result)?;
        }
        let waiting = ahead.waiting();
        let piece = waiting.get(..into.remaining()).unwrap_or(waiting);
        let count = piece.len();
        into.put_slice(piece);
        ahead.take(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wide<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn nothing_is_lost_between_small_reads() {
        let (mut one, other) = duplex(1 << 20);
        let sent: Vec<u8> = (0..200_000_u32).map(|it| it.to_le_bytes()[0]).collect();
        one.write_all(&sent).await.unwrap();
        one.shutdown().await.unwrap();
        let mut wide = Wide::new(other);
        let (mut received, mut piece) = (Vec::<u8>::new(), [0_u8; 4097]);
        loop {
            let count = wide.read(&mut piece).await.unwrap();
            if count == 0 {
                break;
            }
            received.extend_from_slice(&piece[..count]);
        }
        assert_eq!(received, sent);
    }
}
