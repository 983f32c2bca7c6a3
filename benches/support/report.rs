//! The tables, and the file with every number.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::chart::bars::Group;
use super::numbers::{least, median, number};
use super::rounds::{Measured, Sample};
use super::standing::{MOMENTS, Standing};
use super::{Failure, Tried as _};

/// The table of one case, with ratios to each of `others`; that of the rates is to the first.
pub(crate) fn case(measured: &Measured, others: &[&str]) -> String {
    let mut head = vec![String::new(), "req/s".to_owned()];
    head.extend(others.first().map(|other| format!("÷ {other}")));
    head.extend(["CPU µs/req", "min"].map(str::to_owned));
    head.extend(others.iter().map(|other| format!("÷ {other}")));
    head.extend(["user", "sys", "p50", "p99", "p99.9 ms"].map(str::to_owned));
    let mut rows = vec![head];
    for (name, _) in &measured.targets {
        let all = |value: fn(&Sample) -> f64| median(&measured.all(name, value));
        let ratio = |other: &&str, value: fn(&Sample) -> f64| {
            let ratio = measured.ratio(name, other, value);
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        let mut row = vec![(*name).to_owned(), format!("{:.0}", all(Sample::rate))];
        row.extend(others.first().map(|other| ratio(other, Sample::rate)));
        if all(Sample::cpu_us) > 0.0 {
            let (user, system) = measured.user_and_system_us(name);
            row.push(format!("{:.1}", all(Sample::cpu_us)));
            row.push(format!("{:.1}", least(&measured.all(name, Sample::cpu_us))));
            row.extend(others.iter().map(|other| ratio(other, Sample::cpu_us)));
            row.extend([format!("{user:.1}"), format!("{system:.1}")]);
        } else {
            row.extend(std::iter::repeat_n("-".to_owned(), 4 + others.len()));
        }
        for latency in [
            |sample: &Sample| number(sample.p50_us),
            |sample: &Sample| number(sample.p99_us),
            |sample: &Sample| number(sample.p999_us),
        ] {
            row.push(format!("{:.2}", all(latency) / 1e3));
        }
        rows.push(row);
    }
    let samples = measured.targets.first().map_or(0, |(_, rounds)| rounds.len() * 2);
    format!(
        "\n{}: medians of {samples} samples; ratios are medians over rounds\n{}",
        measured.case.text(),
        table(&rows)
    )
}

/// The bars of one case: CPU time of those who have some of their own.
pub(crate) fn case_bars(measured: &Measured) -> Group {
    let cpu_us = |name: &str| median(&measured.all(name, Sample::cpu_us));
    let bars = measured.targets.iter().map(|(name, _)| ((*name).to_owned(), cpu_us(name)));
    Group { name: measured.case.text(), bars: bars.filter(|(_, cpu_us)| *cpu_us > 0.0).collect() }
}

/// The table of what does not depend on requests.
pub(crate) fn standing(standings: &[Standing], launcher_ms: f64, crowd: usize) -> String {
    let mut head = vec![String::new(), "start ms".to_owned()];
    head.extend(MOMENTS.iter().map(|moment| moment.replace("many", &crowd.to_string())));
    head.extend(["peak RSS".to_owned(), "binary".to_owned()]);
    let mut rows = vec![head];
    for standing in standings {
        let mut row = vec![standing.name.to_owned(), format!("{:.1}", standing.start_ms)];
        row.extend(
            standing.memory_kib.iter().chain([&standing.peak_kib]).map(|kib| mib(kib * 1024)),
        );
        row.push(mib(standing.binary_bytes));
        rows.push(row);
    }
    format!(
        "\nStart to first answer (of it {launcher_ms:.1} ms for sh, setpriv and taskset), memory \
         (PSS) and size, in MiB\n{}",
        table(&rows)
    )
}

pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1}", number(bytes) / f64::from(1 << 20))
}

/// Cells in columns; all but the first to the right.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(|(place, (cell, width))| match place {
            0 => format!("  {cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        });
        text.extend(cells);
        text.push('\n');
    }
    text
}

/// Writes a value to a file.
pub(crate) fn write_value(path: &Path, value: &Value) -> Result<(), Failure> {
    fs::write(path, format!("{value:#}\n")).tried("write the file with the numbers")
}

/// All numbers of one case.
pub(crate) fn case_json(measured: &Measured) -> Value {
    let targets = measured.targets.iter().map(|(name, rounds)| {
        let samples: Vec<_> =
            rounds.iter().map(|round| round.each_ref().map(sample_json)).collect();
        ((*name).to_owned(), json!(samples))
    });
    json!({
        "name": measured.case.name,
        "connections": measured.case.connections,
        "peers": Value::Object(targets.collect()),
    })
}

/// All numbers of one sample.
pub(crate) fn sample_json(sample: &Sample) -> Value {
    json!({
        "requests": sample.requests,
        "elapsed_us": sample.elapsed_us,
        "cpu_ns": sample.cpu.nanoseconds,
        "user_ticks": sample.cpu.user_ticks,
        "system_ticks": sample.cpu.system_ticks,
        "p50_us": sample.p50_us,
        "p99_us": sample.p99_us,
        "p999_us": sample.p999_us,
    })
}

/// All numbers of what one peer costs by being there.
pub(crate) fn standing_json(standing: &Standing) -> Value {
    json!({
        "peer": standing.name,
        "start_ms": standing.start_ms,
        "memory_moments": MOMENTS,
        "memory_kib": standing.memory_kib,
        "peak_kib": standing.peak_kib,
        "binary_bytes": standing.binary_bytes,
    })
}
