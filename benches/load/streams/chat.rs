//! `WebSocket` clients that each say something and wait until it is repeated.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use super::live::{MASKED_HEAD, MESSAGE};
use crate::player::{Told, argument, micros, runtime, tell, wait_to_begin};
use crate::support::{Failure, Tried as _};

/// The argument that makes the benchmark's program these clients: port, connections, milliseconds.
pub(crate) const ROLE: &str = "as-chat";

/// Connects, waits for the word, and says and hears for so long.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let (port, count): (u16, usize) = (argument(arguments, 1)?, argument(arguments, 2)?);
    let length = Duration::from_millis(argument(arguments, 3)?);
    let runtime = runtime()?;
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(runtime.block_on(open(port)).tried("open a WebSocket")?);
    }
    wait_to_begin()?;
    let begun = Instant::now();
    let took = LocalSet::new().block_on(&runtime, async move {
        let mut talks = JoinSet::new();
        for stream in streams {
            talks.spawn_local(talk(stream, begun + length));
        }
        talks.join_all().await
    });
    let mut all = Vec::new();
    for took in took {
        all.extend(took.tried("talk by a WebSocket")?);
    }
    tell(&Told::sum(all, 0, begun.elapsed()).value().to_string())
}

/// Opens a `WebSocket` (RFC 6455 §1.3, whose example the key is).
async fn open(port: u16) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let request = "GET /chat HTTP/1.1\r\nHost: www.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nOrigin: https://www.example.com\r\n\
        X-Forwarded-For: 203.0.113.7:51234\r\nX-Forwarded-Proto: https\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(stream);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    Err(std::io::Error::other(format!("the answer to an upgrade is `{line}`")))
}

/// Says and hears until `end`; gives how long each took, in microseconds.
async fn talk(mut stream: TcpStream, end: Instant) -> std::io::Result<Vec<u64>> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let words: Vec<u8> = (b'A'..).take(MESSAGE).collect();
    let mut said = vec![0x81, 0x80 | 32];
    said.extend(MASK);
    said.extend(words.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    debug_assert_eq!(said.len(), MASKED_HEAD + MESSAGE);
    let mut heard = [0; 2 + MESSAGE];
    let mut took = Vec::new();
    while Instant::now() < end {
        let since = Instant::now();
        stream.write_all(&said).await?;
        stream.read_exact(&mut heard).await?;
        if !heard.ends_with(&words) {
            return Err(std::io::Error::other("a WebSocket repeats something else"));
        }
        took.push(micros(since.elapsed()));
    }
    Ok(took)
}
