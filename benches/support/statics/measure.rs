//! What files cost those who serve them: requests under load, and memory afterwards.

use serde_json::{Value, json};

use super::{Files, Server, Serving, known, path};
use crate::support::front::Place;
use crate::support::rounds::{self, Case, Measured, Plan};
use crate::support::upstream::Upstream;
use crate::support::{Failure, report, wire};

/// The files and how many bytes of each go over the wire, but for a few of brotli's.
pub(crate) const FILES: [(&str, usize); 5] = [
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

/// The file that everybody is asked for first.
const FIRST: &str = "1k.js";

/// The case of a client that has the file.
const NOT_MODIFIED: &str = "304";

/// How many of the cases, from the first, are measured without a log too: there it weighs.
const WITHOUT_LOG: usize = 3;

/// What was measured.
#[derive(Debug)]
pub(crate) struct Results {
    /// With a line in a log for each request.
    pub(crate) with_log: Vec<Measured>,
    without_log: Vec<Measured>,
}

/// Measures everything and prints it; a table comes as soon as it is complete. Only those cases
/// whose place `is_wanted`.
pub(crate) fn run_all(
    place: &Place,
    plan: &Plan,
    application: &Upstream,
    is_wanted: impl Fn(usize) -> bool,
) -> Result<Results, Failure> {
    let cases = || CASES.into_iter().enumerate().filter(|(place, _)| is_wanted(*place));
    let is_asked_for = |name: &str| cases().any(|(_, (case, _))| case.path == name);
    let names: Vec<_> =
        FILES.into_iter().filter(|(name, _)| *name == FIRST || is_asked_for(name)).collect();
    let files = Files::write(place, &names)?;
    let serve = |servers: &[Server], has_log| {
        let servers = Server::installed(servers).into_iter();
        let start = |server| Serving::start(place, &files, server, application, has_log);
        servers.map(start).collect::<Result<Vec<_>, _>>()
    };
    let all = [Server::Nginx, Server::Caddy, Server::WhiteNoise, Server::Forebay, Server::FromDisk];
    let serving = serve(&all, true)?;
    println!("{}", check(&serving, &files, &names)?);

    let mut results = Results { with_log: Vec::new(), without_log: Vec::new() };
    for (_, (case, also_from_disk)) in cases() {
        let wanted = |it: &&Serving| also_from_disk || it.server != Server::FromDisk;
        let wanted: Vec<_> = serving.iter().filter(wanted).collect();
        let measured = run(plan, &files, &wanted, case)?;
        print!("{}", report::case(&measured, &["nginx", "caddy", "whitenoise"]));
        results.with_log.push(measured);
    }
    print!("{}", memory(&serving)?);
    drop(serving);

    let serving = serve(&[Server::Nginx, Server::Forebay], false)?;
    println!("\nThe same without a log of requests");
    for (_, (case, _)) in cases().filter(|(place, _)| *place < WITHOUT_LOG) {
        let measured = run(plan, &files, &serving.iter().collect::<Vec<_>>(), case)?;
        print!("{}", report::case(&measured, &["nginx"]));
        results.without_log.push(measured);
    }
    Ok(results)
}

impl Results {
    /// All numbers for a file.
    pub(crate) fn value(&self) -> Value {
        let value = |(log, measured): (bool, &Measured)| {
            let case = report::case_json(measured);
            json!({ "log": log, "case": case })
        };
        let with = self.with_log.iter().map(|measured| (true, measured));
        let without = self.without_log.iter().map(|measured| (false, measured));
        with.chain(without).map(value).collect()
    }
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
fn check(serving: &[Serving], files: &Files, names: &[(&str, usize)]) -> Result<String, Failure> {
    let line = |it: &Serving| {
        for (name, _) in names {
            it.ask(files, name)?;
        }
        let answer = it.ask(files, FIRST)?;
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
