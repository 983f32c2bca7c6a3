//! Where a value stands on an axis, and which values are marked on it.

/// How an axis spaces its values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scale {
    /// From zero, in equal steps.
    Linear,
    /// By powers; zero and less have no place on it.
    Logarithmic,
}

/// An axis between its ends.
#[derive(Debug)]
pub(crate) struct Axis {
    scale: Scale,
    least: f64,
    most: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// An axis with room for all values.
    pub(crate) fn over(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values
            .filter(|value| value.is_finite() && (scale == Scale::Linear || *value > 0.0))
            .collect();
        let most = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        match scale {
            Scale::Linear => Self::linear(most),
            Scale::Logarithmic => {
                Self::logarithmic(values.iter().copied().fold(most, f64::min), most)
            }
        }
    }

    fn linear(most: f64) -> Self {
        let rough = most / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step =
            [1.0, 2.0, 2.5, 5.0, 10.0].map(|times| times * power).into_iter().find(|s| *s >= rough);
        let step = step.unwrap_or(rough);
        let mut ticks = vec![0.0];
        let mut end = 0.0;
        while end < most {
            end += step;
            ticks.push(end);
        }
        Self { scale: Scale::Linear, least: 0.0, most: end, ticks }
    }

    fn logarithmic(least: f64, most: f64) -> Self {
        let mut ticks = Vec::new();
        let mut power = 10_f64.powf(least.log10().floor());
        let wide = most / least > 500.0;
        while power <= most * 1.0001 {
            let times: &[f64] = if wide { &[1.0] } else { &[1.0, 2.0, 5.0] };
            ticks.extend(times.iter().map(|times| times * power));
            power *= 10.0;
        }
        ticks.push(power);
        // From the last mark below everything to the first above it.
        let first = ticks.iter().rposition(|tick| *tick <= least * 1.0001).unwrap_or(0);
        let last = ticks.iter().position(|tick| *tick >= most * 0.9999);
        let last = last.unwrap_or(ticks.len().saturating_sub(1)).max(first + 1);
        let ticks: Vec<f64> = ticks.into_iter().take(last + 1).skip(first).collect();
        let ends = (ticks.first().copied(), ticks.last().copied());
        Self {
            scale: Scale::Logarithmic,
            least: ends.0.unwrap_or(least),
            most: ends.1.unwrap_or(most),
            ticks,
        }
    }

    /// The values that are marked.
    pub(crate) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// Where a value stands: 0 at the axis' beginning, 1 at its end.
    pub(crate) fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value / self.most,
            Scale::Logarithmic => (value / self.least).ln() / (self.most / self.least).ln(),
        }
    }
}

/// A number as short as its size allows, with commas between thousands.
pub(crate) fn short(value: f64) -> String {
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 || size == 0.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let rest = rest.trim_end_matches('0');
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        let left = whole.len() - place;
        if left % 3 == 0 && grouped.ends_with(|last: char| last.is_ascii_digit()) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if rest.is_empty() { grouped } else { format!("{grouped}.{rest}") }
}
