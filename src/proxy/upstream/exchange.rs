//! One request and its answer over one connection, both directions at once.
//!
//! Owns: the order of writing and reading, the deadlines of an answer.
//! Must not know: which connection is chosen, what happens after a failure.

use std::fmt::Write as _;
use std::future::{Future as _, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::time::{Instant, Sleep};

use super::Error;
use super::chunks::{Chunks, Piece};
use super::connect::{Connection, Pool, Stream};
use super::head::{self, Head, Length};

/// How long the application may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the request's last byte to the answer's header section.
    pub response: Duration,
    /// Between two pieces of an answer's content.
    pub idle: Duration,
}

/// A request on its way and its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    connection: Connection,
    method: Method,
    sending: Sending,
    /// Set when it is first waited for; moved on lazily, when it fires too early.
    alarm: Option<Pin<Box<Sleep>>>,
    /// The application owes something since then.
    since: Instant,
    deadlines: Deadlines,
}

/// What of the request has not been written.
#[derive(Debug)]
struct Sending {
    /// The header section, or a chunk's size line, or small content.
    text: Bytes,
    /// Content that is written as it came.
    content: Bytes,
    /// The line end behind a chunk.
    tail: &'static [u8],
    body: Option<Incoming>,
    is_chunked: bool,
}

/// Content up to this size travels in the same write as what is before it.
const JOIN_LIMIT: usize = 16 * 1024;

/// How much is read at once: a page, then more when content is large.
const SMALL_READ: usize = 8 * 1024;
const LARGE_READ: usize = 128 * 1024;

impl Exchange {
    /// Puts a request on a connection; nothing is written yet.
    pub(super) fn new(
        connection: Connection,
        method: Method,
        head: Bytes,
        body: Option<(Incoming, Length)>,
        deadlines: Deadlines,
    ) -> Self {
        let is_chunked = matches!(body, Some((_, Length::Chunked)));
        let body = body.map(|(body, _)| body);
        let sending = Sending { text: head, content: Bytes::new(), tail: b"", body, is_chunked };
        Self { connection, method, sending, alarm: None, since: Instant::now(), deadlines }
    }

