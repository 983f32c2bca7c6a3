//! The content of an answer on its way to the client.
//!
//! Owns: the kinds of content, the count of what was sent, the moment the log line is written.
//! Must not know: sockets, what the line looks like.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::guard::Vital;
use super::{compress, file, upstream};
use crate::code::Code;
use crate::telemetry::{Counters, Output, Record, Settings};

/// Where lines and numbers go.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The log.
    pub output: Arc<Output>,
    /// What the log obeys.
    pub log: Settings,
    /// The counters.
    pub counters: Arc<Counters>,
}

impl Reporter {
    /// Counts a request that ends now, and writes its line.
    pub fn report(&self, record: &Record, now: Instant) {
        let total = now - record.started;
        self.counters.request(record, total);
        self.tell(record, total);
    }

    /// Writes a line, without counting a request, about what took so long.
    pub fn tell(&self, record: &Record, total: Duration) {
        if self.log.has_access_log {
            self.output.line(|lines| record.write(lines, self.log.format, total));
        }
    }
}

/// The content of an answer.
#[derive(Debug)]
pub struct Body {
    content: Content,
    ending: Ending,
    /// An error waits until what was read before it is on its way.
    failure: Option<Error>,
}

/// Where the content comes from.
#[derive(Debug)]
pub enum Content {
    /// From forebay; taken when it was sent.
    Own(Bytes),
    /// From the application.
    Upstream(upstream::Body),
    /// From the application, compressed here.
    Compressed(Box<compress::Stream>, upstream::Body),
    /// From a file.
    File(Box<file::Content>),
}

/// Why content ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The application's did.
    #[error(transparent)]
    Upstream(#[from] upstream::Error),
    /// The application's did while it was compressed.
    #[error(transparent)]
    Compressed(#[from] compress::Broken<upstream::Error>),
    /// A file's did.
    #[error(transparent)]
    File(#[from] file::Broken),
}

impl Error {
    /// The code for the log line.
    pub fn code(&self) -> Code {
        match self {
            Self::Upstream(why) | Self::Compressed(compress::Broken::Content(why)) => why.code(),
            Self::Compressed(compress::Broken::Encoder(_)) => Code::BrokenOff,
            Self::File(why) => why.code(),
        }
    }
}

/// Tells, exactly once, that a request has ended, however it ends.
#[derive(Debug)]
pub struct Ending {
    /// What is known of the request so far; boxed, since it goes along with the answer.
    pub record: Box<Record>,
    reporter: Reporter,
    vital: Arc<Vital>,
    is_complete: bool,
}

impl Ending {
    /// Begins with the request.
    pub fn begin(record: Box<Record>, reporter: Reporter, vital: Arc<Vital>) -> Self {
        vital.begin();
        reporter.counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { record, reporter, vital, is_complete: false }
    }

    /// The answer was sent to its end, with so many bytes of content.
    pub fn complete(mut self, bytes: u64) {
        self.record.bytes = bytes;
        self.is_complete = true;
    }

    /// The answer was cut short: by the guard, or by a client that left.
    fn cut(&mut self) {
        let record = &mut self.record;
        let (code, cause) = match self.vital.refusal() {
            Some(refusal) => (refusal.code(), Some(refusal.to_string())),
            None => (Code::ClientLeft, None),
        };
        if record.status == 0 || record.status == Code::ClientLeft.meaning().status {
            record.status = code.meaning().status;
        }
        record.code = Some(code);
        record.cause = cause;
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_complete && self.record.code.is_none_or(|code| code == Code::ClientLeft) {
            self.cut();
        }
        let now = Instant::now();
        self.vital.end(now);
        self.reporter.counters.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.reporter.report(&self.record, now);
    }
}

impl Body {
    /// Content whose end is told by `ending`.
    pub fn new(content: Content, mut ending: Ending) -> Self {
        ending.is_complete = content.is_end();
        Self { content, ending, failure: None }
    }
}

impl Content {
    fn is_end(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_empty(),
            Self::Upstream(body) => body.is_end_stream(),
            Self::Compressed(stream, _) => stream.is_end_stream(),
            Self::File(content) => content.is_end_stream(),
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(match self {
            Self::Own(bytes) if bytes.is_empty() => None,
            Self::Own(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Self::Upstream(body) => ready!(body.poll_frame(cx)).map(|frame| Ok(frame?)),
            Self::Compressed(stream, body) => {
                ready!(stream.poll_frame(cx, |cx| body.poll_frame(cx))).map(|frame| Ok(frame?))
            }
            Self::File(content) => ready!(content.poll_frame(cx)).map(|frame| Ok(frame?)),
        })
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(body) => body.size_hint(),
            Self::Compressed(..) => SizeHint::new(),
            Self::File(content) => content.size_hint(),
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this.failure.is_some() && this.ending.vital.is_write_blocked(cx.waker()) {
            return Poll::Pending;
        }
        if let Some(why) = this.failure.take() {
            return Poll::Ready(Some(Err(why)));
        }
        let frame = ready!(this.content.poll_frame(cx));
        let ending = &mut this.ending;
        match frame {
            Some(Ok(frame)) => {
                ending.record.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                ending.is_complete = this.content.is_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(why)) => {
                ending.record.code = Some(why.code());
                ending.record.cause = Some(why.to_string());
                // hyper drops what it has not written when it meets an error. The header section
                // would be lost, and silence tells a front end to send the request again; and of the
                // content a slow reader would miss the end.
                this.failure = Some(why);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                ending.is_complete = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end()
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size_hint()
    }
}
