//! An application that keeps connections: it repeats what `WebSockets` say, and tells events.
//!
//! `/events` gives one event a second to everybody at the same time, with the time of its writing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::player::{micros, play_application};
use crate::support::Failure;

/// The argument that makes the benchmark's program this application.
pub(crate) const ROLE: &str = "as-live-application";

/// Answers until standard input is closed. The first line of output is the port.
pub(crate) fn run(_: &[String]) -> Result<(), Failure> {
    play_application(async |listener| accept(&listener).await)
}

async fn accept(listener: &TcpListener) {
    let (tick, ticks) = watch::channel(());
    tokio::spawn(async move {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            tick.send_replace(());
        }
    });
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            let ticks = ticks.clone();
            tokio::spawn(async move {
                // A connection that breaks has ended; whoever broke it tells.
                drop(serve(stream, ticks).await);
            });
        }
    }
}

async fn serve(mut stream: TcpStream, ticks: watch::Receiver<()>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut bytes = Vec::with_capacity(4096);
    while stream.read_buf(&mut bytes).await? > 0 {
        if !bytes.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if head.contains("upgrade: websocket") {
            stream.write_all(SWITCHING).await?;
            return repeat(stream).await;
        }
        if head.starts_with("get /events ") {
            return events(stream, ticks).await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhome\n").await?;
        bytes.clear();
    }
    Ok(())
}

/// The accept value belongs to the key that the clients send: the example of RFC 6455 §1.3.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// The size of what a message says.
pub(crate) const MESSAGE: usize = 32;

/// What stands before it from a client: two bytes and a mask (RFC 6455 §5.2).
pub(crate) const MASKED_HEAD: usize = 6;

/// Repeats each message of a client, without its mask.
async fn repeat(mut stream: TcpStream) -> std::io::Result<()> {
    let mut frame = [0; MASKED_HEAD + MESSAGE];
    let mut answer = vec![0x81, 32];
    loop {
        stream.read_exact(&mut frame).await?;
        answer.truncate(2);
        let (head, content) = frame.split_at(MASKED_HEAD);
        let mask = head.iter().skip(2).cycle();
        answer.extend(content.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
        stream.write_all(&answer).await?;
    }
}

/// Tells events until the client goes.
async fn events(mut stream: TcpStream, mut ticks: watch::Receiver<()>) -> std::io::Result<()> {
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\
        X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head).await?;
    ticks.mark_unchanged();
    while ticks.changed().await.is_ok() {
        let event = format!("data: {:016} {}\n\n", now_us(), "x".repeat(80));
        let chunk = format!("{:x}\r\n{event}\r\n", event.len());
        stream.write_all(chunk.as_bytes()).await?;
    }
    Ok(())
}

/// The time, as two processes of one machine can compare it.
pub(crate) fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros)
}
