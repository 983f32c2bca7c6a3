//! Curves: how one thing goes with another, a line for each of those who are compared.

use super::axis::{Axis, Scale, short};
use super::canvas::{Anchor, Canvas, FAINT, INK, colour};
use super::{MARGIN, WIDTH};

/// A chart of curves.
#[derive(Clone, Debug)]
pub(crate) struct Curves {
    pub(crate) title: String,
    /// What the horizontal axis counts, with its unit.
    pub(crate) across: String,
    pub(crate) across_scale: Scale,
    /// What the vertical axis counts, with its unit.
    pub(crate) up: String,
    pub(crate) up_scale: Scale,
    pub(crate) curves: Vec<Curve>,
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pub(crate) name: String,
    /// In the order of the first number of each.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curves {
    pub(super) fn draw(&self, canvas: &mut Canvas, top: f64) {
        let points = || self.curves.iter().flat_map(|curve| &curve.points).copied();
        let across = Axis::over(self.across_scale, points().map(|(x, _)| x));
        let up = Axis::over(self.up_scale, points().map(|(_, y)| y));
        let bottom = top + HEIGHT - FOOT;
        let top = top + 8.0;
        let x = |value: f64| LEFT + across.place(value) * (RIGHT - LEFT);
        let y = |value: f64| bottom - up.place(value) * (bottom - top);
        for tick in up.ticks() {
            canvas.line((LEFT, y(*tick)), (RIGHT, y(*tick)), FAINT);
            canvas.words((LEFT - 8.0, y(*tick) + 4.0), Anchor::End, INK, &short(*tick));
        }
        for tick in across.ticks() {
            canvas.line((x(*tick), top), (x(*tick), bottom), FAINT);
            canvas.words((x(*tick), bottom + 18.0), Anchor::Middle, INK, &short(*tick));
        }
        canvas.words(
            (f64::midpoint(LEFT, RIGHT), bottom + 38.0),
            Anchor::Middle,
            INK,
            &self.across,
        );
        canvas.upright((MARGIN + 12.0, f64::midpoint(top, bottom)), &self.up);

        let mut ends = Vec::new();
        for (place, curve) in self.curves.iter().enumerate() {
            let drawn: Vec<_> = curve.points.iter().map(|point| (x(point.0), y(point.1))).collect();
            let Some(end) = drawn.last() else { continue };
            let colour = colour(&curve.name, place);
            canvas.path(&drawn, colour);
            ends.push((*end, colour, curve.name.as_str()));
        }
        names(canvas, ends);
    }
}

/// Writes the name of each line behind its end, none over another.
fn names(canvas: &mut Canvas, mut ends: Vec<((f64, f64), &str, &str)>) {
    ends.sort_by(|(one, ..), (other, ..)| one.1.total_cmp(&other.1));
    let mut free = f64::MIN;
    for ((x, y), colour, name) in ends {
        let base = (y + 4.0).max(free);
        free = base + 15.0;
        let begin = RIGHT + 18.0;
        canvas.line((x + 4.0, y), (begin - 4.0, base - 4.0), colour);
        canvas.words((begin, base), Anchor::Start, INK, name);
    }
}

/// The height of every chart of curves, but for its title.
pub(super) const HEIGHT: f64 = 340.0;
/// The plot's left and right side.
const LEFT: f64 = 110.0;
const RIGHT: f64 = WIDTH - 210.0;
/// The numbers and the name of the axis below.
const FOOT: f64 = 48.0;
