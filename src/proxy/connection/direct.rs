//! Serves the requests of a connection that need no parser: those for assets in memory.
//!
//! Owns: reading and writing on the short way, when a connection leaves it.
//! Must not know: which requests these are, what is answered.

use std::fs::File;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use bytes::{Buf, BufMut as _, BytesMut};
use http::StatusCode;
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::{Client, Socket, joined};
use crate::proxy::Gateway;
use crate::proxy::assets::Body;
use crate::proxy::body::Ending;
use crate::proxy::guard::{Framing, PARK_AFTER};
use crate::proxy::shortcut::Short;

/// How a stretch of the short way ended.
pub(super) enum Turn<S> {
    /// What follows is for the parser; with `true` its first request was tried here.
    Parser(S, BytesMut, bool),
    /// Nothing came for a moment.
    Parked(S),
    /// The connection has ended.
    Closed,
}

/// What is read at once: a header section of a browser with all that the front end adds has 2 KiB.
const BUFFER: usize = 8 * 1024;

/// Serves a connection as long as its requests are for assets in memory.
pub(super) async fn serve<S>(
    mut stream: S,
    mut held: BytesMut,
    client: &Arc<Client>,
    gateway: &Gateway,
) -> Turn<S>
where
    S: Socket,
{
    let mut alarm = pin!(sleep_until(Instant::now() + PARK_AFTER));
    let mut draining = pin!(gateway.readiness.draining());
    let mut date = Date::default();
    if !held.is_empty() {
        // The connection was woken by the first bytes of something.
        held.reserve(BUFFER);
        read_now(&mut stream, &mut held).await;
    }
    loop {
        if held.is_empty() {
            held.reserve(BUFFER);
            let read = tokio::select! {
                biased;
                read = stream.read_buf(&mut held) => read,
                () = idle(alarm.as_mut(), client) => return Turn::Parked(stream),
                () = &mut draining => return Turn::Parser(stream, held, true),
            };
            if !read.is_ok_and(|count| count > 0) {
                // An orderly end between two requests; the client may have gone already.
                drop(stream.shutdown().await);
                return Turn::Closed;
            }
        }
        let Some(length) = whole_request(&held, client, gateway) else {
            return Turn::Parser(stream, held, false);
        };
        let head = held.split_to(length).freeze();
        let Some(short) = gateway.shorten(&head, client) else {
            return Turn::Parser(stream, joined(&head, held), true);
        };
        if !answer(&mut stream, short, client, gateway, &mut date).await {
            return Turn::Closed;
        }
    }
}

/// Reads what has come already.
async fn read_now<S: AsyncRead + Unpin>(stream: &mut S, held: &mut BytesMut) {
    let mut read = pin!(stream.read_buf(held));
    // Whoever reads next meets the end or the failure again.
    let result = poll_fn(|cx| Poll::Ready(read.as_mut().poll(cx))).await;
    drop(result);
}

/// The length of the request in front, if it has come to its end, is sound, and may be for an asset.
/// Everything else is for the parser and its guard, which answer what is not sound.
fn whole_request(held: &[u8], client: &Client, gateway: &Gateway) -> Option<usize> {
    if !gateway.is_short(held) {
        return None;
    }
    let mut framing = Framing::new(client.settings.limits);
    let scanned = framing.scan(held).ok()?;
    scanned.is_complete.then_some(scanned.taken)
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

/// Sends an answer and reports it; returns whether the client took it.
async fn answer<S: Socket>(
    stream: &mut S,
    short: Short,
    client: &Client,
    gateway: &Gateway,
    date: &mut Date,
) -> bool {
    let Short { answer, record } = short;
    let ending = Ending::begin(record, gateway.reporter.clone(), Arc::clone(&client.vital));
    let length = answer.content.size();
    let line: &[u8] = match answer.status {
        StatusCode::NOT_MODIFIED => b"HTTP/1.1 304 Not Modified\r\n",
        _ => b"HTTP/1.1 200 OK\r\n",
    };
    let mut head = BytesMut::with_capacity(line.len() + answer.lines.len() + 64);
    head.put_slice(line);
    head.put_slice(&answer.lines);
    head.put_slice(date.line());
    let patience = client.settings.deadlines.body_idle;
    let is_sent = match (&answer.content, stream.tcp()) {
        (Body::Heap(content), _) => write(stream, head.chain(&**content), patience).await,
        (Body::Sealed(file, size), Some(tcp)) => send(tcp, head, file, *size, patience).await,
        (Body::Sealed(..), None) => match answer.content.read() {
            Ok(content) => write(stream, head.chain(content), patience).await,
            Err(_) => false,
        },
    };
    if is_sent {
        ending.complete(length);
    }
    is_sent
}

/// Writes bytes; returns whether the client took them.
async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    mut bytes: impl Buf,
    patience: Duration,
) -> bool {
    while bytes.has_remaining() {
        match timeout(patience, stream.write_buf(&mut bytes)).await {
            Ok(Ok(count)) if count > 0 => {}
            Ok(Ok(_) | Err(_)) | Err(_) => return false,
        }
    }
    true
}

/// Has the kernel send a file behind a header section, which waits for it in the socket (`MSG_MORE`);
/// returns whether the client took both.
async fn send(
    tcp: &TcpStream,
    mut head: BytesMut,
    file: &File,
    size: u64,
    patience: Duration,
) -> bool {
    while !head.is_empty() {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let once = tcp.async_io(Interest::WRITABLE, || Ok(rustix::net::send(tcp, &head, flags)?));
        match timeout(patience, once).await {
            Ok(Ok(count)) if count > 0 => head.advance(count),
            Ok(Ok(_) | Err(_)) | Err(_) => return false,
        }
    }
    let mut sent = 0;
    while sent < size {
        let rest = usize::try_from(size - sent).unwrap_or(usize::MAX);
        let once = tcp.async_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(tcp, file, Some(&mut sent), rest)?)
        });
        match timeout(patience, once).await {
            Ok(Ok(count)) if count > 0 => {}
            Ok(Ok(_) | Err(_)) | Err(_) => return false,
        }
    }
    true
}

/// The date line and the end of the header section, made anew each second.
#[derive(Default)]
struct Date {
    second: u64,
    text: Vec<u8>,
}

impl Date {
    fn line(&mut self) -> &[u8] {
        let now = SystemTime::now();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            self.text = format!("date: {}\r\n\r\n", httpdate::fmt_http_date(now)).into_bytes();
        }
        &self.text
    }
}
