//! Writes the answers to plain requests.
//!
//! Owns: the header section of an answer, the framing of its content, how long a client may take none
//! of it.
//! Must not know: how a request is read, where content comes from.

use std::fmt::Write as _;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::response::Parts;
use http::{Response, StatusCode};
use http_body::{Body as _, Frame};
use rustix::net::SendFlags;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::direct::{Line, now};
use super::{Client, Socket};
use crate::proxy::Gateway;
use crate::proxy::assets::Body as Content;
use crate::proxy::body::{Body, Ending, Error};
use crate::proxy::guard::Refusal;
use crate::proxy::shortcut::Short;
use crate::readiness::Phase;

/// Content up to this size is copied behind what is before it, and goes out with it.
const JOIN_LIMIT: usize = 4 * 1024;

/// How the end of content is marked (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Framing {
    /// There is none, and the status says so; with 204 a length would be wrong (RFC 9110 §8.6).
    None,
    /// There would be some, were it not for HEAD.
    Unsent,
    /// By its length, which the header section says.
    Sized,
    /// By this length, which the header section does not say yet.
    Counted(u64),
    /// By the last chunk.
    Chunked,
}

impl Framing {
    fn of(head: &Parts, body: &Body, is_head: bool) -> Self {
        if head.status == StatusCode::NO_CONTENT {
            Self::None
        } else if is_head {
            Self::Unsent
        } else if head.status == StatusCode::NOT_MODIFIED {
            Self::None
        } else if head.headers.contains_key(CONTENT_LENGTH) {
            Self::Sized
        } else {
            body.size_hint().exact().map_or(Self::Chunked, Self::Counted)
        }
    }

    fn has_content(self) -> bool {
        !matches!(self, Self::None | Self::Unsent)
    }
}

impl<S: Socket> Line<S> {
    /// Sends an answer; returns whether another request may follow.
    pub(super) async fn send(
        &mut self,
        answer: Response<Body>,
        is_head: bool,
        client: &Client,
        gateway: &Gateway,
    ) -> bool {
        let (head, mut body) = answer.into_parts();
        let framing = Framing::of(&head, &body, is_head);
        let is_last = head.headers.get(CONNECTION).is_some_and(|value| value == "close")
            || gateway.readiness.phase() == Phase::Draining;
        let mut text = BytesMut::with_capacity(1024);
        write_head(&mut text, &head, framing, is_last, &mut self.date);
        drop(head);
        let sent = self.send_content(text, &mut body, framing, client).await;
        sent.is_some() && !is_last
    }

    /// Sends what is in `text` and the content behind it; nothing if not all of it went out.
    async fn send_content(
        &mut self,
        mut text: BytesMut,
        body: &mut Body,
        framing: Framing,
        client: &Client,
    ) -> Option<()> {
        while framing.has_content() && !body.is_end_stream() {
            match self.next(&mut text, body, client).await? {
                Some(Ok(frame)) => {
                    // Trailers are for those who ask for them, which is not plain.
                    let Ok(data) = frame.into_data() else { continue };
                    self.send_piece(&mut text, data, framing, client).await?;
                }
                // The connection ends short of what was promised, so that the client knows.
                Some(Err(_)) => {
                    self.write(&mut text, client).await?;
                    return None;
                }
                None => break,
            }
        }
        if framing == Framing::Chunked {
            text.put_slice(b"0\r\n\r\n");
        }
        self.write(&mut text, client).await
    }

