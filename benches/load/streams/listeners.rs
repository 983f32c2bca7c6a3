//! Clients that each listen to a stream of events.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::timeout_at;

use super::live::now_us;
use crate::player::{Told, argument, runtime, tell, wait_to_begin};
use crate::support::{Failure, Tried as _};

/// The argument that makes the benchmark's program these clients: port, connections, milliseconds.
pub(crate) const ROLE: &str = "as-listeners";

/// Connects, waits for the word, and listens for so long.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let (port, count): (u16, usize) = (argument(arguments, 1)?, argument(arguments, 2)?);
    let length = Duration::from_millis(argument(arguments, 3)?);
    let runtime = runtime()?;
    let opened = LocalSet::new().block_on(&runtime, async move {
        let mut all = JoinSet::new();
        for _ in 0..count {
            all.spawn_local(open(port));
        }
        all.join_all().await
    });
    let streams = opened.into_iter().collect::<Result<Vec<_>, _>>();
    let streams = streams.tried("open a stream of events")?;
    wait_to_begin()?;
    // What was written before is in the way already.
    let (begun, begun_us) = (Instant::now(), now_us());
    let delays = LocalSet::new().block_on(&runtime, async move {
        let mut all = JoinSet::new();
        for (stream, bytes) in streams {
            all.spawn_local(listen(stream, bytes, (begun_us, begun + length)));
        }
        all.join_all().await
    });
    let elapsed = begun.elapsed();
    let (mut all, mut fewest) = (Vec::new(), u64::MAX);
    for delays in delays {
        let delays = delays.tried("listen to events")?;
        fewest = fewest.min(delays.len() as u64);
        all.extend(delays);
    }
    let mut told = Told::sum(all, 0, elapsed);
    told.more = serde_json::json!({ "fewest_to_one_client": fewest });
    tell(&told.value().to_string())
}

/// Opens a stream and reads its head; what came behind that is left.
async fn open(port: u16) -> std::io::Result<(TcpStream, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = "GET /events HTTP/1.1\r\nHost: www.example.com\r\nAccept: text/event-stream\r\n\
        X-Forwarded-For: 203.0.113.7:51234\r\nX-Forwarded-Proto: https\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::Error::other("it ended before its head"));
        }
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            if !bytes.starts_with(b"HTTP/1.1 200 ") {
                let text = String::from_utf8_lossy(&bytes);
                let line = text.lines().next().unwrap_or_default();
                return Err(std::io::Error::other(format!("the answer is `{line}`")));
            }
            return Ok((stream, bytes.split_off(end + 4)));
        }
    }
}

/// Listens until `end`; gives the delay of each event that was written since the beginning, in
/// microseconds.
async fn listen(
    mut stream: TcpStream,
    mut bytes: Vec<u8>,
    (begun_us, end): (u64, Instant),
) -> std::io::Result<Vec<u64>> {
    let mut delays = Vec::new();
    loop {
        let mut read = 0;
        while let Some((written_us, behind)) = next_event(bytes.get(read..).unwrap_or_default()) {
            if written_us >= begun_us {
                delays.push(now_us().saturating_sub(written_us));
            }
            read += behind;
        }
        bytes.drain(..read);
        let Ok(count) = timeout_at(end.into(), stream.read_buf(&mut bytes)).await else {
            return Ok(delays);
        };
        if count? == 0 {
            return Err(std::io::Error::other("a stream ended"));
        }
    }
}

/// The time in the next whole event, and where that ends. Chunks may be cut anew on the way, but
/// none of this size is cut in two by a front.
fn next_event(bytes: &[u8]) -> Option<(u64, usize)> {
    let begin = memchr::memmem::find(bytes, b"data: ")? + 6;
    let rest = bytes.get(begin..)?;
    let end = memchr::memmem::find(rest, b"\n\n")? + 2;
    let time = str::from_utf8(rest.get(..16)?).ok()?.parse().ok()?;
    Some((time, begin + end))
}
