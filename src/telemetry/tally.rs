//! What became of all requests so far: who answered, how, and how long it took.
//!
//! Owns: the ways that are told apart, the last errors.
//! Must not know: who reads the numbers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::Record;
use super::histogram::{Histogram, Spread};
use crate::code::Code;

/// Who answered a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// The application, or forebay in its place.
    Upstream,
    /// forebay, with a static file.
    Asset,
    /// forebay, to a prober.
    Probe,
    /// forebay, with its own status.
    Status,
    /// forebay, before it was known who should answer.
    Refused,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 5] =
        [Self::Upstream, Self::Asset, Self::Probe, Self::Status, Self::Refused];

    /// Its name in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upstream => "upstream",
            Self::Asset => "asset",
            Self::Probe => "probe",
            Self::Status => "status",
            Self::Refused => "refused",
        }
    }

    fn of(record: &Record) -> Self {
        if record.probe.is_some() {
            Self::Probe
        } else if record.is_asset || record.code == Some(Code::AssetMissing) {
            Self::Asset
        } else if record.is_status {
            Self::Status
        } else if record.client.is_none() {
            Self::Refused
        } else {
            Self::Upstream
        }
    }
}

/// Statuses are told apart by their first digit, from 1 to 5.
pub const CLASSES: usize = 5;

/// An answer with a code, or the application's own 500 and above: for the operator, without anything
/// that says who asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mishap {
    /// When it ended.
    pub at: SystemTime,
    /// The code; nothing if the application answered so.
    pub code: Option<Code>,
    /// The status.
    pub status: u16,
    /// The method; nothing if the request could not be parsed.
    pub method: Option<String>,
    /// The path without its query, its beginning only.
    pub path: String,
}

/// So many mishaps are kept.
pub const KEPT: usize = 50;

/// So much of a path is kept, in bytes.
const PATH_LIMIT: usize = 200;

/// So much of a method is kept, in bytes.
const METHOD_LIMIT: usize = 20;

/// What became of all requests so far.
#[derive(Debug, Default)]
pub struct Tally {
    ways: [OfWay; Way::ALL.len()],
    queued: Histogram,
    connect: Histogram,
    first_byte: Histogram,
    mishaps: Mutex<VecDeque<Mishap>>,
}

#[derive(Debug, Default)]
struct OfWay {
    classes: [AtomicU64; CLASSES],
    total: Histogram,
}

impl Tally {
    /// Counts a request whose answer has ended, and which took so long.
    pub(super) fn count(&self, record: &Record, total: Duration) {
        let way = Way::of(record);
        if let Some(of_way) = self.ways.get(way as usize) {
            let class = usize::from(record.status / 100).wrapping_sub(1);
            if let Some(counter) = of_way.classes.get(class) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            of_way.total.record(total);
        }
        if way == Way::Upstream && !record.times.first_byte.is_zero() {
            self.queued.record(record.times.queued);
            self.first_byte.record(record.times.first_byte);
            // Zero is a connection that was reused.
            if !record.times.connect.is_zero() {
                self.connect.record(record.times.connect);
            }
        }
        let is_mishap = match record.code {
            Some(code) => code != Code::ClientLeft,
            None => record.status >= 500,
        };
        // Whoever asks for the status without its token must not push out what matters.
        if is_mishap && !matches!(way, Way::Probe | Way::Status) {
            self.keep(record);
        }
    }

    fn keep(&self, record: &Record) {
        let mishap = Mishap {
            at: SystemTime::now(),
            code: record.code,
            status: record.status,
            method: record.method.as_ref().map(|it| beginning(it.as_str(), METHOD_LIMIT)),
            path: match record.method {
                Some(_) => beginning(record.target.path(), PATH_LIMIT),
                None => String::new(),
            },
        };
        let mut mishaps = self.mishaps.lock().unwrap_or_else(PoisonError::into_inner);
        if mishaps.len() >= KEPT {
            mishaps.pop_front();
        }
        mishaps.push_back(mishap);
    }