    /// The next frame; before one is waited for, what is in `text` goes out. Nothing if the client has
    /// left.
    async fn next(
        &mut self,
        text: &mut BytesMut,
        body: &mut Body,
        client: &Client,
    ) -> Option<Option<Result<Frame<Bytes>, Error>>> {
        let mut next = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx));
        if let Poll::Ready(frame) = now(&mut next).await {
            return Some(frame);
        }
        self.write(text, client).await?;
        self.while_there(next).await
    }

    /// Sends a piece of content behind `text`, or puts it there if it is small.
    async fn send_piece(
        &mut self,
        text: &mut BytesMut,
        data: Bytes,
        framing: Framing,
        client: &Client,
    ) -> Option<()> {
        let is_chunked = framing == Framing::Chunked;
        if is_chunked && data.is_empty() {
            return Some(());
        }
        if is_chunked {
            // Writing to a buffer in memory cannot fail.
            write!(text, "{:x}\r\n", data.len()).unwrap_or_default();
        }
        if data.len() <= JOIN_LIMIT {
            text.put_slice(&data);
        } else {
            self.write(&mut text.split().chain(data), client).await?;
        }
        if is_chunked {
            text.put_slice(b"\r\n");
        }
        if text.len() > JOIN_LIMIT { self.write(text, client).await } else { Some(()) }
    }

    /// Sends an answer with an asset in memory; returns whether another request may follow.
    pub(super) async fn send_asset(
        &mut self,
        short: Short,
        client: &Client,
        gateway: &Gateway,
    ) -> bool {
        let Short { answer, record } = short;
        let ending = Ending::begin(record, gateway.reporter.clone(), Arc::clone(&client.vital));
        let length = answer.content.size();
        let line: &[u8] = match answer.status {
            StatusCode::NOT_MODIFIED => b"HTTP/1.1 304 Not Modified\r\n",
            _ => b"HTTP/1.1 200 OK\r\n",
        };
        let mut text = BytesMut::with_capacity(line.len() + answer.lines.len() + 64);
        text.put_slice(line);
        text.put_slice(&answer.lines);
        text.put_slice(self.date.line());
        text.put_slice(b"\r\n");
        let sent = match (&answer.content, self.stream.tcp()) {
            (Content::Heap(content), _) => self.write(&mut text.chain(&**content), client).await,
            (Content::Sealed(file, size), Some(tcp)) => {
                send_file(tcp, text, (file, *size), client).await
            }
            (Content::Sealed(..), None) => match answer.content.read() {
                Ok(content) => self.write(&mut text.chain(content), client).await,
                Err(_) => None,
            },
        };
        if sent.is_some() {
            ending.complete(length);
        }
        sent.is_some()
    }

    /// Writes bytes and takes them off; nothing if the client does not take them.
    async fn write(&mut self, bytes: &mut impl Buf, client: &Client) -> Option<()> {
        while bytes.has_remaining() {
            let mut write = pin!(self.stream.write_buf(bytes));
            taken(&mut write, client).await?;
        }
        Some(())
    }
}

/// Has the kernel send a file behind a header section, which waits for it in the socket (`MSG_MORE`);
/// nothing if the client does not take both.
async fn send_file(
    tcp: &TcpStream,
    mut head: BytesMut,
    (file, size): (&File, u64),
    client: &Client,
) -> Option<()> {
    while !head.is_empty() {
        let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
        let once = tcp.async_io(Interest::WRITABLE, || Ok(rustix::net::send(tcp, &head, flags)?));
        let count = taken(&mut pin!(once), client).await?;
        head.advance(count);
    }
    let mut sent = 0;
    while sent < size {
        let rest = usize::try_from(size - sent).unwrap_or(usize::MAX);
        let once = tcp.async_io(Interest::WRITABLE, || {
            Ok(rustix::fs::sendfile(tcp, file, Some(&mut sent), rest)?)
        });
        taken(&mut pin!(once), client).await?;
    }
    Some(())
}

/// Waits until a client takes something, and says how much; nothing if it has left, or takes nothing
/// for too long.
async fn taken(
    write: &mut Pin<&mut impl Future<Output = io::Result<usize>>>,
    client: &Client,
) -> Option<usize> {
    let result = match now(write).await {
        Poll::Ready(result) => result,
        Poll::Pending => {
            let Ok(result) = timeout(client.settings.deadlines.body_idle, write).await else {
                client.vital.refuse(Refusal::Stalled);
                return None;
            };
            result
        }
    };
    result.ok().filter(|count| *count > 0)
}

/// Writes the header section of an answer.
fn write_head(text: &mut BytesMut, head: &Parts, framing: Framing, is_last: bool, date: &mut Date) {
    let Parts { status, headers, .. } = head;
    text.put_slice(b"HTTP/1.1 ");
    text.put_slice(status.as_str().as_bytes());
    text.put_slice(b" ");
    text.put_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    text.put_slice(b"\r\n");
    for (name, value) in headers {
        if framing == Framing::None && name == CONTENT_LENGTH {
            continue;
        }
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    match framing {
        // Writing to a buffer in memory cannot fail.
        Framing::Counted(length) => {
            write!(text, "content-length: {length}\r\n").unwrap_or_default();
        }
        Framing::Chunked => text.put_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::Unsent | Framing::Sized => {}
    }
    if is_last && !headers.contains_key(CONNECTION) {
        text.put_slice(b"connection: close\r\n");
    }
    if !headers.contains_key(DATE) {
        text.put_slice(date.line());
    }
    text.put_slice(b"\r\n");
}

/// The date line, made anew each second.
#[derive(Default)]
pub(super) struct Date {
    second: u64,
    text: Vec<u8>,
}

impl Date {
    fn line(&mut self) -> &[u8] {
        let now = SystemTime::now();
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != since.as_secs() || self.text.is_empty() {
            self.second = since.as_secs();
            self.text = format!("date: {}\r\n", httpdate::fmt_http_date(now)).into_bytes();
        }
        &self.text
    }
}
