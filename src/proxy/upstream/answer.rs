//! The content of an answer on its way from the application.
//!
//! Owns: where it ends, and what becomes of the connection then.
//! Must not know: who reads it.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};

use super::Error;
use super::chunks::{BadChunks, Chunks, Piece};
use super::connect::Pool;
use super::exchange::{Exchange, SMALL_READ};
use super::head::{Head, Length};

/// The content of an answer, read as the client takes it.
#[derive(Debug)]
pub struct Body {
    /// Gone when the connection was given back.
    exchange: Option<Exchange>,
    remaining: Remaining,
    keeps_alive: bool,
    pool: Arc<Pool>,
}

#[derive(Debug)]
enum Remaining {
    Sized(u64),
    Chunked(Chunks),
    UntilClose,
}

impl Body {
    /// The content behind `head`, whose header section was read from `exchange`.
    pub(super) fn new(exchange: Exchange, head: &Head, pool: Arc<Pool>) -> Self {
        let remaining = match head.length {
            Length::None => Remaining::Sized(0),
            Length::Sized(length) => Remaining::Sized(length),
            Length::Chunked => Remaining::Chunked(Chunks::new()),
            Length::UntilClose => Remaining::UntilClose,
        };
        let keeps_alive = head.keeps_alive;
        let mut body = Self { exchange: Some(exchange), remaining, keeps_alive, pool };
        body.give_back_at_end();
        body
    }

    /// Gives the connection back when nothing is left on it.
    fn give_back_at_end(&mut self) {
        if matches!(self.remaining, Remaining::Sized(0))
            && let Some(exchange) = self.exchange.take()
            && self.keeps_alive
            && let Some(connection) = exchange.into_connection()
        {
            self.pool.put(connection);
        }
    }

    /// Whether nothing is left to read.
    pub fn is_end_stream(&self) -> bool {
        matches!(self.remaining, Remaining::Sized(0))
    }

    /// How much is left, where the application said so.
    pub fn size_hint(&self) -> SizeHint {
        match self.remaining {
            Remaining::Sized(left) => SizeHint::with_exact(left),
            Remaining::Chunked(_) | Remaining::UntilClose => SizeHint::new(),
        }
    }

    /// Reads the next piece.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenOff`] when the application stopped before the end, by closing the connection,
    /// by malformed chunks, or by silence beyond the idle deadline.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
        // A client that is still sending goes on; its failure ends the answer too.
        if let Poll::Ready(Err(why)) = exchange.poll_send(cx) {
            return self.fail(why);
        }
        loop {
            match take_piece(&mut self.remaining, exchange.buffer()) {
                Ok(Piece::Data(data)) => {
                    exchange.has_moved();
                    self.give_back_at_end();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Ok(Piece::Trailers(fields)) => {
                    self.remaining = Remaining::Sized(0);
                    self.give_back_at_end();
                    return Poll::Ready(Some(Ok(Frame::trailers(fields))));
                }
                Ok(Piece::End) => {
                    self.remaining = Remaining::Sized(0);
                    self.give_back_at_end();
                    return Poll::Ready(None);
                }
                Ok(Piece::Incomplete) => {}
                Err(_) => return self.fail(Error::BrokenOff),
            }
            match exchange.poll_read(wanted(&self.remaining), cx) {
                Poll::Ready(Ok(0)) if matches!(self.remaining, Remaining::UntilClose) => {
                    self.exchange = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0) | Err(_)) => return self.fail(Error::BrokenOff),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    ready!(exchange.poll_idle(cx));
                    return self.fail(Error::BrokenOff);
                }
            }
        }
    }

    fn fail(&mut self, why: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.exchange = None;
        Poll::Ready(Some(Err(why)))
    }
}

/// Takes what is there of the content off `buffer`.
fn take_piece(remaining: &mut Remaining, buffer: &mut BytesMut) -> Result<Piece, BadChunks> {
    match remaining {
        Remaining::Chunked(chunks) => chunks.next(buffer),
        _ if buffer.is_empty() => Ok(Piece::Incomplete),
        Remaining::Sized(left) => {
            let step = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
            *left -= step as u64;
            Ok(Piece::Data(buffer.split_to(step).freeze()))
        }
        Remaining::UntilClose => Ok(Piece::Data(buffer.split().freeze())),
    }
}

/// How much to read at once for what remains.
fn wanted(remaining: &Remaining) -> usize {
    match remaining {
        Remaining::Sized(left) => {
            usize::try_from(*left).unwrap_or(LARGE_READ).clamp(SMALL_READ, LARGE_READ)
        }
        Remaining::Chunked(_) | Remaining::UntilClose => 2 * SMALL_READ,
    }
}

const LARGE_READ: usize = 128 * 1024;
