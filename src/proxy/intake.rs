//! Step 4b: takes a request's content whole before a worker is touched (decision 3).
//!
//! Owns: which content is read first and which is passed on as it comes, how much there may be.
//! Must not know: where it is kept, who gets it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::spool::{Collector, Full, Stores, Whole};
use crate::code::Code;

/// What content obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The most bytes of content.
    pub max_body: u64,
    /// How long the client may take between two pieces.
    pub client_idle: Duration,
    /// For which paths content is read first.
    pub buffering: Buffering,
}

/// For which paths content is read first, by the longest prefix that fits.
#[derive(Clone, Debug)]
pub struct Buffering {
    /// Where no prefix fits.
    pub otherwise: bool,
    /// Prefixes of paths, the longest first.
    pub prefixes: Vec<(String, bool)>,
}

impl Buffering {
    fn holds_for(&self, path: &str) -> bool {
        let rule = self.prefixes.iter().find(|(prefix, _)| path.starts_with(prefix));
        rule.map_or(self.otherwise, |(_, is_on)| *is_on)
    }
}

/// A request's content as the application will get it.
#[derive(Debug)]
pub enum Content {
    /// There is none.
    None,
    /// It is there.
    Whole(Arc<Whole>),
    /// It is passed on as it comes.
    Stream(Stream),
}

/// Why content was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is more than may be.
    #[error("the content is larger than --max-body")]
    TooLarge,
    /// There is no room for it now.
    #[error("there is no room for the request's content")]
    NoRoom(#[source] Full),
    /// It stopped arriving.
    #[error("no content arrived for --body-idle-deadline")]
    ClientIdle,
    /// It stopped before its end.
    #[error("the client left while it was sending")]
    ClientLeft(#[source] hyper::Error),
}

impl Error {
    /// The code to answer with.
    pub fn code(&self) -> Code {
        match self {
            Self::TooLarge => Code::BodyTooLarge,
            Self::NoRoom(_) => Code::NoRoom,
            Self::ClientIdle => Code::BodyDeadline,
            Self::ClientLeft(_) => Code::ClientLeft,
        }
    }
}

/// Takes content.
#[derive(Debug)]
pub struct Intake {
    settings: Settings,
    stores: Arc<Stores>,
}

impl Intake {
    /// An intake into `stores`.
    pub fn new(settings: Settings, stores: Arc<Stores>) -> Self {
        Self { settings, stores }
    }

    /// Takes the content of a request. Where it is read first, the client sees 100 Continue from
    /// hyper, and the trailers behind it are passed over.
    ///
    /// # Errors
    ///
    /// [`Error`]; nothing of the request has reached the application.
    pub async fn take(&self, head: &Parts, body: Incoming) -> Result<Content, Error> {
        let length = body.size_hint().exact();
        if length == Some(0) || body.is_end_stream() {
            return Ok(Content::None);
        }
        if length.is_some_and(|length| length > self.settings.max_body) {
            return Err(Error::TooLarge);
        }
        let stream = Stream { body, length, left: self.settings.max_body };
        if self.settings.buffering.holds_for(head.uri.path()) {
            self.collect(stream).await
        } else {
            Ok(Content::Stream(stream))
        }
    }

    async fn collect(&self, mut stream: Stream) -> Result<Content, Error> {
        let mut collector = Collector::new(&self.stores, stream.length).map_err(Error::NoRoom)?;
        loop {
            let next = std::future::poll_fn(|cx| stream.poll_next(cx));
            match timeout(self.settings.client_idle, next).await {
                Ok(Some(piece)) => collector.add(piece?).await.map_err(Error::NoRoom)?,
                Ok(None) => break,
                Err(_) => return Err(Error::ClientIdle),
            }
        }
        let whole = collector.finish().await.map_err(Error::NoRoom)?;
        Ok(Content::Whole(Arc::new(whole)))
    }
}

/// Content that is passed on as it comes.
#[derive(Debug)]
pub struct Stream {
    body: Incoming,
    length: Option<u64>,
    left: u64,
}

impl Stream {
    /// Bytes, where the client said so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The next piece; nothing at the end.
    ///
    /// # Errors
    ///
    /// [`Error::TooLarge`] and [`Error::ClientLeft`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(why)) => return Poll::Ready(Some(Err(Error::ClientLeft(why)))),
                None => return Poll::Ready(None),
            };
            // Trailers have no place behind content whose length is said.
            let Ok(piece) = frame.into_data() else { continue };
            let Some(left) = self.left.checked_sub(piece.len() as u64) else {
                return Poll::Ready(Some(Err(Error::TooLarge)));
            };
            self.left = left;
            if !piece.is_empty() {
                return Poll::Ready(Some(Ok(piece)));
            }
        }
    }

    /// Whether nothing is left, as far as is known.
    pub fn is_end(&self) -> bool {
        self.body.is_end_stream()
    }
}
