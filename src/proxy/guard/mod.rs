//! The strict gate between a stranger's bytes and whoever reads them as HTTP/1.
//!
//! Owns: what is refused before it is parsed, one request at a time to the parser, the
//! connection's vital signs from which deadlines are read.
//! Must not know: what a request asks for, who sent it, what is done about a deadline.

mod framing;
mod grammar;
mod parsed;
mod vital;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use framing::{Framing, Limits, Scanned, Sound};
pub(super) use grammar::decimal;
pub use grammar::{Field, RequestLine};
pub use parsed::check_parsed;
pub use vital::{Deadlines, PARK_AFTER, Verdict, Vital};

use crate::code::Code;

/// Why a client is not served any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// A line ended without a carriage return (RFC 9112 §2.2).
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    /// The request line is not method, target and version with one space between them.
    #[error("the request line is not `method target version`")]
    BadRequestLine,
    /// The target holds a character that no address has unescaped.
    #[error("the target holds a character that must be percent-encoded")]
    BadTarget,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the version is neither `HTTP/1.0` nor `HTTP/1.1`")]
    BadVersion,
    /// A field line begins with white space (RFC 9112 §5.2).
    #[error("a field is folded over two lines")]
    FoldedField,
    /// A field line has no colon, a bad name or a control character in its value.
    #[error("a field has no colon, a bad name, a space before the colon or a control character")]
    BadField,
    /// More than one Host field.
    #[error("there is more than one Host field")]
    DuplicateHost,
    /// HTTP/1.1 without a Host field.
    #[error("there is no Host field")]
    MissingHost,
    /// More than one Content-Length field.
    #[error("there is more than one Content-Length field")]
    DuplicateLength,
    /// Content-Length is not a plain number.
    #[error("Content-Length is not a plain number")]
    BadLength,
    /// Both ways of framing at once (RFC 9112 §6.3).
    #[error("Content-Length and Transfer-Encoding come together")]
    LengthAndTransferEncoding,
    /// Transfer-Encoding is not exactly `chunked`, or comes twice, or in HTTP/1.0.
    #[error("Transfer-Encoding is not exactly one `chunked`")]
    BadTransferEncoding,
    /// Chunked content breaks its grammar.
    #[error("the chunked content is malformed")]
    BadChunk,
    /// The request line is over `--request-line-limit`.
    #[error("the request line is longer than --request-line-limit")]
    RequestLineTooLong,
    /// A field line is over `--field-bytes-limit`.
    #[error("a field is longer than --field-bytes-limit")]
    FieldTooLong,
    /// There are more fields than `--header-count-limit`.
    #[error("there are more fields than --header-count-limit")]
    TooManyFields,
    /// The header section is over `--header-bytes-limit`.
    #[error("the header section is larger than --header-bytes-limit")]
    HeaderTooLarge,
    /// The header section did not end in time.
    #[error("the header section did not end within --header-deadline")]
    HeaderDeadline,
    /// The content stopped arriving.
    #[error("no content arrived for --body-idle-deadline")]
    BodyDeadline,
    /// The answer was not taken.
    #[error("the client took nothing of the answer for --body-idle-deadline")]
    Stalled,
}

impl Refusal {
    /// The code to answer with.
    pub fn code(self) -> Code {
        match self {
            Self::BareLineFeed
            | Self::BadRequestLine
            | Self::BadTarget
            | Self::BadVersion
            | Self::FoldedField
            | Self::BadField => Code::Malformed,
            Self::DuplicateHost | Self::MissingHost => Code::BadHost,
            Self::DuplicateLength
            | Self::BadLength
            | Self::LengthAndTransferEncoding
            | Self::BadTransferEncoding
            | Self::BadChunk => Code::Ambiguous,
            Self::RequestLineTooLong => Code::TargetTooLong,
            Self::FieldTooLong | Self::TooManyFields | Self::HeaderTooLarge => Code::HeaderTooLarge,
            Self::HeaderDeadline => Code::HeaderDeadline,
            Self::BodyDeadline => Code::BodyDeadline,
            Self::Stalled => Code::ClientLeft,
        }
    }
}

/// Tells which requests are not the parser's.
pub trait Detour {
    /// Whether a whole request goes another way; `limits` are the guard's.
    fn takes(&self, request: &[u8], limits: Limits) -> bool;
}

/// A client's stream that gives the parser one clean request at a time.
#[derive(Debug)]
pub struct Guard<S, D> {
    stream: S,
    /// Which requests are kept back.
    detour: D,
    /// Whether the next request goes to the parser in any case.
    must_pass: bool,
    /// Whether the parser has nothing left to write.
    is_flushed: bool,
    framing: Framing,
    /// Bytes that have been read and not passed on: the opening, an incomplete header section, or a
    /// pipelined request.
    held: BytesMut,
    /// So many of them, from the front, are the beginning of a header section.
    scanned: usize,
    /// So many of them, from the front, may pass.
    cleared: usize,
    vital: Arc<Vital>,
}

impl<S, D: Detour> Guard<S, D> {
    /// Guards `stream`, of which the bytes in `held` have been read already. Requests that `detour`
    /// takes are kept back, and the connection's vital signs say so; with `must_pass` not the first.
    pub fn new(
        stream: S,
        (held, must_pass): (BytesMut, bool),
        limits: Limits,
        vital: Arc<Vital>,
        detour: D,
    ) -> Self {
        Self {
            stream,
            detour,
            must_pass,
            is_flushed: true,
            framing: Framing::new(limits),
            held,
            scanned: 0,
            cleared: 0,
            vital,
        }
    }

