//! Clients that send GET and POST by turns over kept connections, and keep account.

use std::collections::HashMap;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::{Failure, wait, wire};

/// What the clients do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) clients: usize,
    /// Requests of each client between two pauses.
    pub(crate) burst: usize,
    pub(crate) pauses: usize,
    /// All clients pause at the same time.
    pub(crate) pause: Duration,
}

/// What became of the requests of one method.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sent: usize,
    /// Without the answer that was due.
    pub(crate) failed: usize,
    /// Processed more than once.
    pub(crate) doubled: usize,
}

/// One request: its key in the application's notes, and whether its answer was right.
type Sent = (String, bool);

/// The methods, in the order of the tables.
pub(crate) const METHODS: [&str; 2] = ["GET", "POST"];

impl Load {
    /// Runs the clients; `jitter` is what the pause of each differs by.
    pub(crate) fn run(&self, port: u16) -> Result<Vec<Sent>, Failure> {
        let together = Barrier::new(self.clients);
        thread::scope(|scope| {
            let clients: Vec<_> = (0..self.clients)
                .map(|place| {
                    let together = &together;
                    scope.spawn(move || self.client(place, port, together))
                })
                .collect();
            let mut all = Vec::new();
            for client in clients {
                all.extend(client.join().map_err(|_| Failure::new("a client panicked"))?);
            }
            Ok(all)
        })
    }

    fn client(&self, place: usize, port: u16, together: &Barrier) -> Vec<Sent> {
        let mut stream = None;
        let mut all = Vec::new();
        // From 25 ms too early to as much too late.
        let jitter = u64::try_from(place * 50 / self.clients).unwrap_or(0);
        let pause = self.pause + Duration::from_millis(jitter);
        for round in 0..=self.pauses {
            if round > 0 {
                together.wait();
                wait(pause.saturating_sub(Duration::from_millis(25)));
            }
            for turn in 0..self.burst {
                let number = (place * (self.pauses + 1) + round) * self.burst + turn + 1;
                let method = if (turn + place).is_multiple_of(2) { "GET" } else { "POST" };
                let key = format!("{method} {number}");
                let request = request(method, number);
                let open = stream.take().map_or_else(|| wire::connect(port), Ok);
                let answer = open.ok().and_then(|mut open| {
                    let answer = wire::exchange(&mut open, &request).ok()?;
                    let closes = |(name, value): &(String, String)| {
                        name == "connection" && value.eq_ignore_ascii_case("close")
                    };
                    if !answer.fields.iter().any(closes) {
                        stream = Some(open);
                    }
                    Some(answer)
                });
                let is_right = answer.is_some_and(|answer| {
                    answer.status_line.contains(" 200 ")
                        && answer.content.starts_with(format!("{key} ").as_bytes())
                });
                all.push((key, is_right));
            }
        }
        all
    }
}

/// Compares what clients got with what the application did, by method.
pub(crate) fn tally(all: &[Sent], counts: &HashMap<String, usize>) -> [Tally; 2] {
    METHODS.map(|method| {
        let mut tally = Tally::default();
        for (key, is_right) in all.iter().filter(|(key, _)| key.starts_with(method)) {
            tally.sent += 1;
            tally.failed += usize::from(!is_right);
            tally.doubled += usize::from(counts.get(key).is_some_and(|count| *count > 1));
        }
        tally
    })
}

fn request(method: &str, number: usize) -> Vec<u8> {
    let content = if method == "POST" { "name=value&other=thing" } else { "" };
    let length = match content {
        "" => String::new(),
        content => format!("Content-Length: {}\r\n", content.len()),
    };
    format!(
        "{method} /note/{number}/ HTTP/1.1\r\n\
         Host: www.example.com\r\n\
         X-Forwarded-For: 203.0.113.7:51234\r\n\
         X-Forwarded-Proto: https\r\n{length}\r\n{content}"
    )
    .into_bytes()
}
