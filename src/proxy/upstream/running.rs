//! A request that the application works on, from its first byte to the last of its answer.
//!
//! Owns: where the answer ends, what becomes of the connection then, and of a request whose client
//! has left.
//! Must not know: who reads the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::{Method, Uri};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::Error;
use super::chunks::{BadChunks, Chunks, Piece};
use super::connect::Pool;
use super::exchange::{Exchange, SMALL_READ};
use super::head::{Head, Length};
use super::queue::Place;
use crate::proxy::fields::names;
use crate::socket::Socket;

/// A request that the application works on.
#[derive(Debug)]
pub(super) struct Running {
    /// Boxed, since it is handed on with each step of an answer.
    work: Option<Box<Work>>,
    /// Free again when the application is done.
    place: Option<Place>,
    errand: Option<Box<Errand>>,
}

#[derive(Debug)]
struct Work {
    exchange: Exchange,
    remaining: Remaining,
    keeps_alive: bool,
    /// Whether the answer tells events, which mean nothing to nobody.
    is_stream: bool,
    pool: Arc<Pool>,
}

/// What is left to read.
#[derive(Debug)]
enum Remaining {
    Everything,
    Sized(u64),
    Chunked(Chunks),
    UntilClose,
}

/// A request with an effect: it is seen to its end even if its client leaves.
#[derive(Debug)]
pub(super) struct Errand {
    pub method: Method,
    pub target: Uri,
    pub errands: Arc<Errands>,
    pub begun: Instant,
}

/// The requests whose clients have left, of one data thread.
#[derive(Debug, Default)]
pub(super) struct Errands {
    count: AtomicUsize,
    ended: Notify,
}

impl Errands {
    /// Waits until there are none.
    pub(super) async fn all_ended(&self) {
        while self.count.load(Ordering::Relaxed) > 0 {
            self.ended.notified().await;
        }
    }
}

/// Counts an errand as long as it lives.
struct Counted(Arc<Errands>);

impl Counted {
    fn begin(errands: &Arc<Errands>) -> Self {
        errands.count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(errands))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.ended.notify_one();
    }
}

impl Running {
    /// Begins with a request that is ready to be written.
    pub(super) fn new(
        exchange: Exchange,
        place: Place,
        pool: &Arc<Pool>,
        errand: Option<Box<Errand>>,
    ) -> Self {
        let (remaining, pool) = (Remaining::Everything, Arc::clone(pool));
        let work = Work { exchange, remaining, keeps_alive: false, is_stream: false, pool };
        Self { work: Some(Box::new(work)), place: Some(place), errand }
    }

    /// Waits for the answer's header section.
    ///
    /// # Errors
    ///
    /// As [`Exchange::head`].
    pub(super) async fn head(&mut self) -> Result<Head, Error> {
        let Some(work) = &mut self.work else { return Err(Error::BrokenOff) };
        let result = work.head().await;
        if result.is_err() {
            self.work = None;
        }
        result
    }

    /// Gives the place back for another attempt.
    pub(super) fn give_up(mut self) -> Option<Place> {
        self.work = None;
        self.place.take()
    }

    /// Whether nothing is left to read.
    pub(super) fn is_over(&self) -> bool {
        self.work.is_none()
    }

    /// Whether the client still sends content that passes through.
    pub(super) fn awaits_client(&self) -> bool {
        let is_open = |work: &Work| work.exchange.is_sending() && !work.exchange.can_finish();
        self.work.as_deref().is_some_and(is_open)
    }

    /// How much is left, where the application said so.
    pub(super) fn left(&self) -> Option<u64> {
        match self.work.as_ref().map(|work| &work.remaining) {
            Some(Remaining::Sized(left)) => Some(*left),
            None => Some(0),
            Some(Remaining::Everything | Remaining::Chunked(_) | Remaining::UntilClose) => None,
        }
    }

    /// Reads what is there of a small rest; returns whether that is all of it. If not, the caller has to
    /// read on before it waits: nobody is woken for what was not there.
    pub(super) fn comes_at_once(&mut self) -> bool {
        let Some(work) = &mut self.work else { return true };
        let Remaining::Sized(left) = work.remaining else { return false };
        let Ok(left) = usize::try_from(left) else { return false };
        // Whoever reads on meets an end or a failure again.
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let missing = left.saturating_sub(work.exchange.buffer().len());
            if missing == 0 {
                return true;
            }
            // More goes faster in pieces: room for all of it would be new room each time.
            if missing > SMALL_READ {
                return false;
            }
            match work.exchange.poll_read(missing, &mut cx) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) | Poll::Pending => return false,
            }
        }
    }

    /// Reads the next piece of the answer's content. Behind the last one, and behind an error,
    /// nothing follows.
    ///
    /// # Errors
    ///
    /// [`Error::BrokenOff`] when the application stopped before the end, by closing the connection,
    /// by malformed chunks, or by silence beyond the idle deadline.
    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Error>> {
        let Some(work) = &mut self.work else { return Poll::Ready(Ok(Piece::End)) };
        let piece = ready!(work.poll_piece(cx));
        let is_last = match &piece {
            Ok(Piece::Data(_)) => matches!(work.remaining, Remaining::Sized(0)),
            Ok(Piece::Trailers(_) | Piece::End) => true,
            Ok(Piece::Incomplete) => false,
            Err(_) => {
                (self.work, self.place) = (None, None);
                false
            }
        };
        if is_last {
            self.end();
        }
        Poll::Ready(piece)
    }

    /// Ends at the answer's end: the place is free, and the connection perhaps of use again.
    fn end(&mut self) {
        self.place = None;
        if let Some(work) = self.work.take()
            && work.keeps_alive
            && let Some(connection) = work.exchange.into_connection()
        {
            work.pool.put(connection);
        }
    }

    /// Gives up the answer for a tunnel: the stream, and what was read behind the header section.
    pub(super) fn into_tunnel(mut self) -> Option<(Socket, BytesMut)> {
        self.work.take().map(|work| work.exchange.into_tunnel())
    }
}

