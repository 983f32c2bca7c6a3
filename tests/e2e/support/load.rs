//! Clients that keep their connections and keep account of every request.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io::ErrorKind;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::random::Random;
use super::wire::{Response, Wire};

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Clients, each with a connection of its own.
    pub(crate) clients: u64,
    /// Requests of each client between two pauses.
    pub(crate) burst: u64,
    /// Pauses of each client; all pause at the same time.
    pub(crate) pauses: u64,
    /// How long a pause is, but for up to 25 ms more or less.
    pub(crate) pause: Duration,
    /// The most milliseconds that the site works on a request.
    pub(crate) work: u64,
    pub(crate) seed: u64,
}

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    pub(crate) method: &'static str,
    pub(crate) begun: Moment,
    pub(crate) outcome: Outcome,
}

/// A moment of the real clock.
#[expect(clippy::disallowed_types, reason = "other programs run on the real clock")]
pub(crate) type Moment = std::time::Instant;

/// What a client got.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Its own answer, byte for byte.
    Right,
    /// An answer that forebay made, with this code.
    Code(String),
    /// An answer that ended too early, and was seen to.
    BrokenOff,
    /// No answer.
    Nothing(String),
    /// Another answer than the one that was due.
    Wrong(String),
}

impl Load {
    /// Runs the clients to the end of their work, or until `stop` says so between two requests.
    pub(crate) fn run(&self, address: &str, stop: &AtomicBool) -> Vec<Sent> {
        let numbers = AtomicU64::new(1);
        let together = Barrier::new(usize::try_from(self.clients).unwrap());
        thread::scope(|scope| {
            let client = |place| {
                let (numbers, together) = (&numbers, &together);
                scope.spawn(move || self.client(place, address, numbers, (together, stop)))
            };
            let clients: Vec<_> = (0..self.clients).map(client).collect();
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        })
    }

    fn client(
        &self,
        place: u64,
        address: &str,
        numbers: &AtomicU64,
        (together, stop): (&Barrier, &AtomicBool),
    ) -> Vec<Sent> {
        let mut random = Random::new(self.seed + place);
        let mut wire = None;
        let mut all = Vec::new();
        for round in 0..=self.pauses {
            if round > 0 {
                together.wait();
                let jitter = random.milliseconds(0, 50);
                pause((self.pause + jitter).saturating_sub(Duration::from_millis(25)));
            }
            for _ in 0..self.burst {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let number = numbers.fetch_add(1, Ordering::Relaxed);
                let method = if random.happens(50) { "POST" } else { "GET" };
                let begun = Moment::now();
                let request = request(method, number, random.below(self.work + 1));
                let outcome = exchange(&mut wire, address, &request, method, number);
                all.push(Sent { number, method, begun, outcome });
            }
        }
        all
    }
}

/// Lets time pass; here that is what is waited for.
pub(crate) fn pause(time: Duration) {
    let begun = Moment::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        thread::park_timeout(left);
    }
}

fn exchange(
    wire: &mut Option<Wire>,
    address: &str,
    request: &[u8],
    method: &str,
    number: u64,
) -> Outcome {
    let connected = wire.take().map_or_else(|| Wire::connect(address), Ok);
    let mut open = match connected {
        Ok(open) => open,
        Err(why) => return Outcome::Nothing(format!("no connection: {why}")),
    };
    match open.try_exchange(request) {
        Ok(response) => {
            if !response.field("connection").is_some_and(|it| it.eq_ignore_ascii_case("close")) {
                *wire = Some(open);
            }
            judge(&response, method, number)
        }
        Err(why) if why.kind() == ErrorKind::Other => Outcome::BrokenOff,
        Err(why) => Outcome::Nothing(why.to_string()),
    }
}

fn judge(response: &Response, method: &str, number: u64) -> Outcome {
    if let Some(code) = response.field("x-forebay-error") {
        return Outcome::Code(code.to_owned());
    }
    let content = if method == "POST" { content(number) } else { Vec::new() };
    let mut due = format!("{method} {number} {}\n", content.len()).into_bytes();
    due.extend(content);
    if response.status == 200 && response.body == due {
        return Outcome::Right;
    }
    let start = response.body.get(..80).unwrap_or(&response.body);
    Outcome::Wrong(format!("{} {}", response.status, String::from_utf8_lossy(start)))
}

