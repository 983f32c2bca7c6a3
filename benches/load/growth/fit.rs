//! How costs grow: the exponent that fits, and what that is called.

/// What costs do as work grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Flat,
    /// No more than in proportion.
    Linear,
    Worse,
    /// Fewer than two points.
    Unknown,
}

impl Verdict {
    /// The word in the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Linear => "linear at most",
            Self::Worse => "worse than linear",
            Self::Unknown => "-",
        }
    }
}

/// A power of the work that costs follow: over all points, and over the latter half of them, where
/// a start that costs the same for all no longer hides how the rest grows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fit {
    pub(super) all: f64,
    pub(super) end: f64,
}

impl Fit {
    /// Fits points of work and cost; both must be above zero.
    pub(super) fn of(points: &[(f64, f64)]) -> Self {
        let latter = points.get(points.len().saturating_sub(points.len().div_ceil(2).max(2))..);
        Self { all: exponent(points), end: exponent(latter.unwrap_or_default()) }
    }

    /// The worse of the two, which counts.
    pub(super) fn worse(self) -> f64 {
        self.all.max(self.end)
    }

    pub(super) fn verdict(self) -> Verdict {
        let exponent = self.worse();
        if exponent.is_nan() {
            Verdict::Unknown
        } else if exponent < FLAT {
            Verdict::Flat
        } else if exponent < LINEAR {
            Verdict::Linear
        } else {
            Verdict::Worse
        }
    }
}

/// Up to this exponent a cost counts as flat, and up to this one as linear: so much is noise.
pub(super) const FLAT: f64 = 0.1;
pub(super) const LINEAR: f64 = 1.1;

/// The slope of the line through the logarithms with the least squares.
fn exponent(points: &[(f64, f64)]) -> f64 {
    let logarithms: Vec<_> = points.iter().map(|(work, cost)| (work.ln(), cost.ln())).collect();
    let sum = |value: fn(&(f64, f64)) -> f64| logarithms.iter().map(value).sum::<f64>();
    let count = sum(|_| 1.0);
    let (work, cost) = (sum(|(work, _)| *work), sum(|(_, cost)| *cost));
    let (both, square) = (sum(|(work, cost)| work * cost), sum(|(work, _)| work * work));
    (count * both - work * cost) / (count * square - work * work)
}
