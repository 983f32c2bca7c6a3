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
use support::rounds::{self, Case, Measured, Plan};
use support::statics::{Files, Server, Serving, instructions, known, path};
use support::upstream::{self, Upstream};
use support::{Failure, Tried as _, play, report, wire};

fn main() -> ExitCode {
    let roles = [(upstream::ROLE, upstream::run as fn(&_) -> _)];
    play("statics", &roles, |arguments| measure(&Choice::read("statics", arguments)?))
}

/// The files and how many bytes of each go over the wire, but for a few of brotli's.
const FILES: [(&str, usize); 5] = [
    ("1k.js", 1 << 10),
    ("10k.js", 10 << 10),
    ("100k.js", 100 << 10),
    ("1m.js", 1 << 20),
    ("20m.js", 20 << 20),
];

/// What is measured, and whether forebay without memory is measured too.
const CASES: [(Case, bool); 6] = [
    (Case { name: "1 KiB", path: "1k.js", connections: 32 }, false),
    (Case { name: NOT_MODIFIED, path: "1k.js", connections: 32 }, false),
    (Case { name: "10 KiB", path: "10k.js", connections: 32 }, false),
    (Case { name: "100 KiB", path: "100k.js", connections: 16 }, false),
    (Case { name: "1 MiB", path: "1m.js", connections: 8 }, true),
    (Case { name: "20 MiB", path: "20m.js", connections: 4 }, true),
];

/// The case of a client that has the file.
const NOT_MODIFIED: &str = "304";

/// How many of the cases, from the first, are measured without a log too: there it weighs.
const WITHOUT_LOG: usize = 3;

/// Measures everything and prints it; a table comes as soon as it is complete.
fn measure(choice: &Choice) -> Result<(), Failure> {
    let tool = if choice.instructions { "valgrind" } else { "wrk" };
    let machine = Machine::look(&choice.command, &[(tool, tool)])?;
    println!("{}", machine.text());
    let place = Place::prepare(&machine, choice, "statics")?;
    let files = Files::write(&place, &FILES)?;
    let plan = Plan {
        load_cpu: place.load_cpu,
        directory: place.directory.clone(),
        rounds: if choice.quick { 1 } else { 3 },
        seconds: 1,
    };
    let application = Upstream::start(place.load_cpu, place.files)?;
    if choice.instructions {
        print!("{}", instructions::table(&place, &files, &application)?);
        return fs::remove_dir_all(&place.directory).tried("remove the files");
    }
    let serve = |servers: &[Server], has_log| {
        let servers = Server::installed(servers).into_iter();
        let start = |server| Serving::start(&place, &files, server, &application, has_log);
        servers.map(start).collect::<Result<Vec<_>, _>>()
    };
    let all = [Server::Nginx, Server::Caddy, Server::WhiteNoise, Server::Forebay, Server::FromDisk];
    let serving = serve(&all, true)?;
    println!("{}", check(&serving, &files)?);

    let mut results = Vec::new();
    for (case, also_from_disk) in CASES {
        let wanted = |it: &&Serving| also_from_disk || it.server != Server::FromDisk;
        let wanted: Vec<_> = serving.iter().filter(wanted).collect();
        let measured = run(&plan, &files, &wanted, case)?;
        print!("{}", report::case(&measured, &["nginx", "caddy", "whitenoise"]));
        results.push(json!({ "log": true, "case": report::case_json(&measured) }));
    }
    print!("{}", memory(&serving)?);
    drop(serving);

    let serving = serve(&[Server::Nginx, Server::Forebay], false)?;
    println!("\nThe same without a log of requests");
    for (case, _) in CASES.iter().take(WITHOUT_LOG) {
        let measured = run(&plan, &files, &serving.iter().collect::<Vec<_>>(), *case)?;
        print!("{}", report::case(&measured, &["nginx"]));
        results.push(json!({ "log": false, "case": report::case_json(&measured) }));
    }
    drop(serving);
    println!("\nload of the machine afterwards: {}", support::machine::load());
    if let Some(path) = &choice.json {
        report::write_value(path, &value(&machine, &results))?;
    }
    // The logs have a line for each of some millions of requests.
    fs::remove_dir_all(&place.directory).tried("remove the files")
}

/// Measures one case.
fn run(plan: &Plan, files: &Files, serving: &[&Serving], case: Case) -> Result<Measured, Failure> {
    let mut targets = Vec::new();
    for it in serving {
        let request = if case.name == NOT_MODIFIED {
            known(case.path, &it.ask(files, case.path)?)?
        } else {
            wire::request(&path(case.path))
        };
        targets.push(it.target(request));
    }
    rounds::run(plan, &targets, case)
}

/// Asks everybody for everything before anything is measured: only who sends the same bytes can be
/// compared. Returns what is to be said about it.
fn check(serving: &[Serving], files: &Files) -> Result<String, Failure> {
    let line = |it: &Serving| {
        for (name, _) in FILES {
            it.ask(files, name)?;
        }
        let answer = it.ask(files, "1k.js")?;
        let chunked = answer.field("content-length").map_or("; in chunks", |_| "");
        let (head, fields) = (answer.head_bytes, answer.fields.len());
        let name = it.server.name();
        Ok(format!("\n  {name:14} head of {head} bytes, {fields} fields{chunked}"))
    };
    let lines = serving.iter().map(line).collect::<Result<String, Failure>>()?;
    Ok(format!("\nchecked: everybody sends the variant in brotli, byte for byte{lines}"))
}

/// The table of memory after all of it.
fn memory(serving: &[Serving]) -> Result<String, Failure> {
    let mut rows = vec![["", "PSS", "peak RSS"].map(str::to_owned).to_vec()];
    for it in serving {
        let (now, peak) = (it.process().memory_kib()?, it.process().peak_kib()?);
        let mut row = vec![it.server.name().to_owned()];
        row.extend([now, peak].map(|kib| report::mib(kib * 1024)));
        rows.push(row);
    }
    Ok(format!("\nMemory afterwards, in MiB\n{}", report::table(&rows)))
}

fn value(machine: &Machine, results: &[Value]) -> Value {
    json!({
        "processor": machine.processor,
        "cores": machine.cores,
        "commit": machine.commit,
        "command": machine.command,
        "load_before": machine.load,
        "cases": results,
    })
}
