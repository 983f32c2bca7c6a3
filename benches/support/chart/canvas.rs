//! What charts are drawn on: lines, boxes and words as SVG.

/// A drawing that grows.
#[derive(Debug)]
pub(crate) struct Canvas(String);

/// Which end of words stands where they are put.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

/// The colour of words.
pub(crate) const INK: &str = "#1c2733";
/// The colour of what only helps the eye.
pub(crate) const FAINT: &str = "#d5dbe1";
const PAPER: &str = "#ffffff";

impl Canvas {
    /// An empty one of this size.
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"system-ui, sans-serif\" \
             font-size=\"12\">\n\
             <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{PAPER}\"/>\n"
        ))
    }

    /// A line from one point to another.
    pub(crate) fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        self.put(&format!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    /// A line through all points, with a dot on each.
    pub(crate) fn path(&mut self, points: &[(f64, f64)], colour: &str) {
        let text: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        self.put(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            text.join(" ")
        ));
        for (x, y) in points {
            self.put(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
        }
    }

    /// A filled box from its upper left corner.
    pub(crate) fn rectangle(&mut self, corner: (f64, f64), size: (f64, f64), colour: &str) {
        self.put(&format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            corner.0, corner.1, size.0, size.1
        ));
    }

    /// A gap in a bar that is longer than can be shown.
    pub(crate) fn gap(&mut self, (x, y): (f64, f64), height: f64) {
        self.put(&format!(
            "<polygon points=\"{:.1},{:.1} {:.1},{:.1} {:.1},{:.1} {:.1},{:.1}\" \
             fill=\"{PAPER}\"/>",
            x + 4.0,
            y - 1.0,
            x + 9.0,
            y - 1.0,
            x + 5.0,
            y + height + 1.0,
            x,
            y + height + 1.0
        ));
    }

    /// Words at a point on their base line.
    pub(crate) fn words(&mut self, at: (f64, f64), anchor: Anchor, colour: &str, text: &str) {
        self.put(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{}\" fill=\"{colour}\">{}</text>",
            at.0,
            at.1,
            anchor.name(),
            escape(text)
        ));
    }

    /// Words that run upwards, their middle at a point.
    pub(crate) fn upright(&mut self, (x, y): (f64, f64), text: &str) {
        self.put(&format!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate(-90)\" text-anchor=\"middle\" \
             fill=\"{INK}\">{}</text>",
            escape(text)
        ));
    }

    /// Words that head what is below them.
    pub(crate) fn strong(&mut self, (x, y): (f64, f64), text: &str) {
        self.put(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-weight=\"600\" fill=\"{INK}\">{}</text>",
            escape(text)
        ));
    }

    /// The title of a chart.
    pub(crate) fn heading(&mut self, x: f64, y: f64, text: &str) {
        self.put(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"16\" font-weight=\"600\" \
             fill=\"{INK}\">{}</text>",
            escape(text)
        ));
    }

    /// The whole file.
    pub(crate) fn finish(mut self) -> String {
        self.put("</svg>");
        self.0
    }

    fn put(&mut self, element: &str) {
        self.0.push_str(element);
        self.0.push('\n');
    }
}

/// The colour of whoever is measured, the same in every chart; unknown names go by their place.
pub(crate) fn colour(name: &str, place: usize) -> &'static str {
    let known = COLOURS.iter().find(|(known, _)| *known == name);
    let others = || OTHERS.get(place % OTHERS.len()).copied().unwrap_or(INK);
    known.map_or_else(others, |(_, colour)| colour)
}

/// They stay apart for those who cannot tell red from green.
const COLOURS: [(&str, &str); 12] = [
    ("forebay", "#0072b2"),
    ("forebay, no log", "#56b4e9"),
    ("forebay, disk", "#56b4e9"),
    ("nginx", "#009e73"),
    ("nginx, log", "#80cfb9"),
    ("nginx, 8 × 64 KiB", "#005c43"),
    ("haproxy", "#e69f00"),
    ("haproxy, log", "#f2cf80"),
    ("caddy", "#cc79a7"),
    ("whitenoise", "#d55e00"),
    ("relay", "#7a8692"),
    ("direct", "#a9b3bd"),
];

const OTHERS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
