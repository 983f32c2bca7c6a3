//! What forebay costs beside those that could stand in its place: `cargo bench --bench load`.
//!
//! The report has parts, which `--list` tells and `--only` chooses among. Everything runs on
//! loopback. The proxies have one CPU; the load generator and the application, a stub, have
//! another. Rounds go forth and back through the peers, so that whatever else the machine does
//! meets all of them. `benches/README.md` says what each part measures and how it stays fair.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
#[path = "../support/mod.rs"]
mod support;

mod stage;
mod goals;
mod overview;
mod proxy;
mod unix;
mod statics;
mod latency;
mod syscalls;
mod standing;
mod cost;
mod instructions;
mod player;
mod fitted;
mod streams;
mod django;
mod overload;
mod growth;

use std::fs;
use std::process::ExitCode;
use std::time::Instant;

use stage::{Findings, Part, Stage};
use support::options::{self, Options};
use support::{Failure, Tried as _, crowd, openloop, play, relay, upstream};

/// The parts of the report, in its order. A new part is a module beside this file with a function
/// `run`, and a line here.
const PARTS: [Part; 12] = [
    Part { name: "proxy", about: "requests to the application", run: proxy::run },
    Part { name: "unix", about: "the application behind a Unix socket", run: unix::run },
    Part { name: "static", about: "static files", run: statics::run },
    Part { name: "latency", about: "latency at a fixed rate", run: latency::run },
    Part { name: "syscalls", about: "system calls of a request", run: syscalls::run },
    Part { name: "standing", about: "start, memory of idle connections, size", run: standing::run },
    Part { name: "cost", about: "what each guard of forebay costs", run: cost::run },
    Part { name: "instructions", about: "instructions of a request", run: instructions::run },
    Part { name: "streams", about: "HTTP/2, WebSockets, Server-Sent Events", run: streams::run },
    Part {
        name: "django",
        about: "a page of a real site on gunicorn and uvicorn",
        run: django::run,
    },
    Part { name: "overload", about: "three times what the application can do", run: overload::run },
    Part { name: "growth", about: "curves of what costs do as work grows", run: growth::run },
];

/// What stands for each part in the overview.
const OVERVIEW: &str = "CPU and calls of a request of 200 B with 64 connections, percentiles at a \
                        fixed rate, PSS and size in MiB";

fn main() -> ExitCode {
    let shared = [
        (upstream::ROLE, upstream::run as fn(&_) -> _),
        (crowd::ROLE, crowd::run),
        (relay::ROLE, relay::run),
        (openloop::ROLE, openloop::run),
    ];
    let own = streams::ROLES.into_iter().chain(overload::ROLES).chain(growth::ROLES);
    let roles: Vec<_> = shared.into_iter().chain(own).collect();
    play("load", &roles, |arguments| {
        let names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        match Options::read(arguments, &names)? {
            options::Wish::Help => println!("{}", options::HELP),
            options::Wish::List => {
                for part in &PARTS {
                    println!("{:14} {}", part.name, part.about);
                }
            }
            options::Wish::Measure(options) => return measure(options),
        }
        Ok(())
    })
}

/// Runs the parts that are wanted; each prints what it finds as soon as it has it. A part that
/// fails does not keep the others from being measured.
fn measure(options: Options) -> Result<(), Failure> {
    let stage = Stage::prepare(options)?;
    let mut findings = Findings::default();
    let mut failed = Vec::new();
    for part in PARTS.iter().filter(|part| stage.options.wants(part.name)) {
        println!("\n== {}: {}", part.name, part.about);
        let begun = Instant::now();
        if let Err(why) = (part.run)(&stage, &mut findings) {
            eprintln!("error: part {}: {why}", part.name);
            failed.push(part.name);
        }
        println!("part {} took {:.0} s", part.name, begun.elapsed().as_secs_f64());
    }
    if let Some(overview) = findings.overview.table() {
        print!("\n== overview: {OVERVIEW}\n{overview}");
    }
    if let Some(goals) = findings.summary() {
        print!("\n== goals, from the numbers above\n{goals}");
    }
    println!("\nload of the machine afterwards: {}", support::machine::load());
    findings.write(&stage)?;
    if failed.is_empty() {
        // Where a part failed, what the programs said there may be of use.
        return fs::remove_dir_all(&stage.place.directory).tried("remove the benchmark's folder");
    }
    Err(Failure::new(format!("these parts failed, for the reasons above: {}", failed.join(", "))))
}
