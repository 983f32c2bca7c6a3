//! One request and its answer over one connection, both directions at once.
//!
//! Owns: the order of writing and reading, the deadlines of an answer.
//! Must not know: which connection is chosen, what happens after a failure.

use std::fmt::Write as _;
use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::connect::Connection;
use super::head::{self, Head};
use super::{Error, Taken};
use crate::proxy::intake::{self, Stream};
use crate::proxy::room::Room;
use crate::proxy::spool::{Full, Reader};
use crate::socket::Socket;

/// How long the application may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the request's last byte to the answer's header section.
    pub response: Duration,
    /// Between two pieces of an answer's content.
    pub idle: Duration,
    /// Between two pieces of the request's content, which the client sends.
    pub client_idle: Duration,
}

/// A request on its way and its answer.
#[derive(Debug)]
pub(super) struct Exchange {
    connection: Connection,
    method: Method,
    sending: Sending,
    /// Whoever is waited for owes something since then.
    since: Instant,
    /// Whether the client is waited for, and not the application.
    awaits_client: bool,
    /// Whether a part of the request could not be written.
    is_broken: bool,
    written: Written,
    /// Whether not one byte has come back, not even of an interim answer.
    is_silent: bool,
    deadlines: Deadlines,
}

/// What of the request has been written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Written {
    Nothing,
    /// All of it at once, and no more than [`ONE_READ`].
    AtOnce,
    InPieces,
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
    source: Source,
    is_chunked: bool,
}

/// Where the rest of the content comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// There is none.
    None,
    /// It is kept.
    Kept(Reader),
    /// The client sends it.
    Client(Stream),
}

/// No server begins to work on a request of this size that came in one piece, and leaves some of it
/// unread: uWSGI reads up to 4 KiB at once by default, gunicorn and waitress 8, all others more.
pub(super) const ONE_READ: usize = 4096;

/// Content up to this size travels in the same write as what is before it.
const JOIN_LIMIT: usize = 16 * 1024;

/// How much is read at once where nobody knows how much there is: most pages of most sites.
pub(super) const SMALL_READ: usize = 16 * 1024;

thread_local! {
    /// For answers.
    static ROOM: Room = Room::default();
}

impl Exchange {
    /// Puts a request on a connection; nothing is written yet. It was begun at `begun`, which counts
    /// until the first byte is written.
    pub(super) fn new(
        connection: Connection,
        method: Method,
        (head, source): (Bytes, Source),
        begun: Instant,
        deadlines: Deadlines,
    ) -> Self {
        let is_chunked = matches!(&source, Source::Client(stream) if stream.length().is_none());
        let sending = Sending { text: head, content: Bytes::new(), tail: b"", source, is_chunked };
        Self {
            connection,
            method,
            sending,
            since: begun,
            awaits_client: false,
            is_broken: false,
            written: Written::Nothing,
            is_silent: true,
            deadlines,
        }
    }

