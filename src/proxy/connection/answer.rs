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
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use http_body::{Body as _, Frame};
use rustix::net::SendFlags;
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::direct::{Line, now};
use super::{Client, Socket};
use crate::proxy::Gateway;
use crate::proxy::answer::Answer;
use crate::proxy::assets::Body as Content;
use crate::proxy::body::{Body, Ending, Error};
use crate::proxy::fields::names;
use crate::proxy::guard::{Refusal, decimal};
use crate::proxy::shortcut::Short;

/// Content up to this size is copied behind what is before it, and goes out with it.
const JOIN_LIMIT: usize = 4 * 1024;

/// Says that no other answer follows.
const CLOSE: &[u8] = b"connection: close\r\n";

/// How the end of content is marked (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Framing {
    /// There is none, and the status says so; with 204 a length would be wrong (RFC 9110 §8.6).
    None,
    /// There would be some, were it not for HEAD.
    Unsent,
    /// By this length, which the header section says.
    Sized(u64),
    /// By this length, which the header section does not say yet.
    Counted(u64),
    /// By the last chunk.
    Chunked,
}

impl Framing {
    fn of(head: &mut Answer<()>, body: &Body, is_head: bool) -> Self {
        let length = length_of(head);
        if head.status == StatusCode::NO_CONTENT {
            Self::None
        } else if is_head {
            Self::Unsent
        } else if head.status == StatusCode::NOT_MODIFIED {
            Self::None
        } else if let Some(length) = length {
            Self::Sized(length)
        } else {
            body.size_hint().exact().map_or(Self::Chunked, Self::Counted)
        }
    }

    fn has_content(self) -> bool {
        !matches!(self, Self::None | Self::Unsent)
    }

    /// How much content is promised, where that is said.
    fn length(self) -> Option<u64> {
        match self {
            Self::Sized(length) | Self::Counted(length) => Some(length),
            Self::None | Self::Unsent | Self::Chunked => None,
        }
    }
}

/// The length that the header section says. One that cannot be read is taken off: it would mean
/// something else to everybody (RFC 9112 §6.3). The application's has been judged with its answer.
fn length_of(head: &mut Answer<()>) -> Option<u64> {
    let line = head.get(&names::CONTENT_LENGTH)?;
    let length = decimal(line).filter(|_| !head.is_repeated(&names::CONTENT_LENGTH));
    if length.is_none() {
        tracing::warn!("the Content-Length of an answer cannot be read: it is left out");
        head.fields().remove(CONTENT_LENGTH);
    }
    length
}

impl<S: Socket> Line<S> {
    /// Sends an answer; returns whether another request may follow.
    pub(super) async fn send(
        &mut self,
        answer: Answer<Body>,
        is_head: bool,
        client: &Client,
        gateway: &Gateway,
    ) -> bool {
        let (mut head, mut body) = answer.apart();
        let framing = Framing::of(&mut head, &body, is_head);
        let is_last = self.is_last
            || head.get(&names::CONNECTION) == Some(b"close")
            || gateway.readiness.is_draining();
        let mut text = BytesMut::with_capacity(1024);
        write_head(&mut text, &head, framing, is_last, &mut self.date);
        drop(head);
        let sent = self.send_content(text, &mut body, framing, client).await;
        sent.is_some() && !is_last
    }