impl Work {
    async fn head(&mut self) -> Result<Head, Error> {
        let head = self.exchange.head().await?;
        self.remaining = match head.length {
            Length::None => Remaining::Sized(0),
            Length::Sized(length) => Remaining::Sized(length),
            Length::Chunked => Remaining::Chunked(Chunks::new()),
            Length::UntilClose => Remaining::UntilClose,
        };
        self.keeps_alive = head.keeps_alive;
        self.is_stream = head
            .fields
            .get(&names::CONTENT_TYPE)
            .is_some_and(|kind| kind.starts_with(b"text/event-stream"));
        Ok(head)
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, Error>> {
        // A client that is still sending goes on; its failure ends the answer too.
        if let Poll::Ready(Err(why)) = self.exchange.poll_send(cx) {
            return Poll::Ready(Err(why));
        }
        loop {
            match take_piece(&mut self.remaining, self.exchange.buffer()) {
                Ok(Piece::Incomplete) => {}
                Ok(piece) => return Poll::Ready(Ok(piece)),
                Err(_) => return Poll::Ready(Err(Error::BrokenOff)),
            }
            match self.exchange.poll_read(wanted(&self.remaining), cx) {
                Poll::Ready(Ok(0)) if matches!(self.remaining, Remaining::UntilClose) => {
                    return Poll::Ready(Ok(Piece::End));
                }
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Error::BrokenOff)),
                Poll::Ready(Ok(_)) => self.exchange.has_moved(),
                Poll::Pending => {
                    ready!(self.exchange.poll_idle(cx));
                    return Poll::Ready(Err(Error::BrokenOff));
                }
            }
        }
    }

    /// Reads the answer for nobody; returns its status. What has an effect has had it when the
    /// answer ends; one that does not end is no effect, but a stream that its client has left.
    async fn finish(mut self: Box<Self>) -> Result<Option<u16>, Error> {
        let status = match self.remaining {
            Remaining::Everything => Some(self.head().await?.status.as_u16()),
            Remaining::Sized(_) | Remaining::Chunked(_) | Remaining::UntilClose => None,
        };
        let content = async {
            while !matches!(self.remaining, Remaining::Sized(0)) && !self.is_stream {
                match std::future::poll_fn(|cx| self.poll_piece(cx)).await? {
                    Piece::Data(_) | Piece::Incomplete => {}
                    Piece::Trailers(_) | Piece::End => break,
                }
            }
            Ok(status)
        };
        timeout(CONTENT_WITHIN, content).await.unwrap_or(Ok(status))
    }

    /// Tells the application that nobody waits for its answer any more, and waits until it has
    /// noticed or answers: until then it works on it, and its place is not free.
    async fn give_up(mut self: Box<Self>) {
        if self.exchange.end_sending().await {
            // How it ends changes nothing any more.
            drop(self.head().await);
        }
    }
}

impl Drop for Running {
    /// The client has left. What has an effect is not stopped half-way; everything else is given up.
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        if !work.exchange.can_finish() {
            return;
        }
        let place = self.place.take();
        if let Some(errand) = self.errand.take() {
            let counted = Counted::begin(&errand.errands);
            runtime.spawn(async move {
                let result = work.finish().await;
                errand.report(result);
                drop((place, counted));
            });
        } else if matches!(work.remaining, Remaining::Everything) {
            runtime.spawn(async move {
                work.give_up().await;
                drop(place);
            });
        }
    }
}

impl Errand {
    fn report(&self, result: Result<Option<u16>, Error>) {
        let (method, path) = (&self.method, self.target.path());
        let elapsed_ms = self.begun.elapsed().as_millis();
        match result {
            Ok(status) => {
                tracing::info!(%method, path, status, elapsed_ms, "finished after its client had left");
            }
            Err(why) => {
                let code = why.code().id();
                tracing::warn!(%method, path, code, %why, elapsed_ms, "failed after its client had left");
            }
        }
    }
}

/// Takes what is there of the content off `buffer`.
fn take_piece(remaining: &mut Remaining, buffer: &mut BytesMut) -> Result<Piece, BadChunks> {
    match remaining {
        Remaining::Sized(0) => Ok(Piece::End),
        Remaining::Chunked(chunks) => chunks.next(buffer),
        _ if buffer.is_empty() => Ok(Piece::Incomplete),
        Remaining::Sized(left) => {
            let step = usize::try_from(*left).unwrap_or(usize::MAX).min(buffer.len());
            *left -= step as u64;
            Ok(Piece::Data(buffer.split_to(step).freeze()))
        }
        Remaining::Everything | Remaining::UntilClose => Ok(Piece::Data(buffer.split().freeze())),
    }
}

/// How much to read at once for what remains.
fn wanted(remaining: &Remaining) -> usize {
    match remaining {
        Remaining::Sized(left) => usize::try_from(*left).unwrap_or(LARGE_READ).min(LARGE_READ),
        Remaining::Everything | Remaining::Chunked(_) | Remaining::UntilClose => SMALL_READ,
    }
}

const LARGE_READ: usize = 128 * 1024;

/// How long the content of an answer that nobody reads may take.
const CONTENT_WITHIN: Duration = Duration::from_mins(1);
