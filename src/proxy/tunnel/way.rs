//! One direction of a tunnel.
//!
//! Owns: the bytes that were read and not yet written, the place where a Close frame is put in.
//! Must not know: the other direction, deadlines, why a tunnel ends.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;

/// Bytes on their way from a source to a sink, at most [`READ`] of them and a Close frame, beside
/// what came together with the handshake. A silent way holds no memory for them.
#[derive(Debug)]
pub(super) struct Way {
    held: BytesMut,
    /// Where frames end, if the tunnel is a WebSocket.
    frames: Option<Frames>,
    flow: Flow,
    /// What the source does.
    pub(super) source: Source,
    /// Whether the sink takes nothing any more.
    pub(super) is_sink_gone: bool,
    /// Bytes that the sink took.
    pub(super) carried: u64,
    is_flushed: bool,
    has_moved: bool,
}

/// What becomes of bytes that are read.
#[derive(Debug)]
enum Flow {
    /// They pass.
    Passing,
    /// They pass to the end of the frame; behind it goes this Close frame.
    Closing(Vec<u8>),
    /// A Close frame was the last to go: they are looked at and dropped.
    Closed,
    /// There are none any more, and the sink does not know it yet.
    Ending,
    /// The sink knows, or is gone.
    Over,
}

/// What a source does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// It may send more.
    Open,
    /// It said that it sends no more.
    Ended,
    /// Its connection is gone: it takes nothing either.
    Gone,
}

/// The most that is read at once.
const READ: usize = 16 * 1024;

impl Way {
    /// Begins with what came together with the handshake.
    pub(super) fn new(early: BytesMut, mut frames: Option<Frames>) -> Self {
        if let Some(frames) = &mut frames {
            frames.pass_all(&early);
        }
        Self {
            held: early,
            frames,
            flow: Flow::Passing,
            source: Source::Open,
            is_sink_gone: false,
            carried: 0,
            // Even what is empty may have room, which goes with the first flush.
            is_flushed: false,
            has_moved: false,
        }
    }

    /// Carries what can be carried now; returns whether a byte moved.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> bool {
        // Pending says that the task is woken when more can be done.
        while self.poll_write(cx, sink).is_ready() && self.poll_read(cx, source).is_ready() {}
        std::mem::take(&mut self.has_moved)
    }

    /// Whether the sink was told the end, or is gone.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.flow, Flow::Over)
    }

    /// Nothing passes any more.
    pub(super) fn lose_sink(&mut self) {
        self.is_sink_gone = true;
        self.held = BytesMut::new();
        self.flow = Flow::Over;
    }

    /// Puts `close` in where the present frame ends, unless a Close frame went before it.
    pub(super) fn close(&mut self, close: Vec<u8>) {
        let Some(frames) = &self.frames else { return };
        if !matches!(self.flow, Flow::Passing) {
            return;
        }
        if frames.has_close() {
            self.flow = Flow::Closed;
        } else if frames.is_at_boundary() {
            self.held.extend_from_slice(&close);
            self.flow = Flow::Closed;
        } else {
            self.flow = Flow::Closing(close);
        }
    }

    /// Whether the source has begun a Close frame, or sends nothing any more.
    pub(super) fn is_source_done(&self) -> bool {
        self.source != Source::Open || self.frames.as_ref().is_some_and(Frames::has_close)
    }

    /// Whether the sink has been sent a Close frame or the source's end.
    pub(super) fn is_closed(&self) -> bool {
        self.is_over() || (matches!(self.flow, Flow::Closed) && self.held.is_empty())
    }

    /// Whether both sides of the way have said their last word.
    pub(super) fn is_done(&self) -> bool {
        self.is_closed() && (self.is_over() || self.is_source_done())
    }

    /// Whether there is a place for a Close frame, now or later.
    pub(super) fn may_close(&self) -> bool {
        self.frames.as_ref().is_some_and(|frames| !frames.is_broken())
    }

    fn end(&mut self, source: Source) {
        self.source = source;
        self.flow = Flow::Ending;
    }

    /// Takes what was read.
    fn take(&mut self, bytes: &[u8]) {
        let Some(frames) = &mut self.frames else {
            return self.held.extend_from_slice(bytes);
        };
        let passed = match &self.flow {
            Flow::Closed => 0,
            Flow::Closing(_) => frames.pass(bytes),
            Flow::Passing | Flow::Ending | Flow::Over => bytes.len(),
        };
        let (kept, dropped) = bytes.split_at_checked(passed).unwrap_or((bytes, &[]));
        self.held.extend_from_slice(kept);
        match &mut self.flow {
            Flow::Closing(close) => {
                if frames.is_at_boundary() {
                    // The source's own Close frame may have been the end of it.
                    if !frames.has_close() {
                        self.held.extend_from_slice(close);
                    }
                    self.flow = Flow::Closed;
                    frames.pass_all(dropped);
                }
            }
            Flow::Closed => frames.pass_all(dropped),
            Flow::Passing | Flow::Ending | Flow::Over => frames.pass_all(kept),
        }
    }

    /// Reads once what the source has; pending for ever when it has sent its last byte.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut (impl AsyncRead + Unpin),
    ) -> Poll<()> {
        if self.is_over() || self.source != Source::Open {
            return Poll::Pending;
        }
        let mut space = [const { MaybeUninit::uninit() }; READ];
        let mut bytes = ReadBuf::uninit(&mut space);
        match ready!(Pin::new(source).poll_read(cx, &mut bytes)) {
            Ok(()) if bytes.filled().is_empty() => self.end(Source::Ended),
            Ok(()) => {
                self.has_moved = true;
                self.take(bytes.filled());
            }
            Err(_) => self.end(Source::Gone),
        }
        Poll::Ready(())
    }

    /// Writes all that is held, and the end behind it.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<()> {
        if self.is_over() {
            return Poll::Ready(());
        }
        match ready!(self.poll_empty(cx, sink)) {
            // What a sink says to its end changes nothing.
            Ok(()) if matches!(self.flow, Flow::Ending) => {
                drop(ready!(Pin::new(sink).poll_shutdown(cx)));
                self.flow = Flow::Over;
            }
            Ok(()) => {}
            Err(_) => self.lose_sink(),
        }
        Poll::Ready(())
    }

    fn poll_empty(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let count = ready!(Pin::new(&mut *sink).poll_write(cx, &self.held))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(count);
            self.carried += count as u64;
            self.has_moved = true;
            self.is_flushed = false;
        }
        if !self.is_flushed {
            self.held = BytesMut::new();
            ready!(Pin::new(sink).poll_flush(cx))?;
            self.is_flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}
