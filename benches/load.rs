//! What forebay costs beside nginx and `HAProxy`: `cargo bench --bench load`.
//!
//! Everything runs on loopback. The proxies have one CPU; the load generator and the application,
//! a stub, have another. Rounds go forth and back through the peers, so that whatever else the
//! machine does meets all of them.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::process::ExitCode;

use support::machine::Machine;
use support::options::{self, Options};
use support::peer::{Bench, Kind, Peer};
use support::{Failure, check, crowd, report, rounds, standing, upstream};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some(upstream::ROLE) => upstream::run(),
        Some(crowd::ROLE) => crowd::run(&arguments),
        // `cargo test --all-targets` starts this program too.
        _ if !arguments.iter().any(|argument| argument == "--bench") => {
            println!("nothing is measured: this is started by `cargo bench --bench load`");
            Ok(())
        }
        _ => match Options::read(&arguments) {
            Ok(Some(options)) => measure(&options),
            Ok(None) => {
                println!("{}", options::HELP);
                Ok(())
            }
            Err(why) => Err(why),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Measures everything and prints it; a table comes as soon as it is complete.
fn measure(options: &Options) -> Result<(), Failure> {
    let machine = Machine::look(&options.command, &[("wrk", "wrk")])?;
    println!("{}", machine.text());
    let bench = Bench::prepare(&machine, options)?;
    let (kinds, missing) = Kind::installed();
    for kind in missing {
        println!("not measured: {} (install Debian's package `{}`)", kind.name(), kind.package());
    }
    let peers: Vec<Peer> =
        kinds.iter().map(|kind| bench.start(*kind)).collect::<Result<_, Failure>>()?;
    println!("{}", check::all_do_the_same(&bench, &peers)?);

    let mut results = Vec::new();
    for case in rounds::CASES {
        let result = rounds::run(&bench, &peers, case, options)?;
        print!("{}", report::case(&result));
        results.push(result);
    }
    drop(peers);

    let mut standings = Vec::new();
    for kind in kinds.iter().filter(|kind| **kind != Kind::Direct) {
        standings.push(standing::look(&bench, *kind, options)?);
    }
    let launcher = standing::launcher(&bench, options.starts)?;
    print!("{}", report::standing(&standings, launcher, &bench));
    println!("\nload of the machine afterwards: {}", support::machine::load());
    if let Some(path) = &options.json {
        report::write_json(path, &machine, &results, &standings, launcher)?;
        println!("all numbers: {}", path.display());
    }
    Ok(())
}
