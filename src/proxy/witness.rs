//! Somebody who wants to see what is changed in a request, live: `explain` and `demo`.
//!
//! Owns: a bounded memory of what was seen.
//! Must not know: who looks at it, how it is shown.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::HeaderName;

use super::fields::{Fields, Head, Name, Value};
use super::normalise::{Change, Seen};
use super::route::Route;

/// What was seen of one request.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Its number, which goes to the application in [`SIGHTING`] when numbers are told.
    pub number: u64,
    /// The header section as it arrived.
    pub before: Head,
    /// What was changed, in order.
    pub changes: Vec<Change>,
    /// What is known afterwards.
    pub seen: Seen,
    /// Who answers.
    pub route: Route,
}

/// Remembers the latest requests.
#[derive(Debug)]
pub struct Witness {
    memory: Mutex<Memory>,
    tells_number: bool,
}

#[derive(Debug, Default)]
struct Memory {
    count: u64,
    sightings: VecDeque<Sighting>,
}

/// So many requests are remembered.
const MEMORY: usize = 64;

/// The field that tells the demo's application which sighting is its own.
pub const SIGHTING: HeaderName = HeaderName::from_static("x-forebay-sighting");

impl Witness {
    /// A witness; with `tells_number` the application learns each request's number.
    pub fn new(tells_number: bool) -> Self {
        Self { memory: Mutex::default(), tells_number }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers a sighting and gives it its number.
    pub(super) fn saw(&self, fields: &mut Fields, sighting: Sighting) {
        let mut memory = self.memory();
        memory.count += 1;
        let number = memory.count;
        if self.tells_number {
            fields.insert(Name::from(&SIGHTING), &Value::judged(Bytes::from(number.to_string())));
        }
        if memory.sightings.len() == MEMORY {
            memory.sightings.pop_front();
        }
        memory.sightings.push_back(Sighting { number, ..sighting });
    }

    /// The sighting with this number, if it is not forgotten.
    pub fn recall(&self, number: u64) -> Option<Sighting> {
        self.memory().sightings.iter().find(|sighting| sighting.number == number).cloned()
    }

    /// The latest sighting.
    pub fn latest(&self) -> Option<Sighting> {
        self.memory().sightings.back().cloned()
    }
}
