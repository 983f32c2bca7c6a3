//! The report as text, for people.
//!
//! Owns: its lines, its columns, its colours, the words for times and sizes.
//! Must not know: whether there is a terminal, where the report comes from.

use std::fmt::Write as _;

use serde_json::Value;

/// Whether the text is coloured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Paint {
    /// By the codes of a terminal.
    Coloured,
    /// Not at all.
    Plain,
}

impl Paint {
    /// A phase or a state in the colour of its meaning.
    pub fn word(self, word: &str) -> String {
        let colour = match word {
            "ready" | "running" => 32,
            "starting" | "waiting" | "restarting" | "draining" => 33,
            "failed" => 31,
            _ => return word.to_owned(),
        };
        self.with(colour, word)
    }

    fn heading(self, word: &str) -> String {
        // In front of the padding, so that columns keep their width.
        self.with(1, &format!("{word:<13}"))
    }

    fn with(self, code: u8, text: &str) -> String {
        match self {
            Self::Coloured => format!("\x1b[{code}m{text}\x1b[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// The report that [`super::json()`] made, perhaps that of another version, as lines. Nothing in it can
/// steer a terminal.
pub fn text(report: &Value, paint: Paint) -> String {
    let mut lines = vec![first_line(report, paint), String::new()];
    section(&mut lines, paint, "Start", start(report, paint));
    section(&mut lines, paint, "Processes", processes(report, paint));
    section(&mut lines, paint, "Requests", requests(report));
    section(&mut lines, paint, "Latency", latency(report));
    section(&mut lines, paint, "Connections", vec![connections(report)]);
    section(&mut lines, paint, "Waiting", vec![spool(report)]);
    section(&mut lines, paint, "Static files", assets(report).into_iter().collect());
    section(&mut lines, paint, "Last errors", errors(report));
    lines.join("\n") + "\n"
}

fn section(lines: &mut Vec<String>, paint: Paint, heading: &str, content: Vec<String>) {
    for (place, line) in content.into_iter().enumerate() {
        let heading = if place == 0 { paint.heading(heading) } else { " ".repeat(13) };
        lines.push(format!("{heading} {line}").trim_end().to_owned());
    }
}

fn first_line(report: &Value, paint: Paint) -> String {
    let mut line = format!("forebay {}", word(&report["forebay"]));
    write!(line, "  {}", paint.word(&word(&report["phase"]))).unwrap_or_default();
    if let Some(time) = report["phase_seconds"].as_f64() {
        write!(line, " for {}", span(time)).unwrap_or_default();
    }
    if let Some(reason) = report["reason"].as_str() {
        write!(line, ": {}", clean(reason)).unwrap_or_default();
    }
    write!(line, "  instance {}", word(&report["instance"])).unwrap_or_default();
    if let Some(release) = report["release"].as_str() {
        write!(line, "  release {}", clean(release)).unwrap_or_default();
    }
    line
}

fn start(report: &Value, paint: Paint) -> Vec<String> {
    let start = &report["start"];
    let share = start["share"].as_f64().zip(start["limit_seconds"].as_f64());
    let share = share.map_or_else(String::new, |(share, limit)| {
        format!(", {:.0} % of the platform's {}", share * 100.0, span(limit))
    });
    let up = span(number(&report["uptime_seconds"]));
    let first = match start["ready_after_seconds"].as_f64() {
        Some(time) => format!("ready after {}{share}; runs for {up}", span(time)),
        None => format!("not ready yet after {up}{share}"),
    };
    let rows = list(&report["timeline"]).iter().map(|step| {
        let phase = word(&step["phase"]);
        vec![
            Cell::painted(paint.word(&phase), &phase),
            Cell::right(span(number(&step["seconds"]))),
            Cell::left(word(&step["reason"])),
        ]
    });
    [vec![first], table(&rows.collect::<Vec<_>>())].concat()
}

fn processes(report: &Value, paint: Paint) -> Vec<String> {
    let rows = list(&report["processes"]).iter().map(|process| {
        let state = word(&process["state"]);
        let restarts = number(&process["restarts"]);
        let last = process["last_exit"].as_str().map(|it| format!("last: {}", clean(it)));
        vec![
            Cell::left(word(&process["name"])),
            Cell::left(word(&process["role"])),
            Cell::painted(paint.word(&state), &state),
            Cell::right(span(number(&process["state_seconds"]))),
            Cell::left(
                process["pid"].as_i64().map_or_else(String::new, |pid| format!("pid {pid}")),
            ),
            Cell::right(process["memory_bytes"].as_f64().map_or_else(String::new, size)),
            Cell::left(match restarts {
                0.0 => String::new(),
                1.0 => "1 restart".to_owned(),
                _ => format!("{restarts} restarts"),
            }),
            Cell::left(last.unwrap_or_default()),
        ]
    });
    table(&rows.collect::<Vec<_>>())
}

fn requests(report: &Value) -> Vec<String> {
    let requests = &report["requests"];
    let at = |name: &str| number(&requests[name]);
    let mut lines = vec![format!(
        "{} in flight, {} of {} in the application, {} of {} waiting",
        at("in_flight"),
        at("in_application"),
        at("concurrency"),
        at("waiting"),
        at("queue_limit"),
    )];
    lines.push(format!(
        "{} so far; {} waited for a place, {} for the application, {} sent again",
        at("total"),
        at("queued_total"),
        at("held_total"),
        at("repeated_total"),
    ));
    let ways = requests["by_route"].as_object().into_iter().flatten();
    let rows = ways.filter_map(|(way, classes)| {
        let classes = classes.as_object()?;
        if classes.values().all(|count| number(count) == 0.0) {
            return None;
        }
        let counts =
            classes.iter().map(|(class, count)| Cell::right(format!("{class} {}", number(count))));
        Some(std::iter::once(Cell::left(clean(way))).chain(counts).collect())
    });
    lines.extend(table(&rows.collect::<Vec<_>>()));
    lines
}

fn latency(report: &Value) -> Vec<String> {
    let parts = [
        ("queue", "in line"),
        ("connect", "connect"),
        ("first_byte", "first byte"),
        ("total", "total"),
    ];
    let latency = &report["latency"];
    let rows = parts.into_iter().filter_map(|(name, shown)| {
        let part = latency.get(name).unwrap_or(&Value::Null);
        let at = |name: &str| {
            let time = part[name].as_f64();
            Cell::right(time.map_or_else(|| "-".to_owned(), span))
        };
        (number(&part["count"]) > 0.0).then(|| {
            vec![
                Cell::left(shown.to_owned()),
                Cell::left("half".to_owned()),
                at("p50_seconds"),
                Cell::left("90 %".to_owned()),
                at("p90_seconds"),
                Cell::left("99 %".to_owned()),
                at("p99_seconds"),
            ]
        })
    });
    table(&rows.collect::<Vec<_>>())
}

fn connections(report: &Value) -> String {
    let connections = &report["connections"];
    let at = |name: &str| number(&connections[name]);
    format!(
        "{} of {} open, {} of {} tunnels; {} to the application, {} of them idle",
        at("open"),
        at("limit"),
        at("tunnels"),
        at("tunnel_limit"),
        at("application_open"),
        at("application_idle"),
    )
}

fn spool(report: &Value) -> String {
    let spool = &report["spool"];
    let at = |name: &str| size(number(&spool[name]));
    format!(
        "{} of {} in memory, {} of {} in files",
        at("memory_bytes"),
        at("memory_limit_bytes"),
        at("disk_bytes"),
        at("disk_limit_bytes"),
    )
}

fn assets(report: &Value) -> Option<String> {
    let assets = &report["assets"];
    let files = assets["files"].as_f64()?;
    let (bytes, memory) = (size(number(&assets["bytes"])), size(number(&assets["memory_bytes"])));
    let age = span(number(&assets["age_seconds"]));
    Some(format!("{files} files, {bytes}, {memory} in memory; read {age} ago"))
}

fn errors(report: &Value) -> Vec<String> {
    let rows = list(&report["errors"]).iter().map(|error| {
        vec![
            Cell::left(word(&error["at"])),
            Cell::left(word(&error["status"])),
            Cell::left(word(&error["code"])),
            Cell::left(word(&error["method"])),
            Cell::left(word(&error["path"])),
        ]
    });
    table(&rows.take(ERRORS_SHOWN).collect::<Vec<_>>())
}

/// So many errors are shown in a terminal; JSON and the page have all.
const ERRORS_SHOWN: usize = 10;

/// A cell, and how many letters of it are seen.
struct Cell {
    text: String,
    width: usize,
    is_right: bool,
}

impl Cell {
    fn left(text: String) -> Self {
        Self { width: text.chars().count(), text, is_right: false }
    }

    fn right(text: String) -> Self {
        Self { is_right: true, ..Self::left(text) }
    }

    fn painted(text: String, bare: &str) -> Self {
        Self { width: bare.chars().count(), text, is_right: false }
    }
}

/// Lines with columns as wide as their widest cell.
fn table(rows: &[Vec<Cell>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<Cell>| {
        let cells = row.iter().zip(&widths).filter(|(_, width)| **width > 0);
        let padded = cells.map(|(cell, width)| {
            let blanks = " ".repeat(width - cell.width);
            if cell.is_right { blanks + &cell.text } else { cell.text.clone() + &blanks }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A time in words: two units at most.
pub fn span(seconds: f64) -> String {
    let [minute, hour, day] = [60.0, 3600.0, 86400.0];
    if seconds < 0.000_999_5 {
        format!("{:.0}us", seconds * 1e6)
    } else if seconds < 0.9995 {
        let milliseconds = seconds * 1e3;
        if milliseconds < 10.0 {
            format!("{milliseconds:.1}ms")
        } else {
            format!("{milliseconds:.0}ms")
        }
    } else if seconds < 10.0 {
        format!("{seconds:.1}s")
    } else if seconds < minute {
        format!("{seconds:.0}s")
    } else if seconds < hour {
        format!("{:.0}m {:02.0}s", (seconds / minute).floor(), (seconds % minute).floor())
    } else if seconds < day {
        format!("{:.0}h {:02.0}m", (seconds / hour).floor(), (seconds % hour / minute).floor())
    } else {
        format!("{:.0}d {:02.0}h", (seconds / day).floor(), (seconds % day / hour).floor())
    }
}

/// A number of bytes in words.
pub(super) fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB"] {
        if value < 1024.0 {
            let places = usize::from(value < 10.0 && unit != "B" && value.fract() > 0.05);
            return format!("{value:.places$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} GiB")
}

/// A text without anything that steers a terminal or turns its direction.
pub fn clean(text: &str) -> String {
    let is_odd = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|letter| if is_odd(letter) { '?' } else { letter }).collect()
}

/// A text or a number; nothing for what is neither.
pub(super) fn word(value: &Value) -> String {
    match value {
        Value::String(text) => clean(text),
        Value::Number(number) => number.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

pub(super) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use super::super::tests::report;
    use super::*;

    #[test]
    fn columns_are_aligned_and_colours_change_no_width() {
        let report = json(&report());
        let plain = text(&report, Paint::Plain);
        let coloured = text(&report, Paint::Coloured);
        let mut bare = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[") {
            bare.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        bare.push_str(rest);
        assert_eq!(bare, plain);
        assert!(
            plain.starts_with(
                "forebay 0.1.0  ready for 1h 06m  instance 1a2b3c4d  release abc123\n\n"
            )
        );
        let column = |part: &str| plain.lines().find_map(|line| line.find(part)).unwrap();
        assert_eq!(column("running"), column("restarting"));
        assert!(plain.contains("ready after 8.0s, 3 % of the platform's 3m 50s"), "{plain}");
        assert!(plain.contains("123 MiB"), "{plain}");
    }

    #[test]
    fn what_is_not_there_is_not_told_and_nothing_steers_a_terminal() {
        assert!(!text(&Value::Null, Paint::Plain).contains("Processes"));
        let mut report = json(&report());
        report["instance"] = "\x1b[2J\u{9b}1m\u{202e}x".into();
        let text = text(&report, Paint::Plain);
        assert!(text.contains("instance ?[2J?1m?x "), "{text:?}");
    }

    #[test]
    fn times_and_sizes_have_their_units() {
        let spans = [0.0001, 0.0025, 0.25, 1.0, 12.3, 61.0, 3700.0, 90_000.0].map(span);
        assert_eq!(spans, ["100us", "2.5ms", "250ms", "1.0s", "12s", "1m 01s", "1h 01m", "1d 01h"]);
        let sizes = [0.0, 1023.0, 1024.0, 1536.0, 123e6, 5e9].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "1.5 KiB", "117 MiB", "4.7 GiB"]);
    }
}
