//! Bars in groups: one group for each case, one bar for each of those who are compared.

use super::axis::{Axis, Scale, short};
use super::canvas::{Anchor, Canvas, FAINT, INK, colour};
use super::{MARGIN, WIDTH};
use crate::support::numbers::median;

/// A chart of bars that lie.
#[derive(Clone, Debug)]
pub(crate) struct Bars {
    pub(crate) title: String,
    /// What the axis counts, with its unit.
    pub(crate) axis: String,
    pub(crate) groups: Vec<Group>,
}

/// The bars of one case.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Who, and how much.
    pub(crate) bars: Vec<(String, f64)>,
}

impl Bars {
    /// The same as charts of their own where groups are too far apart for one axis.
    pub(crate) fn apart(self) -> Vec<Self> {
        let middle =
            |group: &Group| median(&group.bars.iter().map(|(_, value)| *value).collect::<Vec<_>>());
        let mut charts: Vec<Self> = Vec::new();
        for group in self.groups {
            let near = charts.iter_mut().find(|chart| {
                let ratio = chart.groups.first().map_or(f64::NAN, middle) / middle(&group);
                (0.25..=4.0).contains(&ratio)
            });
            match near {
                Some(chart) => chart.groups.push(group),
                None => charts.push(Self {
                    title: self.title.clone(),
                    axis: self.axis.clone(),
                    groups: vec![group],
                }),
            }
        }
        charts
    }

    pub(super) fn height(&self) -> f64 {
        let bars: f64 = self.groups.iter().flat_map(|group| &group.bars).map(|_| ROW).sum();
        let heads: f64 = self.groups.iter().map(|_| HEAD).sum();
        bars + heads + FOOT
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, top: f64) {
        let axis = Axis::over(Scale::Linear, std::iter::once(self.longest()));
        let bottom = top + self.height() - FOOT;
        let x = |value: f64| LEFT + axis.place(value) * (RIGHT - LEFT);
        for tick in axis.ticks() {
            canvas.line((x(*tick), top + 4.0), (x(*tick), bottom), FAINT);
            canvas.words((x(*tick), bottom + 16.0), Anchor::Middle, INK, &short(*tick));
        }
        canvas.words((f64::midpoint(LEFT, RIGHT), bottom + 36.0), Anchor::Middle, INK, &self.axis);
        let mut y = top;
        for group in &self.groups {
            y += HEAD;
            canvas.strong((MARGIN, y - 5.0), &group.name);
            for (place, (name, value)) in group.bars.iter().enumerate() {
                let base = y + ROW - 4.0;
                canvas.words((LEFT - 8.0, base), Anchor::End, INK, name);
                let end = x(*value).min(RIGHT);
                let size = ((end - LEFT).max(1.0), ROW - 4.0);
                canvas.rectangle((LEFT, y + 1.0), size, colour(name, place));
                if x(*value) > RIGHT {
                    canvas.gap((RIGHT - 24.0, y + 1.0), ROW - 4.0);
                }
                canvas.words((end + 6.0, base), Anchor::Start, INK, &short(*value));
                y += ROW;
            }
        }
    }

    /// The longest bar that is shown whole: who is far away from all others would make these short.
    fn longest(&self) -> f64 {
        let values: Vec<f64> =
            self.groups.iter().flat_map(|group| &group.bars).map(|(_, value)| *value).collect();
        let far = 4.0 * median(&values);
        values.iter().copied().filter(|value| *value <= far).fold(0.0, f64::max)
    }
}

/// Where bars begin and end.
const LEFT: f64 = 170.0;
const RIGHT: f64 = WIDTH - MARGIN - 56.0;
/// A bar and the space below it.
const ROW: f64 = 18.0;
/// The name of a group.
const HEAD: f64 = 24.0;
/// The numbers and the name of the axis.
const FOOT: f64 = 44.0;
