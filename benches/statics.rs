//! What static files cost beside nginx, Caddy and `WhiteNoise`: `cargo bench --bench statics`.
//!
//! Everybody serves the same files with the same variants and sends the same bytes, and has one CPU;
//! the load generator has another. Rounds go forth and back as in `load`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::fs;
use std::process::ExitCode;

use serde_json::{Value, json};

use support::front::Place;
use support::machine::Machine;
use support::options::Choice;
use support::rounds::Plan;
use support::statics::measure::{self, Results};
use support::statics::{Files, instructions};
use support::upstream::{self, Upstream};
use support::{Failure, Tried as _, play, report};

fn main() -> ExitCode {
    let roles = [(upstream::ROLE, upstream::run as fn(&_) -> _)];
    play("statics", &roles, |arguments| run(&Choice::read("statics", arguments)?))
}

/// Measures everything and prints it; a table comes as soon as it is complete.
fn run(choice: &Choice) -> Result<(), Failure> {
    let tool = if choice.instructions { "valgrind" } else { "wrk" };
    let machine = Machine::look(&choice.command, &[(tool, tool)])?;
    println!("{}", machine.text());
    let place = Place::prepare(&machine, choice, "statics")?;
    let application = Upstream::start(place.load_cpu, place.files)?;
    if choice.instructions {
        let files = Files::write(&place, &measure::FILES)?;
        print!("{}", instructions::table(&place, &files, &application)?);
        return fs::remove_dir_all(&place.directory).tried("remove the files");
    }
    let plan = Plan {
        load_cpu: place.load_cpu,
        directory: place.directory.clone(),
        rounds: if choice.quick { 1 } else { 3 },
        seconds: 1,
    };
    let results = measure::run_all(&place, &plan, &application, |_| true)?;
    println!("\nload of the machine afterwards: {}", support::machine::load());
    if let Some(path) = &choice.json {
        report::write_value(path, &value(&machine, &results))?;
    }
    // The logs have a line for each of some millions of requests.
    fs::remove_dir_all(&place.directory).tried("remove the files")
}

fn value(machine: &Machine, results: &Results) -> Value {
    json!({
        "processor": machine.processor,
        "cores": machine.cores,
        "commit": machine.commit,
        "command": machine.command,
        "load_before": machine.load,
        "cases": results.value(),
    })
}