/// The request of a number: POSTs have content, some much of it, some in chunks.
fn request(method: &str, number: u64, work: u64) -> Vec<u8> {
    let head = format!(
        "{method} /note/{number}/?work={work} HTTP/1.1\r\n\
         Host: www.example.com\r\n\
         X-Forwarded-For: 203.0.113.10:64769\r\n\
         X-Forwarded-Proto: https\r\n"
    );
    let mut bytes = head.into_bytes();
    let content = content(number);
    if method == "GET" {
        bytes.extend(b"\r\n");
    } else if number % 16 == 3 {
        bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
        for piece in content.chunks(1000) {
            bytes.extend(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
    } else {
        bytes.extend(format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes());
        bytes.extend(content);
    }
    bytes
}

/// Content that no other number has.
fn content(number: u64) -> Vec<u8> {
    let length = match number % 8 {
        0 => 0,
        1 => 70_000,
        _ => number % 3000,
    };
    let digits = format!("{number} ").into_bytes();
    digits.into_iter().cycle().take(usize::try_from(length).unwrap()).collect()
}

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) sent: usize,
    pub(crate) right: usize,
    /// Idempotent requests without an answer of the application.
    pub(crate) lost_gets: usize,
    /// POSTs that nobody can have processed, and that were not answered by the application.
    pub(crate) lost_posts: usize,
    /// POSTs that were in the application when it ended (FB-32): it may have processed them.
    pub(crate) uncertain_posts: usize,
    /// Of these, those that it had begun to process.
    pub(crate) uncertain_and_processed: usize,
    pub(crate) broken_off: usize,
    pub(crate) wrong: usize,
    /// Processed more than once.
    pub(crate) doubled_gets: usize,
    pub(crate) doubled_posts: usize,
    /// Answered right and never processed.
    pub(crate) invented: usize,
    /// What became of those that have no right answer, and how many have it in common.
    pub(crate) others: BTreeMap<String, usize>,
}

impl Account {
    /// Compares what clients got with what the site wrote down.
    pub(crate) fn of(all: &[Sent], counts: &HashMap<String, usize>) -> Self {
        let mut account = Self { sent: all.len(), ..Self::default() };
        for Sent { number, method, outcome, .. } in all {
            let is_post = *method == "POST";
            let count = counts.get(&format!("{method} {number}")).copied().unwrap_or(0);
            if count > 1 {
                *(if is_post { &mut account.doubled_posts } else { &mut account.doubled_gets }) +=
                    1;
            }
            match outcome {
                Outcome::Right => {
                    account.right += 1;
                    account.invented += usize::from(count == 0);
                    continue;
                }
                Outcome::BrokenOff => account.broken_off += 1,
                Outcome::Wrong(_) => account.wrong += 1,
                Outcome::Code(code) if is_post && code == "FB-32" => {
                    account.uncertain_posts += 1;
                    account.uncertain_and_processed += usize::from(count > 0);
                }
                Outcome::Code(_) | Outcome::Nothing(_) if is_post => account.lost_posts += 1,
                Outcome::Code(_) | Outcome::Nothing(_) => account.lost_gets += 1,
            }
            // Alike but for the number.
            let what = format!("{method}: {outcome:?}").replace(&number.to_string(), "N");
            *account.others.entry(what).or_default() += 1;
        }
        account
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sent {}, answered right {}; lost: {} idempotent, {} POST; POST in the application \
             when it ended: {}, of them {} begun; broken off {}, wrong {}; doubled: {} GET, {} POST",
            self.sent,
            self.right,
            self.lost_gets,
            self.lost_posts,
            self.uncertain_posts,
            self.uncertain_and_processed,
            self.broken_off,
            self.wrong,
            self.doubled_gets,
            self.doubled_posts
        )?;
        for (what, count) in self.others.iter().take(12) {
            write!(f, "\n    {count} × {what}")?;
        }
        Ok(())
    }
}
