//! Compresses content on its way, without holding it up.
//!
//! Owns: when the encoder is flushed, how much is compressed at a stretch.
//! Must not know: where the content comes from, fields.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::yield_now;

use super::encoder::Encoder;
use crate::coding::Coding;

/// The most that is compressed before others have their turn: 32 KiB take some tenths of a
/// millisecond.
const SLICE: usize = 32 * 1024;

/// Compressed content goes on in pieces of at least this, unless nothing follows at once.
const OUTPUT: usize = 4 * 1024;

/// Why compressed content ended early.
#[derive(Debug, thiserror::Error)]
pub enum Broken<E> {
    /// The content itself did.
    #[error(transparent)]
    Content(E),
    /// The encoder failed.
    #[error("the answer cannot be compressed")]
    Encoder(#[source] io::Error),
}

/// The encoder of one answer, and what is on its way through it.
pub struct Stream {
    /// Gone when it was finished, or has failed.
    encoder: Option<Encoder>,
    coding: Coding,
    /// Not compressed yet.
    piece: Bytes,
    /// Whether the encoder keeps something back.
    is_dirty: bool,
    /// How much was compressed since the last pause.
    stretch: usize,
    state: State,
    /// Comes last.
    trailers: Option<HeaderMap>,
    /// Others have their turn until it is ready.
    pause: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    /// A place among the answers that are compressed at once.
    _place: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// More content may come.
    Open,
    /// The content has ended or broken off; what the encoder has goes out.
    Ending,
    /// Nothing is left.
    Ended,
}

impl Stream {
    /// Begins an answer.
    ///
    /// # Errors
    ///
    /// What the encoder says when it gets no memory.
    pub(super) fn new(coding: Coding, place: OwnedSemaphorePermit) -> io::Result<Self> {
        Ok(Self {
            encoder: Some(Encoder::new(coding)?),
            coding,
            piece: Bytes::new(),
            is_dirty: false,
            stretch: 0,
            state: State::Open,
            trailers: None,
            pause: None,
            _place: place,
        })
    }

    /// The coding.
    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// Whether nothing is left.
    pub fn is_end_stream(&self) -> bool {
        self.state == State::Ended
    }

    /// Hands out the next compressed piece of the content that `poll` brings.
    ///
    /// Where no content follows at once, everything that came before it goes out: a stream is never
    /// held up. Each [`SLICE`] ends with a pause, in which the thread serves others. At most one
    /// piece of content, its compressed form and the encoder's own memory are held.
    ///
    /// # Errors
    ///
    /// [`Broken`]; what the encoder kept back is lost with the rest.
    pub fn poll_frame<E>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, E>>>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken<E>>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        while self.state == State::Open {
            if !self.piece.is_empty() {
                if let Err(why) = self.compress() {
                    return self.fail(why);
                }
                if self.stretch >= SLICE {
                    self.stretch = 0;
                    self.pause = Some(Box::pin(yield_now()));
                }
                if self.encoder.as_ref().is_some_and(|encoder| encoder.ready() >= OUTPUT) {
                    return self.hand_out();
                }
                if let Some(pause) = &mut self.pause {
                    ready!(pause.as_mut().poll(cx));
                }
                self.pause = None;
            }
            if !self.piece.is_empty() {
                continue;
            }
            match poll(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.piece = data,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.state = State::Ending;
                    }
                },
                Poll::Ready(None) => self.state = State::Ending,
                Poll::Ready(Some(Err(why))) => {
                    self.encoder = None;
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err(Broken::Content(why))));
                }
                Poll::Pending if self.is_dirty => {
                    self.is_dirty = false;
                    let flushed = self.encoder.as_mut().map_or(Ok(()), Encoder::flush);
                    return match flushed {
                        Ok(()) => self.hand_out(),
                        Err(why) => self.fail(why),
                    };
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        self.end()
    }

    /// Compresses the next slice.
    fn compress(&mut self) -> io::Result<()> {
        let length = self.piece.len().min(SLICE);
        let slice = self.piece.get(..length).unwrap_or_default();
        self.is_dirty = true;
        self.stretch += length;
        let result = self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.write(slice));
        self.piece.advance(length);
        result
    }

    fn hand_out<E>(&mut self) -> Poll<Option<Result<Frame<Bytes>, Broken<E>>>> {
        let output = self.encoder.as_mut().map(Encoder::take).unwrap_or_default();
        Poll::Ready(Some(Ok(Frame::data(output.into()))))
    }

    fn fail<E>(&mut self, why: io::Error) -> Poll<Option<Result<Frame<Bytes>, Broken<E>>>> {
        self.encoder = None;
        self.state = State::Ended;
        Poll::Ready(Some(Err(Broken::Encoder(why))))
    }

    /// What comes after the content.
    fn end<E>(&mut self) -> Poll<Option<Result<Frame<Bytes>, Broken<E>>>> {
        if let Some(encoder) = self.encoder.take() {
            if self.trailers.is_none() {
                self.state = State::Ended;
            }
            return match encoder.finish() {
                Ok(output) => Poll::Ready(Some(Ok(Frame::data(output.into())))),
                Err(why) => self.fail(why),
            };
        }
        self.state = State::Ended;
        Poll::Ready(self.trailers.take().map(|fields| Ok(Frame::trailers(fields))))
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("coding", &self.coding).finish_non_exhaustive()
    }
}
