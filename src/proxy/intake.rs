//! Step 4b: takes a request's content whole before a worker is touched (decision 3).
//!
//! Owns: which content is read first and which is passed on as it comes, how much there may be.
//! Must not know: where it is kept, who gets it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::fields::Head;
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

/// A request's content as its connection hands it over.
#[derive(Debug)]
pub enum Arriving {
    /// All of it is here.
    Here(Bytes),
    /// It comes from hyper.
    Coming(Incoming),
}

impl Arriving {
    /// Takes a request of hyper's apart.
    pub fn of(request: Request<Incoming>) -> (Head, Self) {
        let (head, body) = request.into_parts();
        (head.into(), Self::Coming(body))
    }

    /// Whether some of it has not been read.
    pub fn is_coming(&self) -> bool {
        matches!(self, Self::Coming(body) if !body.is_end_stream())
    }

    /// Bytes, where that is known.
    fn length(&self) -> Option<u64> {
        match self {
            Self::Here(bytes) => Some(bytes.len() as u64),
            Self::Coming(body) if body.is_end_stream() => Some(0),
            Self::Coming(body) => body.size_hint().exact(),
        }
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
    pub async fn take(&self, head: &Head, content: Arriving) -> Result<Content, Error> {
        let length = content.length();
        if length == Some(0) {
            return Ok(Content::None);
        }
        if length.is_some_and(|length| length > self.settings.max_body) {
            return Err(Error::TooLarge);
        }
        let stream = Stream { content, length, left: self.settings.max_body };
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
    content: Arriving,
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
            let piece = match &mut self.content {
                Arriving::Here(bytes) if bytes.is_empty() => return Poll::Ready(None),
                Arriving::Here(bytes) => std::mem::take(bytes),
                Arriving::Coming(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                    // Trailers have no place behind content whose length is said.
                    Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                    Some(Err(why)) => return Poll::Ready(Some(Err(Error::ClientLeft(why)))),
                    None => return Poll::Ready(None),
                },
            };
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
        match &self.content {
            Arriving::Here(bytes) => bytes.is_empty(),
            Arriving::Coming(body) => body.is_end_stream(),
        }
    }
}
