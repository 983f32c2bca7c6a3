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
use support::rounds::{Case, Plan};
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

/// What is measured.
const CASES: [Case; 4] = [
    Case { name: "200 B", path: "/b200", connections: 16 },
    Case { name: "200 B", path: "/b200", connections: 64 },
    Case { name: "10 KiB", path: "/b10k", connections: 16 },
    Case { name: "10 KiB", path: "/b10k", connections: 64 },
];

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
    let plan = Plan {
        load_cpu: bench.load_cpu,
        directory: bench.directory.clone(),
        rounds: options.rounds,
        seconds: options.seconds,
    };
    for case in CASES {
        let targets: Vec<_> = peers.iter().map(|peer| peer.target(case.path)).collect();
        let result = rounds::run(&plan, &targets, case)?;
        print!("{}", report::case(&result, &[Kind::Nginx.name(), Kind::Haproxy.name()]));
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