    /// Sends the request and reads the answer's header section. The request's content may still be
    /// on its way when it returns.
    ///
    /// # Errors
    ///
    /// [`Error::ClosedEarly`], [`Error::BadResponse`], [`Error::ResponseDeadline`], and
    /// [`Error::ClientLeft`] when the request's content broke off.
    pub(super) async fn head(&mut self) -> Result<Head, Error> {
        poll_fn(|cx| self.poll_head(cx)).await
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Error>> {
        let is_sent = self.poll_send(cx)?.is_ready();
        loop {
            let buffer = &mut self.connection.buffer;
            match head::read_response(buffer, &self.method) {
                Ok(Some(head)) => {
                    self.since = Instant::now();
                    return Poll::Ready(Ok(head));
                }
                Ok(None) => {}
                Err(why) => return Poll::Ready(Err(Error::BadHead(why))),
            }
            match read_more(&mut self.connection, SMALL_READ, cx) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    let was_silent = self.connection.buffer.is_empty();
                    return Poll::Ready(Err(Error::ClosedEarly { was_silent }));
                }
                Poll::Ready(Ok(_)) => {}
                // While the client is still sending, its own deadlines hold.
                Poll::Pending if !is_sent => return Poll::Pending,
                Poll::Pending => {
                    ready!(self.poll_alarm(self.deadlines.response, cx));
                    return Poll::Ready(Err(Error::ResponseDeadline));
                }
            }
        }
    }

    /// Writes as much of the request as the application takes. Ready when nothing is left.
    ///
    /// An application that closes its reading side may have answered already: what is left of the
    /// request is dropped and the answer decides.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.sending.body.is_some() && self.sending.has_room() {
                match self.sending.poll_fill(cx) {
                    Poll::Ready(result) => result?,
                    Poll::Pending if self.sending.is_empty() => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            let Some(bytes) = self.sending.next() else {
                if self.sending.body.is_some() {
                    continue;
                }
                return Poll::Ready(Ok(()));
            };
            match ready!(Pin::new(&mut self.connection.stream).poll_write(cx, bytes)) {
                Ok(written) if written > 0 => {
                    self.sending.advance(written);
                    self.since = Instant::now();
                }
                _ => {
                    self.sending = Sending::nothing();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Ready when `allowed` has passed since the application last moved.
    fn poll_alarm(&mut self, allowed: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.since + allowed;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if alarm.deadline() > until {
            alarm.as_mut().reset(until);
        }
        loop {
            ready!(alarm.as_mut().poll(cx));
            if Instant::now() >= until {
                return Poll::Ready(());
            }
            alarm.as_mut().reset(until);
        }
    }

    /// Gives up the exchange for a tunnel: the stream, and what was read behind the answer.
    pub(super) fn into_tunnel(self) -> (Stream, BytesMut) {
        (self.connection.stream, self.connection.buffer)
    }
}

impl Sending {
    fn nothing() -> Self {
        Self { text: Bytes::new(), content: Bytes::new(), tail: b"", body: None, is_chunked: false }
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.content.is_empty() && self.tail.is_empty()
    }

    /// Whether another piece of content may be taken: the first one joins the header section.
    fn has_room(&self) -> bool {
        self.content.is_empty() && self.tail.is_empty() && self.text.len() <= JOIN_LIMIT
    }

    fn next(&self) -> Option<&[u8]> {
        [&*self.text, &*self.content, self.tail].into_iter().find(|bytes| !bytes.is_empty())
    }

    fn advance(&mut self, written: usize) {
        if !self.text.is_empty() {
            self.text.advance(written);
        } else if !self.content.is_empty() {
            self.content.advance(written);
        } else {
            self.tail = self.tail.get(written..).unwrap_or_default();
        }
    }

    /// Takes the next piece of content from the client.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Ok(())) };
        let frame = ready!(Pin::new(&mut *body).poll_frame(cx));
        let is_end = body.is_end_stream();
        match frame {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.queue(data);
                }
            }
            Some(Err(why)) => return Poll::Ready(Err(Error::ClientLeft(why))),
            None => return self.end(),
        }
        if is_end { self.end() } else { Poll::Ready(Ok(())) }
    }

    fn queue(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        let mut text = BytesMut::new();
        if self.is_chunked || (!self.text.is_empty() && data.len() <= JOIN_LIMIT) {
            text.reserve(self.text.len() + data.len().min(JOIN_LIMIT) + 24);
            text.extend_from_slice(&self.text);
        }
        if self.is_chunked {
            // Writing to a buffer in memory cannot fail.
            write!(text, "{:x}\r\n", data.len()).unwrap_or_default();
            self.tail = b"\r\n";
        }
        if data.len() <= JOIN_LIMIT && text.capacity() > 0 {
            text.extend_from_slice(&data);
            text.extend_from_slice(std::mem::take(&mut self.tail));
        } else {
            self.content = data;
        }
        if text.capacity() > 0 {
            self.text = text.freeze();
        }
    }

    /// Marks the end of the content.
    fn end(&mut self) -> Poll<Result<(), Error>> {
        self.body = None;
        if self.is_chunked {
            self.tail = if self.tail.is_empty() { b"0\r\n\r\n" } else { b"\r\n0\r\n\r\n" };
        }
        Poll::Ready(Ok(()))
    }
}

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
            && exchange.sending.is_empty()
            && exchange.sending.body.is_none()
        {
            self.pool.put(exchange.connection);
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
            match take_piece(&mut self.remaining, &mut exchange.connection.buffer) {
                Ok(Piece::Data(data)) => {
                    exchange.since = Instant::now();
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
            match read_more(&mut exchange.connection, wanted(&self.remaining), cx) {
                Poll::Ready(Ok(0)) if matches!(self.remaining, Remaining::UntilClose) => {
                    self.exchange = None;
                    return Poll::Ready(None);
                }
                Poll::Ready(Ok(0) | Err(_)) => return self.fail(Error::BrokenOff),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    ready!(exchange.poll_alarm(exchange.deadlines.idle, cx));
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
fn take_piece(
    remaining: &mut Remaining,
    buffer: &mut BytesMut,
) -> Result<Piece, super::chunks::BadChunks> {
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

/// Reads into the connection's buffer; 0 is the end of the stream.
fn read_more(
    connection: &mut Connection,
    wanted: usize,
    cx: &mut Context<'_>,
) -> Poll<std::io::Result<usize>> {
    connection.buffer.reserve(wanted);
    pin!(connection.stream.read_buf(&mut connection.buffer)).poll(cx)
}
