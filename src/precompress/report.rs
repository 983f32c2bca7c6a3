//! What is said: a bar or lines meanwhile, a summary at the end.
//!
//! Owns: standard output, the words, how sizes are written.
//! Must not know: what is done next.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::plan::Wanted;
use super::record::Record;
use super::{Error, Show};
use crate::coding::Coding;

/// Speaks to whoever started the command.
pub(super) struct Report<'a> {
    show: Show,
    complain: &'a mut dyn FnMut(&Error),
    bar: ProgressBar,
    /// Whether anything went wrong.
    pub(super) has_errors: bool,
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Report").field("show", &self.show).finish_non_exhaustive()
    }
}

impl<'a> Report<'a> {
    pub(super) fn new(show: Show, complain: &'a mut dyn FnMut(&Error)) -> Self {
        Self { show, complain, bar: ProgressBar::hidden(), has_errors: false }
    }

    /// Begins to show how much of some work is done.
    pub(super) fn begin(&mut self, work: u64) {
        if self.show == Show::Bar {
            self.bar = ProgressBar::new(work);
            let style = ProgressStyle::with_template("{elapsed} {wide_bar} {percent} % {msg}");
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            self.bar.enable_steady_tick(Duration::from_millis(200));
        }
    }

    /// So much more is done.
    pub(super) fn advance(&mut self, work: u64, left: usize) {
        self.bar.inc(work);
        self.bar.set_message(format!("{left} to go"));
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        self.bar.finish_and_clear();
    }

    /// Something that is done, where no bar shows it.
    pub(super) fn line(&mut self, text: fmt::Arguments<'_>) {
        if self.show == Show::Lines {
            self.say(&format!("{text}\n"));
        }
    }

    /// Something that one would not expect.
    pub(super) fn note(&mut self, text: fmt::Arguments<'_>) {
        if self.show != Show::Nothing {
            self.say(&format!("{text}\n"));
        }
    }

    pub(super) fn error(&mut self, why: &Error) {
        self.has_errors = true;
        self.bar.suspend(|| (self.complain)(why));
    }

    /// The table at the end.
    pub(super) fn summary(&mut self, record: &Record, wanted: &Wanted, time: Duration) {
        if self.show != Show::Nothing {
            let totals = wanted.keys().map(|coding| (*coding, Total::of(record, *coding)));
            self.say(&table(&totals.collect(), record.0.len(), time));
        }
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| {
            // Nobody listens, as in `forebay compress static | head`; the work goes on.
            drop(io::stdout().write_all(text.as_bytes()));
        });
    }
}

/// All variants of one coding.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Total {
    variants: usize,
    /// Of the files that have one.
    before: u64,
    after: u64,
}

impl Total {
    fn of(record: &Record, coding: Coding) -> Self {
        let mut total = Self::default();
        for entry in record.0.values() {
            if let Some(variant) = entry.results.get(&coding).and_then(|it| it.variant.as_ref()) {
                total.variants += 1;
                total.before += entry.seen.bytes;
                total.after += variant.bytes;
            }
        }
        total
    }
}

fn table(totals: &BTreeMap<Coding, Total>, files: usize, time: Duration) -> String {
    use fmt::Write as _;

    let mut text = format!("{:<6}{:>10}{:>14}{:>14}\n", "", "variants", "before", "after");
    for (coding, Total { variants, before, after }) in totals {
        let share = 100 * u128::from(*after) / u128::from((*before).max(1));
        let (before, after) = (Size(*before).to_string(), Size(*after).to_string());
        let name = coding.name();
        writeln!(text, "{name:<6}{variants:>10}{before:>14}{after:>14}{share:>5} %")
            .unwrap_or_default();
    }
    writeln!(text, "{files} files in {:.1} s", time.as_secs_f64()).unwrap_or_default();
    text
}

/// A path beneath the directory, as it is said.
pub(super) fn beneath<'p>(root: &Path, path: &'p Path) -> std::path::Display<'p> {
    path.strip_prefix(root).unwrap_or(path).display()
}

/// A number of bytes, as people write it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths =
            |unit: u64| (u128::from(self.0) * 10 + u128::from(unit) / 2) / u128::from(unit);
        let (tenths, unit) = match self.0 {
            0..1024 => return f.pad(&format!("{} B", self.0)),
            1024..1_048_524 => (tenths(1 << 10), "KiB"),
            _ => (tenths(1 << 20), "MiB"),
        };
        f.pad(&format!("{}.{} {unit}", tenths / 10, tenths % 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_written_with_the_unit_that_fits() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1_048_523, "1023.9 KiB"),
            (1_048_524, "1.0 MiB"),
            (64 << 20, "64.0 MiB"),
            (u64::MAX, "17592186044416.0 MiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn the_table_stands_in_columns() {
        let total = Total { variants: 12, before: 1 << 20, after: 200 << 10 };
        let totals = [(Coding::Brotli, total), (Coding::Gzip, Total::default())].into();
        assert_eq!(
            table(&totals, 13, Duration::from_millis(1234)),
            "        variants        before         after\n\
             br            12       1.0 MiB     200.0 KiB   19 %\n\
             gzip           0           0 B           0 B    0 %\n\
             13 files in 1.2 s\n"
        );
    }
}
