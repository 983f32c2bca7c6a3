//! Serves the plain requests of a connection.
//!
//! Owns: reading them from the socket, when a connection needs the parser or has ended.
//! Must not know: which requests are plain, what is answered, how an answer is written.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, Sleep, sleep_until};

use super::answer::Date;
use super::{Client, Socket, joined, say_goodbye};
use crate::proxy::Gateway;
use crate::proxy::guard::PARK_AFTER;
use crate::proxy::intake::Arriving;
use crate::proxy::plain::{self, Plain, Wanted};
use crate::proxy::room::Room;

/// How a stretch of plain requests ended.
pub(super) enum Turn<S> {
    /// What follows is for the parser; with `true` also if it seems plain.
    Parser(S, BytesMut, bool),
    /// Nothing came for a moment.
    Parked(S),
    /// The connection has ended.
    Closed,
}

/// A connection while its requests are plain.
pub(super) struct Line<S> {
    pub(super) stream: S,
    /// What was read and does not belong to the present request.
    pub(super) held: BytesMut,
    pub(super) date: Date,
    /// Whether the client has asked for no other answer on this connection.
    pub(super) is_last: bool,
}

/// What is read at once: a header section of a browser with all that the front end adds has 2 KiB.
const BUFFER: usize = 8 * 1024;

/// With this much room left a buffer is used on.
const ENOUGH: usize = 2 * 1024;

thread_local! {
    /// For requests.
    static ROOM: Room = Room::default();
}

/// Serves a connection as long as its requests are plain.
pub(super) async fn serve<S: Socket>(
    stream: S,
    held: BytesMut,
    client: &Client,
    gateway: &Gateway,
) -> Turn<S> {
    let mut alarm = pin!(sleep_until(Instant::now() + PARK_AFTER));
    let mut draining = pin!(gateway.readiness.draining());
    let mut line = Line::new(stream, held);
    if !line.held.is_empty() {
        // The connection was woken by the first bytes of something.
        line.read_now(BUFFER).await;
    }
    loop {
        if line.held.is_empty() {
            let read = tokio::select! {
                biased;
                read = poll_fn(|cx| line.poll_read(ENOUGH, cx)) => read,
                () = idle(alarm.as_mut(), client) => return Turn::Parked(line.stream),
                () = &mut draining => return Turn::Parser(line.stream, line.held, true),
            };
            if !read.is_ok_and(|count| count > 0) {
                // An orderly end between two requests; the client may have gone already.
                drop(line.stream.shutdown().await);
                return Turn::Closed;
            }
        }
        let Some(length) = plain::section(&line.held) else {
            return Turn::Parser(line.stream, line.held, false);
        };
        let section = line.held.split_to(length).freeze();
        let may_go_on = if let Some(short) = gateway.shorten(&section, client) {
            line.send_asset(short, client, gateway).await
        } else if let Some(request) = line.request(&section, client).await {
            drop(section);
            line.answer(request, client, gateway).await
        } else {
            return Turn::Parser(line.stream, joined(&section, line.held), true);
        };
        if !may_go_on && line.is_last && line.held.is_empty() {
            // It sends nothing that could destroy the answer on its way; it may have gone already.
            drop(line.stream.shutdown().await);
            return Turn::Closed;
        }
        if !may_go_on {
            say_goodbye(line.stream, b"").await;
            return Turn::Closed;
        }
    }
}

impl<S: Socket> Line<S> {
    /// A connection of which this much has been read.
    pub(super) fn new(stream: S, held: BytesMut) -> Self {
        Self { stream, held, date: Date::default(), is_last: false }
    }

    /// Reads behind what is held, where there is room for `least` bytes or will be. While nothing comes
    /// and nothing is held, no room is held either.
    fn poll_read(&mut self, least: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { stream, held, .. } = self;
        ROOM.with(|room| room.poll_read(stream, held, (least, BUFFER), cx))
    }

    /// Reads a request, if it is plain and its content has come with it.
    async fn request(&mut self, section: &Bytes, client: &Client) -> Option<Plain<Bytes>> {
        let Plain { head, content: length, is_last } =
            plain::read(section, client.settings.limits, Wanted::All)?;
        while self.held.len() < length {
            let missing = length - self.held.len();
            if self.read_now(missing).await == 0 {
                return None;
            }
        }
        Some(Plain { head, content: self.held.split_to(length).freeze(), is_last })
    }

    /// Answers a request; returns whether another may follow.
    async fn answer(&mut self, request: Plain<Bytes>, client: &Client, gateway: &Gateway) -> bool {
        let Plain { mut head, content, is_last } = request;
        self.is_last |= is_last;
        let is_head = head.method == Method::HEAD;
        let ending = gateway.begin(&head, client);
        let answer = {
            // Its place is here: it is large, and would be moved otherwise.
            let work = pin!(gateway.handle(&mut head, Arriving::Here(content), client, ending));
            self.while_there(work).await
        };
        // An answer may take long to send.
        drop(head);
        match answer {
            Some(Ok(answer)) => self.send(answer, is_head, client, gateway).await,
            Some(Err(_)) | None => false,
        }
    }

    /// Waits for `work` while the client is there; nothing if it leaves first.
    pub(super) async fn while_there<F: Future>(&mut self, work: F) -> Option<F::Output> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            self.poll_left(cx).map(|()| None)
        })
        .await
    }

    /// Ready when the client has left. What it sends meanwhile is the beginning of its next request;
    /// with that much of it, it is there.
    fn poll_left(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.held.len() < BUFFER {
            match ready!(self.poll_read(1, cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// Reads what has come already, up to `wanted` bytes or what there is room for; returns how much.
    async fn read_now(&mut self, wanted: usize) -> usize {
        self.held.reserve(wanted);
        match now(&mut pin!(self.stream.read_buf(&mut self.held))).await {
            Poll::Ready(Ok(count)) => count,
            // Whoever reads next meets the failure again.
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        }
    }
}

/// Waits until the connection has been idle for a moment.
async fn idle(mut alarm: Pin<&mut Sleep>, client: &Client) {
    loop {
        alarm.as_mut().await;
        // Answers do not set the alarm anew, which would cost each of them a little.
        let until = client.vital.last_event() + PARK_AFTER;
        if Instant::now() >= until {
            return;
        }
        alarm.as_mut().reset(until);
    }
}

/// What `work` has to say without being waited for.
pub(super) async fn now<F: Future + Unpin>(work: &mut F) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *work).poll(cx))).await
}