    /// Sends what is in `text` and the content behind it, never more than was promised; nothing if
    /// not exactly that went out.
    async fn send_content(
        &mut self,
        mut text: BytesMut,
        body: &mut Body,
        framing: Framing,
        client: &Client,
    ) -> Option<()> {
        let (promised, mut came) = (framing.length(), 0);
        while framing.has_content() && !body.is_end_stream() {
            match self.next(&mut text, body, client).await? {
                Some(Ok(frame)) => {
                    // Trailers are for those who ask for them, which is not plain.
                    let Ok(mut data) = frame.into_data() else { continue };
                    if let Some(promised) = promised {
                        let left = usize::try_from(promised - came).unwrap_or(usize::MAX);
                        came += data.len() as u64;
                        data.truncate(left);
                    }
                    self.send_piece(&mut text, data, framing, client).await?;
                }
                // The connection ends short of what was promised, so that the client knows.
                Some(Err(_)) => {
                    self.write(&mut text, client).await?;
                    return None;
                }
                None => break,
            }
            if promised.is_some_and(|promised| came > promised) {
                break;
            }
        }
        if promised.is_some_and(|promised| came != promised) {
            tracing::warn!("an answer is not as long as it says: its connection ends");
            self.write(&mut text, client).await?;
            return None;
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
        let Short { answer, record, is_last } = short;
        self.is_last |= is_last;
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
        let is_last = self.is_last || gateway.readiness.is_draining();
        if is_last {
            text.put_slice(CLOSE);
        }
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
        sent.is_some() && !is_last
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
fn write_head(
    text: &mut BytesMut,
    head: &Answer<()>,
    framing: Framing,
    is_last: bool,
    date: &mut Date,
) {
    text.put_slice(b"HTTP/1.1 ");
    text.put_slice(head.status.as_str().as_bytes());
    text.put_slice(b" ");
    text.put_slice(head.status.canonical_reason().unwrap_or_default().as_bytes());
    text.put_slice(b"\r\n");
    head.each(|name, value| {
        if framing == Framing::None && name == CONTENT_LENGTH {
            return;
        }
        text.put_slice(name.as_bytes());
        text.put_slice(b": ");
        text.put_slice(value);
        text.put_slice(b"\r\n");
    });
    match framing {
        // Writing to a buffer in memory cannot fail.
        Framing::Counted(length) => {
            write!(text, "content-length: {length}\r\n").unwrap_or_default();
        }
        Framing::Chunked => text.put_slice(b"transfer-encoding: chunked\r\n"),
        Framing::None | Framing::Unsent | Framing::Sized(_) => {}
    }
    if is_last && head.get(&names::CONNECTION).is_none() {
        text.put_slice(CLOSE);
    }
    if head.get(&names::DATE).is_none() {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Response;
    use http::header::DATE;
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::proxy::body::{Content, Reporter};
    use crate::proxy::connection::Settings;
    use crate::proxy::guard::{Deadlines, Limits};
    use crate::proxy::tunnel;
    use crate::telemetry::{self, Counters, Format, Output, Record};

    const SETTINGS: Settings = Settings {
        limits: Limits {
            header_bytes: 1000,
            header_count: 20,
            field_bytes: 200,
            request_line_bytes: 100,
        },
        deadlines: Deadlines {
            header: Duration::from_secs(1),
            idle: Duration::from_secs(1),
            body_idle: Duration::from_secs(1),
        },
        tunnel: tunnel::Settings { limit: 0, idle: Duration::from_secs(1) },
        accepts_proxy_protocol: false,
    };

    /// What a client gets of an answer with these lines of Content-Length, and whether the connection
    /// goes on.
    async fn sent(lengths: &[&str], content: &'static str, is_head: bool) -> (String, bool) {
        let peer = ([192, 0, 2, 1], 1).into();
        let client = Client::new(peer, peer, true, SETTINGS);
        let log = telemetry::Settings {
            format: Format::Json,
            level: tracing::Level::ERROR,
            has_access_log: false,
        };
        let output = Output::start(io::sink()).unwrap().0;
        let reporter = Reporter { output, log, counters: Arc::new(Counters::new()) };
        let ending =
            Ending::begin(Box::new(Record::begin(peer)), reporter, Arc::clone(&client.vital));
        let mut answer = Response::builder().header(DATE, "now");
        for length in lengths {
            answer = answer.header(CONTENT_LENGTH, *length);
        }
        let content = Content::Own(Bytes::from_static(content.as_bytes()));
        let answer = answer.body(Body::new(content, ending)).unwrap();
        let (mut head, mut body) = Answer::from(answer).apart();
        let (stream, mut other) = tokio::io::duplex(64 * 1024);
        let mut line = Line::new(stream, BytesMut::new());
        let framing = Framing::of(&mut head, &body, is_head);
        let mut text = BytesMut::new();
        write_head(&mut text, &head, framing, false, &mut line.date);
        let goes_on = line.send_content(text, &mut body, framing, &client).await.is_some();
        drop(line);
        let mut sent = String::new();
        other.read_to_string(&mut sent).await.unwrap();
        (sent.replace("HTTP/1.1 200 OK\r\ndate: now\r\n", ""), goes_on)
    }

    #[tokio::test]
    async fn content_is_never_longer_nor_shorter_than_was_said() {
        for (length, content, expected) in [
            ("5", "hello", true),
            ("5", "hello, world", false),
            ("5", "hell", false),
            ("5", "", false),
            ("0", "hello", false),
            ("0", "", true),
        ] {
            let (text, goes_on) = sent(&[length], content, false).await;
            let within: String = content.chars().take(length.parse().unwrap()).collect();
            assert_eq!(text, format!("content-length: {length}\r\n\r\n{within}"));
            assert_eq!(goes_on, expected, "{length}: {content}");
        }
    }

    #[tokio::test]
    async fn what_is_more_than_was_said_is_cut_also_where_it_is_large() {
        let content: &'static str = "0123456789".repeat(2000).leak();
        let (text, goes_on) = sent(&["10000"], content, false).await;
        assert_eq!(text, format!("content-length: 10000\r\n\r\n{}", "0123456789".repeat(1000)));
        assert!(!goes_on);
    }

    #[tokio::test]
    async fn a_length_that_cannot_be_read_is_not_sent_on() {
        for lengths in [&["+5"][..], &["five"], &[""], &["5, 5"], &["5", "6"], &["5", "5"]] {
            let (text, goes_on) = sent(lengths, "hello", false).await;
            assert_eq!(text, "content-length: 5\r\n\r\nhello", "{lengths:?}");
            assert!(goes_on);
            let (text, goes_on) = sent(lengths, "", true).await;
            assert_eq!(text, "\r\n", "{lengths:?}");
            assert!(goes_on);
        }
    }

    #[tokio::test]
    async fn to_head_the_length_is_said_and_nothing_follows() {
        assert_eq!(sent(&["5"], "", true).await, ("content-length: 5\r\n\r\n".to_owned(), true));
    }
}