    /// What there is now.
    pub fn look(&self) -> Tallied {
        let of_way = |way: Way| {
            let of_way = self.ways.get(way as usize);
            OfWayTallied {
                way,
                classes: of_way.map_or([0; CLASSES], |it| {
                    it.classes.each_ref().map(|counter| counter.load(Ordering::Relaxed))
                }),
                total: of_way.map(|it| it.total.spread()).unwrap_or_default(),
            }
        };
        let mishaps = self.mishaps.lock().unwrap_or_else(PoisonError::into_inner);
        Tallied {
            ways: Way::ALL.map(of_way),
            queued: self.queued.spread(),
            connect: self.connect.spread(),
            first_byte: self.first_byte.spread(),
            mishaps: mishaps.iter().cloned().collect(),
        }
    }
}

/// What a tally held at one moment.
#[derive(Clone, Debug)]
pub struct Tallied {
    /// By way.
    pub ways: [OfWayTallied; Way::ALL.len()],
    /// How long requests waited for the application and a place in it.
    pub queued: Spread,
    /// How long connecting to it took, where no connection was reused.
    pub connect: Spread,
    /// How long its answer took to begin, with both.
    pub first_byte: Spread,
    /// The last errors, the oldest first.
    pub mishaps: Vec<Mishap>,
}

/// What became of the requests of one way.
#[derive(Clone, Debug)]
pub struct OfWayTallied {
    /// The way.
    pub way: Way,
    /// Answers by the first digit of their status, from 1.
    pub classes: [u64; CLASSES],
    /// How long they took to their last byte.
    pub total: Spread,
}

/// The beginning of a text, in whole letters.
fn beginning(text: &str, limit: usize) -> String {
    let end = text.floor_char_boundary(limit);
    let start = text.get(..end).unwrap_or_default().to_owned();
    if end < text.len() { start + "…" } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Method, Uri};

    fn record(status: u16, path: &str) -> Record {
        Record {
            client: Some([203, 0, 113, 7].into()),
            method: Some(Method::GET),
            target: path.parse::<Uri>().unwrap(),
            status,
            ..Record::begin(([127, 0, 0, 1], 5).into())
        }
    }

    #[test]
    fn each_request_counts_for_one_way_and_one_class() {
        let tally = Tally::default();
        let second = Duration::from_secs(1);
        tally.count(&record(200, "/"), second);
        tally.count(&Record { is_asset: true, ..record(304, "/a.css") }, second);
        tally.count(&Record { probe: Some("health"), ..record(503, "/healthz") }, second);
        let status = Record { is_status: true, ..record(401, "/s") };
        tally.count(&Record { code: Some(Code::StatusToken), ..status }, second);
        tally.count(&Record { client: None, ..record(400, "/") }, second);
        // Nobody's status.
        tally.count(&record(0, "/"), second);
        let tallied = tally.look();
        let classes = tallied.ways.each_ref().map(|it| it.classes);
        assert_eq!(
            classes,
            [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0]]
        );
        assert_eq!(tallied.ways[0].total.count(), 2);
        assert_eq!(tallied.first_byte.count(), 0, "the application never answered");
        assert!(tallied.mishaps.is_empty(), "neither a probe nor who has no token is one");
    }

    #[test]
    fn the_last_errors_are_kept_without_queries() {
        let tally = Tally::default();
        for number in 0..60 {
            tally.count(&record(500, &format!("/{number}?token=secret")), Duration::ZERO);
        }
        tally.count(
            &Record { code: Some(Code::ClientLeft), ..record(499, "/left") },
            Duration::ZERO,
        );
        let long = format!("/{}", "a".repeat(1000));
        tally.count(&Record { code: Some(Code::Refused), ..record(502, &long) }, Duration::ZERO);
        let mishaps = tally.look().mishaps;
        assert_eq!(mishaps.len(), KEPT);
        assert_eq!((mishaps[0].path.as_str(), mishaps[0].code), ("/11", None));
        assert_eq!(mishaps[KEPT - 2].path, "/59");
        assert_eq!(mishaps[KEPT - 1].path.chars().count(), PATH_LIMIT + 1);
    }
}
