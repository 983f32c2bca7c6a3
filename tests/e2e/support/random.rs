//! Chance that can be repeated: the same seed gives the same numbers.

use std::env;
use std::time::Duration;

/// A xorshift generator; good enough to choose moments.
pub(crate) struct Random(u64);

impl Random {
    /// A generator whose numbers follow from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// Whether something happens that happens `percent` times in a hundred.
    pub(crate) fn happens(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from `least` to `most`, in milliseconds.
    pub(crate) fn milliseconds(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }
}

/// A number that whoever starts the tests may set; a bad one is no number.
#[expect(clippy::disallowed_methods, reason = "tests take their settings from the environment")]
pub(crate) fn number_from_environment(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}
