//! Requests that fail or are processed twice where connections end just as they are reused, behind
//! nginx, Caddy, `HAProxy` and forebay: `cargo bench --bench races`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "telling is what a benchmark does")]
#![expect(clippy::disallowed_types, reason = "what is measured runs on the real clock")]

#[expect(dead_code, reason = "the benchmarks share one set of parts")]
mod support;

use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use support::clients::{Load, METHODS, Tally, tally};
use support::closer::{Closer, Manner};
use support::front::{Front, Place};
use support::machine::Machine;
use support::options::Choice;
use support::site::Site;
use support::{Failure, play, report};

fn main() -> ExitCode {
    play("races", &[], |arguments| measure(&Choice::read("races", arguments)?))
}

/// What the fronts meet.
const CASES: [&str; 4] = [
    "an application that ends each second use of a connection without having read it",
    "an application that reads each second use of a connection and ends without having processed it",
    "an application that processes each second use of a connection and ends without an answer",
    "gunicorn gthread --max-requests 50 --keep-alive 1, pauses of 1 s",
];

fn measure(choice: &Choice) -> Result<(), Failure> {
    let machine = Machine::look(&choice.command, &[])?;
    println!("{}", machine.text());
    let fronts = Front::installed(&[Front::Nginx, Front::Caddy, Front::Haproxy, Front::Forebay]);
    let place = Place::prepare(&machine, choice, "races")?;
    let mut rows = vec![
        ["", "", "GET sent", "failed", "twice", "POST sent", "failed", "twice"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut values = Vec::new();
    for (number, case) in CASES.iter().enumerate() {
        println!("case {}: {case}", number + 1);
        for front in &fronts {
            let tallies = run(&place, *front, number, choice.quick)?;
            rows.push(row(number, *front, tallies));
            values.push(json!({
                "case": case,
                "front": front.name(),
                "methods": METHODS.iter().zip(tallies).map(value).collect::<Vec<_>>(),
            }));
        }
    }
    print!("\n{}", report::table(&rows));
    if let Some(path) = &choice.json {
        report::write_value(path, &json!({ "command": machine.command, "cases": values }))?;
    }
    Ok(())
}

/// One front in one case.
fn run(place: &Place, front: Front, case: usize, quick: bool) -> Result<[Tally; 2], Failure> {
    let manner = match case {
        0 => Manner::Unread,
        1 => Manner::Unprocessed,
        2 => Manner::Processed,
        _ => return run_with_gunicorn(place, front, quick),
    };
    let application = Closer::start(manner)?;
    let running = place.start(front, application.port)?;
    let burst = if quick { 20 } else { 200 };
    let load = Load { clients: 8, burst, pauses: 0, pause: Duration::ZERO };
    let all = load.run(running.port)?;
    Ok(tally(&all, &application.counts()))
}

fn run_with_gunicorn(place: &Place, front: Front, quick: bool) -> Result<[Tally; 2], Failure> {
    let flags = ["-k", "gthread", "-w", "2", "--threads", "4", "--preload"];
    let limits = ["--max-requests", "50", "--keep-alive", "1"];
    let site = Site::start(place, &[&flags[..], &limits[..]].concat())?;
    let running = place.start(front, site.port)?;
    let pauses = if quick { 2 } else { 10 };
    let load = Load { clients: 16, burst: 12, pauses, pause: Duration::from_secs(1) };
    let all = load.run(running.port)?;
    Ok(tally(&all, &site.counts()?))
}

fn row(case: usize, front: Front, tallies: [Tally; 2]) -> Vec<String> {
    let mut row = vec![format!("case {}", case + 1), front.name().to_owned()];
    for Tally { sent, failed, doubled } in tallies {
        row.extend([sent, failed, doubled].map(|count| count.to_string()));
    }
    row
}

fn value((method, tally): (&&str, Tally)) -> Value {
    let Tally { sent, failed, doubled } = tally;
    json!({ "method": method, "sent": sent, "failed": failed, "processed_twice": doubled })
}