    /// Sends the request and reads the answer's header section. The request's content may still be
    /// on its way when it returns.
    ///
    /// # Errors
    ///
    /// [`Error::ClosedEarly`], [`Error::BadHead`], [`Error::ResponseDeadline`], and
    /// [`Error::Intake`] when the request's content broke off.
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
            match self.poll_read(SMALL_READ, cx) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(self.closed_early(None))),
                Poll::Ready(Err(why)) => return Poll::Ready(Err(self.closed_early(Some(&why)))),
                Poll::Ready(Ok(_)) => self.is_silent = false,
                Poll::Pending if !is_sent && self.awaits_client => {
                    ready!(self.poll_alarm(self.deadlines.client_idle, cx));
                    return Poll::Ready(Err(Error::Intake(intake::Error::ClientIdle)));
                }
                Poll::Pending => {
                    ready!(self.poll_alarm(self.deadlines.response, cx));
                    return Poll::Ready(Err(Error::ResponseDeadline));
                }
            }
        }
    }

    /// What the end of the connection means, which came with `why` or quietly.
    fn closed_early(&self, why: Option<&io::Error>) -> Error {
        let was_silent = self.is_silent;
        let taken = match self.written {
            Written::Nothing => Taken::Nothing,
            Written::AtOnce if was_silent && self.connection.stream.has_lost(why) => Taken::NotAll,
            Written::AtOnce | Written::InPieces => Taken::Unknown,
        };
        Error::ClosedEarly { was_silent, taken }
    }

    /// Writes as much of the request as the application takes. Ready when nothing is left.
    ///
    /// An application that closes its reading side may have answered already: what is left of the
    /// request is dropped and the answer decides.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if self.sending.has_more() && self.sending.has_room() {
                match self.sending.poll_fill(cx) {
                    Poll::Ready(result) => {
                        result?;
                        self.since = Instant::now();
                    }
                    Poll::Pending if self.sending.is_empty() => {
                        self.awaits_client = matches!(self.sending.source, Source::Client(_));
                        return Poll::Pending;
                    }
                    Poll::Pending => {}
                }
            }
            let Some(bytes) = self.sending.next() else {
                if self.sending.has_more() {
                    continue;
                }
                return Poll::Ready(Ok(()));
            };
            self.awaits_client = false;
            match ready!(Pin::new(&mut self.connection.stream).poll_write(cx, bytes)) {
                Ok(written) if written > 0 => {
                    self.sending.advance(written);
                    let is_first = self.written == Written::Nothing;
                    let is_all = written <= ONE_READ && !self.is_sending();
                    self.written =
                        if is_first && is_all { Written::AtOnce } else { Written::InPieces };
                    self.since = Instant::now();
                }
                _ => {
                    self.sending = Sending::nothing();
                    self.is_broken = true;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Ready when `allowed` has passed since the application last moved.
    fn poll_alarm(&mut self, allowed: Duration, cx: &mut Context<'_>) -> Poll<()> {
        self.connection.poll_alarm(self.since + allowed, cx)
    }

    /// Reads up to `wanted` bytes into the buffer, or more where it has room; 0 is the end.
    pub(super) fn poll_read(
        &mut self,
        wanted: usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let Connection { stream, buffer, has_room, .. } = &mut self.connection;
        *has_room |= wanted > SMALL_READ;
        if *has_room {
            buffer.reserve(wanted);
            return pin!(stream.read_buf(buffer)).poll(cx);
        }
        ROOM.with(|room| room.poll_read(stream, buffer, (wanted, wanted), cx))
    }

    /// What was read and not taken yet.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.connection.buffer
    }

    /// Some content has come: the idle deadline begins anew.
    pub(super) fn has_moved(&mut self) {
        self.since = Instant::now();
    }

    /// Ready when no content has come for the idle deadline.
    pub(super) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_alarm(self.deadlines.idle, cx)
    }

    /// Gives back the connection, if all of the request has been sent.
    pub(super) fn into_connection(mut self) -> Option<Connection> {
        if !self.connection.has_room {
            ROOM.with(|room| room.give_back(&mut self.connection.buffer));
        }
        let is_sent = !self.is_sending() && !self.is_broken;
        is_sent.then_some(self.connection)
    }

    /// Whether a part of the request has not been written.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.has_more() || !self.sending.is_empty()
    }

    /// Ends the request's direction: the application sees that its client has gone. Returns whether
    /// the request had been sent; of half a request nothing comes.
    pub(super) async fn end_sending(&mut self) -> bool {
        !self.is_sending() && self.connection.stream.shutdown().await.is_ok()
    }

    /// Whether it can go on without the client.
    pub(super) fn can_finish(&self) -> bool {
        !matches!(self.sending.source, Source::Client(_))
    }

    /// Gives up the exchange for a tunnel: the stream, and what was read behind the answer.
    pub(super) fn into_tunnel(self) -> (Socket, BytesMut) {
        (self.connection.stream, self.connection.buffer)
    }
}

impl Sending {
    fn nothing() -> Self {
        let (text, content) = (Bytes::new(), Bytes::new());
        Self { text, content, tail: b"", source: Source::None, is_chunked: false }
    }

    /// Whether more content may come from the source.
    fn has_more(&self) -> bool {
        !matches!(self.source, Source::None)
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

    /// Takes the next piece of content from the source.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (piece, is_end) = match &mut self.source {
            Source::None => return Poll::Ready(Ok(())),
            Source::Kept(reader) => {
                let piece = ready!(reader.poll_next(cx)).transpose();
                (piece.map_err(|why| Error::Spool(Full::File(why)))?, reader.is_end())
            }
            Source::Client(stream) => {
                let piece = ready!(stream.poll_next(cx)).transpose();
                (piece.map_err(Error::Intake)?, stream.is_end())
            }
        };
        let is_end = is_end || piece.is_none();
        if let Some(piece) = piece {
            self.queue(piece);
        }
        if is_end {
            self.end();
        }
        Poll::Ready(Ok(()))
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
    fn end(&mut self) {
        self.source = Source::None;
        if self.is_chunked {
            self.tail = if self.tail.is_empty() { b"0\r\n\r\n" } else { b"\r\n0\r\n\r\n" };
        }
    }
}
