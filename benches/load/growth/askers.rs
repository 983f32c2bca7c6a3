//! Clients with kept connections, of which some ask again and again and the others have asked once.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};

use crate::player::{Told, argument, micros, runtime, tell, wait_to_begin};
use crate::support::{Failure, Tried as _, wire};

/// The argument that makes the benchmark's program these clients: port, connections that ask,
/// connections that do not, milliseconds.
pub(super) const ROLE: &str = "as-askers";

/// So many connect at once.
const AT_ONCE: usize = 64;

/// Connects, waits for the word, and asks for so long.
pub(super) fn run(arguments: &[String]) -> Result<(), Failure> {
    let port: u16 = argument(arguments, 1)?;
    let (busy, idle): (usize, usize) = (argument(arguments, 2)?, argument(arguments, 3)?);
    let length = Duration::from_millis(argument(arguments, 4)?);
    let runtime = runtime()?;
    let mut all = Vec::new();
    while all.len() < busy + idle {
        let many = AT_ONCE.min(busy + idle - all.len());
        let opened = LocalSet::new().block_on(&runtime, async move {
            let mut opening = JoinSet::new();
            for _ in 0..many {
                opening.spawn_local(Asker::open(port));
            }
            opening.join_all().await
        });
        for asker in opened {
            all.push(asker.tried("connect and ask once")?);
        }
    }
    let others = all.split_off(busy);
    // Until connections to the application stand for all that ask at once.
    let all = LocalSet::new().block_on(&runtime, warm_up(all)).tried("ask at once")?;
    wait_to_begin()?;
    let begun = Instant::now();
    let took = LocalSet::new().block_on(&runtime, async move {
        let mut asking = JoinSet::new();
        for asker in all {
            asking.spawn_local(asker.ask_until(begun + length));
        }
        asking.join_all().await
    });
    let elapsed = begun.elapsed();
    drop(others);
    let mut all = Vec::new();
    for took in took {
        all.extend(took.tried("ask again")?);
    }
    tell(&Told::sum(all, 0, elapsed).value().to_string())
}

/// Lets all ask some times at once.
async fn warm_up(all: Vec<Asker>) -> std::io::Result<Vec<Asker>> {
    let mut asking = JoinSet::new();
    for mut asker in all {
        asking.spawn_local(async move {
            for _ in 0..TOGETHER {
                asker.ask().await?;
            }
            Ok(asker)
        });
    }
    asking.join_all().await.into_iter().collect()
}

/// A client.
struct Asker {
    stream: TcpStream,
    request: Vec<u8>,
    /// As long as every answer is: all ask for the same.
    answer: Vec<u8>,
}

impl Asker {
    /// Connects and asks once.
    async fn open(port: u16) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let request = wire::request("/b200");
        stream.write_all(&request).await?;
        let mut bytes = Vec::with_capacity(2048);
        loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(std::io::Error::other("it ended before its answer"));
            }
            let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else { continue };
            is_good(&bytes)?;
            if bytes.len() >= end + 4 + CONTENT {
                return Ok(Self { stream, request, answer: bytes });
            }
        }
    }

    /// Asks until `end`; gives how long each answer took, in microseconds.
    async fn ask_until(mut self, end: Instant) -> std::io::Result<Vec<u64>> {
        let mut took = Vec::new();
        while Instant::now() < end {
            let since = Instant::now();
            self.ask().await?;
            took.push(micros(since.elapsed()));
        }
        Ok(took)
    }

    /// Asks and reads the answer.
    async fn ask(&mut self) -> std::io::Result<()> {
        self.stream.write_all(&self.request).await?;
        self.stream.read_exact(&mut self.answer).await?;
        is_good(&self.answer)
    }
}

/// Fails with the first line of an answer that is not 200.
fn is_good(answer: &[u8]) -> std::io::Result<()> {
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().next().unwrap_or_default();
    Err(std::io::Error::other(format!("the answer is `{line}`")))
}

/// How often all ask at once before what is measured.
const TOGETHER: usize = 3;

/// The bytes of what is asked for.
const CONTENT: usize = 200;
