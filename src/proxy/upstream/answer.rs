//! The content of an answer: read as fast as the application writes, given as fast as the client reads.
//!
//! Owns: the order of what waits and what comes, and who reads on while the client does not.
//! Must not know: sockets, where content waits.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::Error;
use super::chunks::Piece;
use super::running::Running;
use crate::proxy::spool::{Line, Stores};

/// The content of an answer.
#[derive(Debug)]
pub struct Body {
    content: Content,
    /// Bytes that the client has not got, where the application said how many there are.
    left: Option<u64>,
    is_over: bool,
}

#[derive(Debug)]
enum Content {
    /// It was there with the header section.
    Whole(Bytes),
    /// It comes.
    Flow(Arc<Mutex<Flow>>),
}

/// Content on its way through forebay.
#[derive(Debug)]
struct Flow {
    running: Running,
    line: Line,
    /// What follows the line.
    end: Option<Result<Option<HeaderMap>, Error>>,
    /// Whether the client's side waits for the application, and is woken when it writes.
    is_awaited: bool,
}

impl Body {
    /// The content that `running` still has to give.
    pub(super) fn new(mut running: Running, stores: &Arc<Stores>) -> Self {
        let left = running.left();
        let mut end = None;
        if running.comes_at_once() {
            let piece = running.poll_piece(&mut Context::from_waker(Waker::noop()));
            match piece {
                Poll::Ready(Ok(Piece::Data(bytes))) => {
                    return Self { content: Content::Whole(bytes), left, is_over: false };
                }
                Poll::Ready(Ok(_)) => {
                    let content = Content::Whole(Bytes::new());
                    return Self { content, left: Some(0), is_over: true };
                }
                Poll::Ready(Err(why)) => end = Some(Err(why)),
                Poll::Pending => {}
            }
        }
        let flow = Flow { running, line: Line::new(stores), end, is_awaited: false };
        let flow = Arc::new(Mutex::new(flow));
        // Outside of `beside` nobody reads on while the client does not.
        let note =
            |present: &Arc<Mutex<Weak<Mutex<Flow>>>>| *locked(present) = Arc::downgrade(&flow);
        PRESENT.try_with(note).unwrap_or_default();
        Self { content: Content::Flow(flow), left, is_over: false }
    }

    /// Whether nothing is left to read.
    pub fn is_end_stream(&self) -> bool {
        self.is_over || self.left == Some(0)
    }

    /// How much is left, where the application said so.
    pub fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }

    /// Reads the next piece.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenOff`] when the application stopped before the end, and [`Error::Spool`].
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let piece = match &mut self.content {
            Content::Whole(bytes) => Ok(Piece::Data(std::mem::take(bytes))),
            Content::Flow(flow) => ready!(locked(flow).poll_piece(cx)),
        };
        Poll::Ready(match piece {
            Ok(Piece::Data(data)) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(data.len() as u64);
                }
                Some(Ok(Frame::data(data)))
            }
            Ok(Piece::Trailers(fields)) => {
                self.is_over = true;
                Some(Ok(Frame::trailers(fields)))
            }
            Ok(Piece::End | Piece::Incomplete) => {
                self.is_over = true;
                None
            }
            Err(why) => {
                self.is_over = true;
                Some(Err(why))
            }
        })
    }
}

impl Flow {
    /// The next piece for the client.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Error>> {
        self.is_awaited = false;
        if let Some(piece) = ready!(self.line.poll_pop(cx)) {
            return Poll::Ready(piece.map(Piece::Data).map_err(Error::Spool));
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(end.map(|trailers| trailers.map_or(Piece::End, Piece::Trailers)));
        }
        self.is_awaited = true;
        let piece = ready!(self.running.poll_piece(cx));
        self.is_awaited = false;
        Poll::Ready(piece)
    }

    /// Reads on while the client takes nothing, as far as there is room.
    fn read_on(&mut self, cx: &mut Context<'_>) {
        if self.is_awaited {
            return;
        }
        while self.end.is_none() && self.line.poll_room(cx).is_ready() {
            let end = match self.running.poll_piece(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(Piece::Data(piece))) => {
                    self.line.push(piece);
                    if !self.running.is_over() {
                        continue;
                    }
                    Ok(None)
                }
                Poll::Ready(Ok(Piece::Trailers(fields))) => Ok(Some(fields)),
                Poll::Ready(Ok(Piece::End | Piece::Incomplete)) => Ok(None),
                Poll::Ready(Err(why)) => Err(why),
            };
            self.end = Some(end);
        }
    }
}

tokio::task_local! {
    /// The answer that the present task sends to its client.
    static PRESENT: Arc<Mutex<Weak<Mutex<Flow>>>>;
}

/// Runs `task`, which serves one client; whenever it waits, the answer that it sends is read on from
/// the application, so that a slow client does not hold a worker.
///
/// It takes the task in its place, where it stays: moving one costs as much as some steps of it.
pub async fn beside<F: Future>(task: Pin<Box<F>>) -> F::Output {
    let present = Arc::new(Mutex::new(Weak::new()));
    let mut task = pin!(PRESENT.scope(Arc::clone(&present), task));
    poll_fn(|cx| {
        if let Some(flow) = locked(&present).upgrade() {
            // Whoever asked in an earlier round may have found something else to send since.
            locked(&flow).is_awaited = false;
        }
        if let Poll::Ready(output) = task.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        let flow = locked(&present).upgrade();
        if let Some(flow) = flow {
            locked(&flow).read_on(cx);
        }
        Poll::Pending
    })
    .await
}

/// All of it runs on one thread: the lock is never contended.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
