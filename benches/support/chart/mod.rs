//! Charts: drawings of what the tables say, one below the other in a file of their own.
//!
//! A file is SVG that needs nothing beside it; it has a background of its own, so that it can be
//! read on a light page and on a dark one.

pub(crate) mod axis;
pub(crate) mod bars;
pub(crate) mod curves;
mod canvas;

use bars::Bars;
use canvas::{Canvas, INK};
use curves::Curves;

/// A chart, its title above it.
#[derive(Clone, Debug)]
pub(crate) enum Chart {
    Bars(Bars),
    Curves(Curves),
}

impl From<Bars> for Chart {
    fn from(bars: Bars) -> Self {
        Self::Bars(bars)
    }
}

impl From<Curves> for Chart {
    fn from(curves: Curves) -> Self {
        Self::Curves(curves)
    }
}

impl Chart {
    fn title(&self) -> &str {
        match self {
            Self::Bars(bars) => &bars.title,
            Self::Curves(curves) => &curves.title,
        }
    }

    fn height(&self) -> f64 {
        TITLE
            + match self {
                Self::Bars(bars) => bars.height(),
                Self::Curves(_) => curves::HEIGHT,
            }
    }
}

/// All charts as the text of one file; `note` says where the numbers come from.
pub(crate) fn sheet(charts: &[Chart], note: &str) -> String {
    let height = MARGIN + charts.iter().map(|chart| chart.height() + GAP).sum::<f64>() + NOTE;
    let mut canvas = Canvas::new(WIDTH, height);
    let mut top = MARGIN;
    for chart in charts {
        canvas.heading(MARGIN, top + 18.0, chart.title());
        let below = top + TITLE;
        match chart {
            Chart::Bars(bars) => bars.draw(&mut canvas, below),
            Chart::Curves(curves) => curves.draw(&mut canvas, below),
        }
        top += chart.height() + GAP;
    }
    canvas.words((MARGIN, top), canvas::Anchor::Start, INK, note);
    canvas.finish()
}

/// The width of every chart.
const WIDTH: f64 = 960.0;
/// What stays free on every side.
const MARGIN: f64 = 24.0;
/// Room for a title.
const TITLE: f64 = 34.0;
/// Between two charts.
const GAP: f64 = 28.0;
/// Room for the note at the bottom.
const NOTE: f64 = 16.0;
