//! How many instructions a request takes: `cargo bench --bench instructions`.
//!
//! Unlike time it does not depend on what else the machine does, so that a change that makes forebay
//! slower is seen by its commit: `.ci/run` compares with what is on record.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::fs;
use std::process::ExitCode;

use support::front::{Front, Place};
use support::instructions::{self, CASES, Record};
use support::machine::Machine;
use support::numbers::number;
use support::options::{self, Choice};
use support::upstream::{self, Upstream};
use support::{Failure, Tried as _, play, report};

fn main() -> ExitCode {
    let roles = [(upstream::ROLE, upstream::run as fn(&_) -> _)];
    play("instructions", &roles, |arguments| measure(&Choice::read("instructions", arguments)?))
}

/// By how much a count may differ from its record: what the system hands over in one piece or in two
/// is not the same each time, and copying takes another way on another processor.
const MARGIN: f64 = 0.08;

fn measure(choice: &Choice) -> Result<(), Failure> {
    let machine = Machine::look(&choice.command, &[("valgrind", "valgrind")])?;
    println!("{}", machine.text());
    let place = Place::prepare(&machine, choice, "instructions")?;
    let application = Upstream::start(place.load_cpu, place.files)?;
    // Who only compares needs no others.
    let is_check = choice.record == options::Record::Check;
    let peers: &[Front] = if is_check { &[] } else { &[Front::Nginx, Front::Haproxy] };
    let peers = Front::installed(peers);
    let old = Record::read()?;
    let (new, table) = instructions::count(&place, &application, &peers, &old, &CASES.each_ref())?;
    print!("{table}");
    fs::remove_dir_all(&place.directory).tried("remove the files")?;
    if let Some(path) = &choice.json {
        report::write_value(path, &new.value())?;
    }
    match choice.record {
        options::Record::Show => Ok(()),
        options::Record::Check => compare(&old, &new),
        options::Record::Replace => new.write(),
    }
}

/// Fails where a count has left its margin: one that fell has to go on record too, or it would hide
/// the next one that rises.
fn compare(old: &Record, new: &Record) -> Result<(), Failure> {
    let mut far = Vec::new();
    for case in &CASES {
        let count = new.of(case.name).unwrap_or_default();
        let recorded = old.of(case.name).unwrap_or_default();
        if (number(count) / number(recorded) - 1.0).abs() > MARGIN {
            far.push(format!("  {}: {count}, on record are {recorded}", case.name));
        }
    }
    if far.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "instructions a request are more than {:.0} % from what is on record:\n{}\n\
         mend: look at what the change costs, or put it on record and say why in the commit:\n\
         cargo bench --bench instructions -- --record",
        MARGIN * 100.0,
        far.join("\n")
    )))
}
