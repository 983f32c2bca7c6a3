//! Medians and ratios of samples.

use super::rounds::{Measured, Sample};

/// The middle of what was measured; between the middle two where they are even in number.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied().unwrap_or(f64::NAN);
    if sorted.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|place| sorted.get(place)).copied();
    f64::midpoint(lower.unwrap_or(f64::NAN), upper)
}

/// The least of what was measured: noise only adds.
pub(crate) fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

/// A count as a number to calculate with; no count here is near 2^53.
#[expect(clippy::cast_precision_loss, reason = "microseconds of seconds, bytes of megabytes")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

impl Sample {
    /// Requests a second.
    pub(crate) fn rate(&self) -> f64 {
        number(self.requests) * 1e6 / number(self.elapsed_us)
    }

    /// CPU microseconds a request.
    pub(crate) fn cpu_us(&self) -> f64 {
        number(self.cpu.nanoseconds) / 1e3 / number(self.requests)
    }
}

impl Measured {
    /// One number of every sample of a target.
    pub(crate) fn all(&self, name: &str, value: impl Fn(&Sample) -> f64) -> Vec<f64> {
        self.rounds(name).iter().flatten().map(value).collect()
    }

    /// The median over the rounds of how a target's number relates to that of `other`.
    pub(crate) fn ratio(
        &self,
        name: &str,
        other: &str,
        value: impl Fn(&Sample) -> f64,
    ) -> Option<f64> {
        let sum = |pair: &[Sample; 2]| pair.iter().map(&value).sum::<f64>();
        let pairs = self.rounds(name).iter().zip(self.rounds(other));
        let ratios: Vec<f64> = pairs.map(|(own, other)| sum(own) / sum(other)).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }

    /// CPU microseconds a request over all samples, in user space and in the kernel.
    pub(crate) fn user_and_system_us(&self, name: &str) -> (f64, f64) {
        let (mut user, mut system, mut requests) = (0, 0, 0);
        for sample in self.rounds(name).iter().flatten() {
            user += sample.cpu.user_ticks;
            system += sample.cpu.system_ticks;
            requests += sample.requests;
        }
        (number(user) * TICK_US / number(requests), number(system) * TICK_US / number(requests))
    }

    fn rounds(&self, name: &str) -> &[[Sample; 2]] {
        let own = self.targets.iter().find(|(other, _)| *other == name);
        own.map(|(_, rounds)| rounds.as_slice()).unwrap_or_default()
    }
}

/// `USER_HZ` is 100 on every Linux.
const TICK_US: f64 = 10_000.0;