    /// Gives back the stream and what was read from it and not passed on.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.held)
    }

    /// Scans what is held, until a part of it may pass or more is needed.
    ///
    /// The parser never sees an incomplete header section: it would judge it before the guard has,
    /// in its own words.
    fn scan_held(&mut self, waker: &Waker) -> Poll<Result<(), Refusal>> {
        if !self.may_scan(waker) {
            return Poll::Pending;
        }
        let is_new = self.scanned == 0 && self.framing.is_at_boundary();
        let fresh = self.held.get(self.scanned..).unwrap_or_default();
        self.scanned += scan(&mut self.framing, &self.vital, fresh)?;
        if self.framing.is_in_head() {
            return Poll::Ready(Ok(()));
        }
        let scanned = std::mem::take(&mut self.scanned);
        if is_new && self.diverts(self.held.get(..scanned).unwrap_or_default()) {
            self.vital.divert();
            return Poll::Pending;
        }
        self.pass(scanned);
        Poll::Ready(Ok(()))
    }

    /// Whether a whole request goes another way. What the parser has still to write must not be
    /// overtaken.
    fn diverts(&self, request: &[u8]) -> bool {
        self.framing.is_at_boundary()
            && self.is_flushed
            && !self.must_pass
            && self.detour.takes(request, self.framing.limits())
    }

    /// Lets bytes from the front of what is held go to the parser.
    fn pass(&mut self, count: usize) {
        self.cleared = count;
        (self.must_pass, self.is_flushed) = (false, false);
    }

    /// Whether the next byte may be looked at; if not, `waker` is woken when it may.
    ///
    /// A pipelined request waits until the one before it has been answered: whatever is wrong with
    /// it, the earlier answer is not harmed.
    fn may_scan(&self, waker: &Waker) -> bool {
        !self.framing.is_at_boundary() || self.vital.admits_next(waker)
    }

    /// Looks at bytes that came straight into the parser's buffer. Returns whether they may stay
    /// there; if not, they are held.
    fn admit_fresh(
        &mut self,
        buf: &mut ReadBuf<'_>,
        before: usize,
        waker: &Waker,
    ) -> Poll<Result<bool, Refusal>> {
        let fresh = buf.filled().get(before..).unwrap_or_default();
        let may_scan = self.may_scan(waker);
        if self.held.is_empty() && may_scan {
            let is_new = self.framing.is_at_boundary();
            let taken = scan(&mut self.framing, &self.vital, fresh)?;
            if is_new && self.diverts(fresh.get(..taken).unwrap_or_default()) {
                self.held.extend_from_slice(fresh);
                buf.set_filled(before);
                self.vital.divert();
                return Poll::Pending;
            }
            if !self.framing.is_in_head() {
                self.pass(0);
                self.held.extend_from_slice(fresh.get(taken..).unwrap_or_default());
                buf.set_filled(before + taken);
                return Poll::Ready(Ok(true));
            }
            self.scanned = taken;
        }
        self.held.extend_from_slice(fresh);
        buf.set_filled(before);
        if may_scan { Poll::Ready(Ok(false)) } else { Poll::Pending }
    }

    fn refuse(&self, refusal: Refusal) -> Poll<io::Result<()>> {
        self.vital.refuse(refusal);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, refusal)))
    }

    /// Passes on what is held, up to `limit` bytes of it.
    fn give(&mut self, buf: &mut ReadBuf<'_>, limit: usize) {
        let length = limit.min(buf.remaining());
        buf.put_slice(self.held.get(..length).unwrap_or_default());
        self.held.advance(length);
        self.cleared = self.cleared.saturating_sub(length);
    }
}

impl<S: AsyncRead + Unpin, D: Detour + Unpin> AsyncRead for Guard<S, D> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        loop {
            let is_tunnel = this.vital.is_tunnel();
            if this.cleared > 0 || (is_tunnel && !this.held.is_empty()) {
                let limit = if is_tunnel { this.held.len() } else { this.cleared };
                this.give(buf, limit);
                return Poll::Ready(Ok(()));
            }
            if this.held.len() > this.scanned {
                match ready!(this.scan_held(cx.waker())) {
                    Ok(()) => continue,
                    Err(refusal) => return this.refuse(refusal),
                }
            }
            if Pin::new(&mut this.stream).poll_read(cx, buf)?.is_pending() {
                this.vital.waits_for_bytes();
                return Poll::Pending;
            }
            if is_tunnel || buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            match ready!(this.admit_fresh(buf, before, cx.waker())) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(refusal) => {
                    buf.set_filled(before);
                    return this.refuse(refusal);
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin, D: Detour + Unpin> AsyncWrite for Guard<S, D> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.vital.was_written(result.is_pending(), is_interim(bytes));
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        // The parser flushes when everything that it had is written.
        self.is_flushed |= self.vital.in_flight() == 0;
        result
    }

    /// Does nothing: the connection's owner shuts down, since it may have something left to say.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        let is_interim = slices.first().is_some_and(|slice| is_interim(slice));
        self.vital.was_written(result.is_pending(), is_interim);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// Scans bytes and takes note of it; returns how many belong to the present request.
fn scan(framing: &mut Framing, vital: &Vital, bytes: &[u8]) -> Result<usize, Refusal> {
    let scanned = framing.scan(bytes)?;
    vital.was_read(framing.is_in_head(), framing.is_at_boundary());
    Ok(scanned.taken)
}

/// Whether these bytes are a 100 (Continue), after which the answer is still to come.
fn is_interim(bytes: &[u8]) -> bool {
    bytes.starts_with(b"HTTP/1.1 100 ")
}
