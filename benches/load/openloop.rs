//! Requests at a fixed rate, whatever becomes of those before: as visitors come, who know nothing of
//! one another. Each is measured from when it was to be sent.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep_until, timeout_at};

use crate::player::{Told, argument, at, micros, runtime, tell, wait_to_begin};
use crate::support::{Failure, wire};

/// The argument that makes the benchmark's program this generator: port, requests a second, and in
/// milliseconds the time before what counts, the time that counts, and how long a visitor waits.
pub(crate) const ROLE: &str = "as-open-loop";

/// Waits for the word, sends, and tells what came of it in the time that counts.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let (port, rate): (u16, u32) = (argument(arguments, 1)?, argument(arguments, 2)?);
    let time = |place| argument(arguments, place).map(Duration::from_millis);
    let (before, length, patience) = (time(3)?, time(4)?, time(5)?);
    let runtime = runtime()?;
    wait_to_begin()?;
    let begun = Instant::now();
    let visitors = Rc::new(Visitors { port, patience, idle: RefCell::default() });
    let ends = LocalSet::new().block_on(&runtime, async move {
        let mut all = JoinSet::new();
        for number in 0..rate.saturating_mul(whole_seconds(before + length)) {
            let due = begun + Duration::from_secs(1) * number / rate;
            sleep_until(due.into()).await;
            let visitors = Rc::clone(&visitors);
            all.spawn_local(async move { visitors.visit(due).await });
        }
        all.join_all().await
    });
    let counted = begun + before..begun + before + length;
    let ends: Vec<_> = ends.into_iter().filter(|end| counted.contains(&end.at)).collect();
    tell(&sum(&ends, length).value().to_string())
}

/// What became of a visitor.
#[derive(Clone, Debug)]
struct End {
    /// A status, or why there is none.
    how: String,
    at: Instant,
    took: Duration,
}

/// What visitors share.
#[derive(Debug)]
struct Visitors {
    port: u16,
    patience: Duration,
    /// Connections that wait for the next request.
    idle: RefCell<Vec<TcpStream>>,
}

impl Visitors {
    async fn visit(&self, due: Instant) -> End {
        let answer = timeout_at((due + self.patience).into(), self.ask()).await;
        let how = match answer {
            Ok(Ok(status)) => status,
            Ok(Err(_)) => BROKEN.to_owned(),
            Err(_) => GAVE_UP.to_owned(),
        };
        let at = Instant::now();
        End { how, at, took: at.saturating_duration_since(due) }
    }

    /// Asks on a connection that waits or a new one; gives the status.
    async fn ask(&self) -> std::io::Result<String> {
        let request = wire::request("/b200");
        let waiting = self.idle.borrow_mut().pop();
        if let Some(mut stream) = waiting {
            // Who was refused may find that the connection has gone, and comes again.
            if let Ok(status) = self.exchange(&mut stream, &request).await {
                return Ok(self.keep(stream, status));
            }
        }
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let status = self.exchange(&mut stream, &request).await?;
        Ok(self.keep(stream, status))
    }

    fn keep(&self, stream: TcpStream, (status, is_kept): (String, bool)) -> String {
        if is_kept {
            self.idle.borrow_mut().push(stream);
        }
        status
    }

    /// Gives the status, and whether the connection can be used again.
    async fn exchange(
        &self,
        stream: &mut TcpStream,
        request: &[u8],
    ) -> std::io::Result<(String, bool)> {
        stream.write_all(request).await?;
        let mut bytes = Vec::with_capacity(1024);
        loop {
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(std::io::Error::other("it ended before its answer"));
            }
            let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
            let status = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let fields = wire::fields(head.lines().skip(1));
            let of = |name| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value);
            let length = of("content-length").and_then(|length| length.parse::<usize>().ok());
            let Some(length) = length else { return Ok((status, false)) };
            let closes = of("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
            if bytes.len() >= end + 4 + length {
                return Ok((status, !closes));
            }
        }
    }
}

/// Sums up: good are those with 200.
fn sum(ends: &[End], length: Duration) -> Told {
    let took = |end: &End| micros(end.took);
    let is_good = |end: &&End| end.how == "200";
    let good: Vec<_> = ends.iter().filter(is_good).map(took).collect();
    let failed = (ends.len() - good.len()) as u64;
    let mut how: BTreeMap<&str, u64> = BTreeMap::new();
    for end in ends.iter().filter(|end| !is_good(end)) {
        *how.entry(&end.how).or_default() += 1;
    }
    let is_refused = |end: &&End| !is_good(end) && end.how != GAVE_UP && end.how != BROKEN;
    let mut refused: Vec<_> = ends.iter().filter(is_refused).map(took).collect();
    refused.sort_unstable();
    let mut told = Told::sum(good, failed, length);
    told.more = json!({
        "failed": how,
        "refused": refused.len(),
        "refused_p50_us": at(&refused, 50),
        "refused_p99_us": at(&refused, 99),
    });
    told
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// A visitor whose patience ended.
pub(crate) const GAVE_UP: &str = "gave up";

/// A connection that ended without an answer.
pub(crate) const BROKEN: &str = "broken";
