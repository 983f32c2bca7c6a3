//! Carries the bytes of a session both ways.
//!
//! Owns: back-pressure, the half-closed connection, the end.
//! Must not know: TLS, what the bytes say.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::shelf::Buffer;

/// Who ended a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The client was the first to close.
    Client,
    /// The server was.
    Server,
}

impl End {
    /// The log's word.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// Carries until both have closed, or one is gone. What the server said last reaches the client, also
/// when the server takes nothing any more; after that a client has [`LINGER`] to close.
///
/// `first` gets the first bytes of the server. The counters grow by what has been handed on.
///
/// # Cancel safety
///
/// Dropping the future closes both connections.
pub(super) async fn carry<C, S>(
    client: C,
    server: S,
    (to_client, to_server): (&AtomicU64, &AtomicU64),
    first: impl FnOnce(&[u8]),
) -> End
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut client, mut server) = (client, server);
    let (mut down, mut up) = (Way::new(to_client), Way::new(to_server));
    let mut first = Some(first);
    let mut end = None;
    let mut linger = pin!(sleep_until(Instant::now()));
    let mut lingers = false;
    poll_fn(|cx| {
        loop {
            let mut moved = down.fill(cx, &mut server);
            if moved && let Some(first) = first.take() {
                first(down.buffer.waiting());
            }
            moved |= down.empty(cx, &mut client);
            moved |= up.fill(cx, &mut client);
            moved |= up.empty(cx, &mut server);
            if !moved {
                break;
            }
        }
        down.buffer.rest();
        up.buffer.rest();
        if end.is_none() {
            if up.has_ended() || down.sink == Sink::Lost {
                end = Some(End::Client);
            } else if down.has_ended() || up.sink == Sink::Lost {
                end = Some(End::Server);
            }
        }
        // A client that is gone needs nothing; one that has half closed still reads.
        let is_client_gone = down.sink == Sink::Lost || up.source == Source::Broken;
        if is_client_gone || (down.is_over() && up.is_over()) {
            return Poll::Ready(());
        }
        if down.is_over() {
            if !lingers {
                lingers = true;
                linger.as_mut().reset(Instant::now() + LINGER);
            }
            return linger.as_mut().poll(cx);
        }
        Poll::Pending
    })
    .await;
    end.unwrap_or(End::Client)
}

/// How long a client may take to close when the server has.
const LINGER: Duration = Duration::from_secs(5);

/// One direction.
#[derive(Debug)]
struct Way<'a> {
    buffer: Buffer,
    carried: &'a AtomicU64,
    source: Source,
    sink: Sink,
}

/// Where bytes come from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    Open,
    /// It has said its last byte.
    Ended,
    /// It broke off.
    Broken,
}

/// Where bytes go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sink {
    Open,
    /// It has bytes in itself.
    Unflushed,
    /// It knows of the end.
    Shut,
    /// It takes nothing any more.
    Lost,
}

impl<'a> Way<'a> {
    fn new(carried: &'a AtomicU64) -> Self {
        Self { buffer: Buffer::default(), carried, source: Source::Open, sink: Sink::Open }
    }

    /// Whether the source has ended, in whichever way.
    fn has_ended(&self) -> bool {
        self.source != Source::Open
    }

    /// Whether nothing more is handed on.
    fn is_over(&self) -> bool {
        matches!(self.sink, Sink::Shut | Sink::Lost)
    }

    /// Reads what there is, as far as there is room; returns whether anything happened.
    fn fill(&mut self, cx: &mut Context<'_>, source: &mut (impl AsyncRead + Unpin)) -> bool {
        let mut moved = false;
        while !self.has_ended() {
            if self.sink == Sink::Lost {
                // Nobody wants it, but the end is wanted.
                self.buffer.take(usize::MAX);
            }
            let room = self.buffer.room();
            if room.is_empty() {
                break;
            }
            let mut room = ReadBuf::new(room);
            match Pin::new(&mut *source).poll_read(cx, &mut room) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                    let count = room.filled().len();
                    self.buffer.put(count);
                }
                Poll::Ready(Ok(())) => self.source = Source::Ended,
                Poll::Ready(Err(_)) => self.source = Source::Broken,
            }
            moved = true;
        }
        moved
    }

    /// Hands on what there is, as far as the sink takes it; returns whether anything happened.
    fn empty(&mut self, cx: &mut Context<'_>, sink: &mut (impl AsyncWrite + Unpin)) -> bool {
        let mut moved = false;
        while !self.is_over() {
            let waiting = self.buffer.waiting();
            let step: Poll<io::Result<()>> = if !waiting.is_empty() {
                Pin::new(&mut *sink).poll_write(cx, waiting).map_ok(|count| {
                    self.buffer.take(count);
                    self.carried.fetch_add(count as u64, Ordering::Relaxed);
                    self.sink = Sink::Unflushed;
                })
            } else if self.sink == Sink::Unflushed {
                Pin::new(&mut *sink).poll_flush(cx).map_ok(|()| self.sink = Sink::Open)
            } else if self.has_ended() {
                Pin::new(&mut *sink).poll_shutdown(cx).map_ok(|()| self.sink = Sink::Shut)
            } else {
                break;
            };
            match step {
                Poll::Pending => break,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.sink = Sink::Lost,
            }
            moved = true;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::task::JoinHandle;

    use super::*;

    static NUMBERS: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

    /// A client and a server with a session between them, its counters at a place of their own.
    fn session(place: usize) -> (DuplexStream, DuplexStream, JoinHandle<End>) {
        let (client, ours) = duplex(1000);
        let (server, theirs) = duplex(1000);
        let counters = (&NUMBERS[place], &NUMBERS[place + 1]);
        (client, server, tokio::spawn(carry(ours, theirs, counters, |_| {})))
    }

    async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_client_that_has_half_closed_still_gets_its_answer() {
        let (mut client, mut server, end) = session(0);
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut server).await, b"question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        assert_eq!(rest(&mut client).await, b"answer");
        assert_eq!(end.await.unwrap(), End::Client);
        let counted = [&NUMBERS[0], &NUMBERS[1]].map(|it| it.load(Ordering::Relaxed));
        assert_eq!(counted, [6, 8]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_words_of_a_server_arrive_and_its_end_too() {
        let (mut client, mut server, end) = session(2);
        server.write_all(b"terminating").await.unwrap();
        drop(server);
        client.write_all(b"does it live?").await.unwrap();
        assert_eq!(rest(&mut client).await, b"terminating");
        // The client does not close, and is not waited for without end.
        assert_eq!(end.await.unwrap(), End::Server);
    }

    #[tokio::test]
    async fn a_reader_that_rests_holds_the_writer_and_loses_nothing() {
        let (mut client, mut server, end) = session(4);
        let sent: Vec<u8> = (0..1_000_000_u32).map(|it| it.to_le_bytes()[1]).collect();
        let all = sent.clone();
        let writing = tokio::spawn(async move {
            server.write_all(&all).await.unwrap();
            drop(server);
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!writing.is_finished(), "no more than the buffers hold");
        assert_eq!(rest(&mut client).await, sent);
        drop(client);
        assert_eq!(end.await.unwrap(), End::Server);
    }

    #[tokio::test]
    async fn a_client_that_is_gone_ends_it() {
        let (client, mut server, end) = session(6);
        drop(client);
        assert_eq!(rest(&mut server).await, b"");
        drop(server.write_all(&[0; 2000]).await);
        assert_eq!(end.await.unwrap(), End::Client);
    }
}
