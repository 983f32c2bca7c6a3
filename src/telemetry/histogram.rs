//! How long things took, in a fixed number of buckets.
//!
//! Owns: the bounds of the buckets, what is estimated from them.
//! Must not know: what took that long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of all buckets but the last, in microseconds. The last of them is the time after
/// which App Service's front end gives up (facts, 6).
pub const BOUNDS_US: [u64; 20] = [
    25,
    100,
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    230_000_000,
];

/// Times, as any number of threads record them: two additions each, without a lock.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Without a time.
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BOUNDS_US.len() + 1],
            sum_us: AtomicU64::new(0),
        }
    }

    /// Adds a time.
    pub fn record(&self, time: Duration) {
        let time = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_US.partition_point(|bound| *bound < time);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(time, Ordering::Relaxed);
    }

    /// What was recorded so far. A time that is recorded just now may be in it by half.
    pub fn spread(&self) -> Spread {
        Spread {
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
            sum_us: self.sum_us.load(Ordering::Relaxed),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The times that a histogram held at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Spread {
    buckets: [u64; BOUNDS_US.len() + 1],
    sum_us: u64,
}

impl Spread {
    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All times together, in microseconds.
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    /// For each bucket its upper bound in microseconds, nothing for the last, and how many times are
    /// in it or in one before it.
    pub fn cumulated(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = BOUNDS_US.iter().copied().map(Some).chain([None]);
        bounds.zip(self.buckets.iter()).scan(0, |sum, (bound, count)| {
            *sum += count;
            Some((bound, *sum))
        })
    }

    /// The time that a share of all times, from 0 to 1, did not exceed: estimated within its bucket,
    /// as if the times in it were spread evenly. Nothing without times. Times beyond the last bound
    /// count as that.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let wanted = count as f64 * share.clamp(0.0, 1.0);
        let (mut below, mut lower) = (0_u64, 0);
        for (bucket, upper) in self.buckets.iter().zip(BOUNDS_US) {
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let (first, here, width) = (below as f64, *bucket as f64, (upper - lower) as f64);
            if here > 0.0 && first + here >= wanted {
                let part = ((wanted - first) / here).clamp(0.0, 1.0);
                return Some(Duration::from_micros(lower) + micros(width * part));
            }
            below += bucket;
            lower = upper;
        }
        Some(Duration::from_micros(lower))
    }

    /// These times and others.
    #[must_use]
    pub fn and(mut self, others: &Self) -> Self {
        for (own, other) in self.buckets.iter_mut().zip(others.buckets) {
            *own += other;
        }
        self.sum_us += others.sum_us;
        self
    }
}

fn micros(time: f64) -> Duration {
    Duration::from_secs_f64(time / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_at_a_bound_is_within_it() {
        let histogram = Histogram::new();
        for time in [0, 25, 26, 230_000_000, 230_000_001] {
            histogram.record(Duration::from_micros(time));
        }
        let spread = histogram.spread();
        let cumulated: Vec<_> = spread.cumulated().collect();
        assert_eq!(cumulated[0], (Some(25), 2));
        assert_eq!(cumulated[1], (Some(100), 3));
        assert_eq!(cumulated[19], (Some(230_000_000), 4));
        assert_eq!(cumulated[20], (None, 5));
        assert_eq!((spread.count(), spread.sum_us()), (5, 460_000_052));
    }

    #[test]
    fn quantiles_are_estimated_within_their_bucket() {
        let histogram = Histogram::new();
        assert_eq!(histogram.spread().quantile(0.5), None);
        for _ in 0..100 {
            histogram.record(Duration::from_millis(3));
        }
        let spread = histogram.spread();
        // From 2.5 to 5 ms.
        assert_eq!(spread.quantile(0.5), Some(Duration::from_micros(3_750)));
        assert_eq!(spread.quantile(1.0), Some(Duration::from_millis(5)));
        histogram.record(Duration::from_mins(10));
        assert_eq!(histogram.spread().quantile(1.0), Some(Duration::from_secs(230)));
    }
}
