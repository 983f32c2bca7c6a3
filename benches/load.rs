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
use support::{Failure, check, crowd, play, report, rounds, standing, upstream};

fn main() -> ExitCode {
    let roles = [(upstream::ROLE, upstream::run as fn(&_) -> _), (crowd::ROLE, crowd::run)];
    play("load", &roles, |arguments| {
        if let Some(options) = Options::read(arguments)? {
            return measure(&options);
        }
        println!("{}", options::HELP);
        Ok(())
    })
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
