//! Latency at a fixed rate below saturation, and what each peer adds to that of the application.
//!
//! The load comes from an open loop of our own: latency counts from the time at which a request was
//! due, whatever became of those before.

use std::time::Duration;

use serde_json::{Value, json};

use crate::goals::Goal;
use crate::stage::{Findings, Stage};
use crate::support::numbers::{median, number};
use crate::support::openloop::{OpenLoop, percentile};
use crate::support::peer::{Behind, CADDY, DIRECT, FOREBAY, HAPROXY, NGINX, Peer, RELAY, Started};
use crate::support::rounds::{self, Case};
use crate::support::{Failure, report, wire};

/// The rates, requests a second, and who can serve so many on one CPU.
const RATES: [(u32, &[Peer]); 2] = [
    (2000, &[DIRECT, RELAY, NGINX, HAPROXY, CADDY, FOREBAY]),
    (6000, &[DIRECT, RELAY, NGINX, HAPROXY, FOREBAY]),
];

/// What is asked for, over how many connections.
const CASE: Case = Case { name: "200 B", path: "/b200", connections: 64 };

/// Rounds at most: a sample has thousands of requests.
const ROUNDS: usize = 2;

/// The percentiles, in thousandths, with their names.
const PERCENTILES: [(usize, &str); 3] = [(500, "p50"), (990, "p99"), (999, "p99.9")];

/// The samples of one peer: the percentiles of each, in microseconds, and the CPU time a request.
type Samples = Vec<([f64; 3], f64)>;

/// Measures each rate.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let application = stage.application()?;
    let behind = Behind::Port(application.port);
    let quick = stage.options.choice.quick;
    let mut values = Vec::new();
    for (rate, peers) in RATES.into_iter().take(if quick { 1 } else { RATES.len() }) {
        let is_first = values.is_empty();
        let started = stage.start(peers, &behind)?;
        let load = OpenLoop {
            rate,
            length: Duration::from_secs(if quick { 1 } else { 3 }),
            connections: CASE.connections,
            most: CASE.connections,
            deadline: Duration::from_secs(2),
        };
        for peer in &started {
            rounds::warm(&peer.target(wire::request(CASE.path)), CASE)?;
        }
        let mut all: Vec<Samples> = started.iter().map(|_| Vec::new()).collect();
        for round in 0..stage.options.rounds.min(ROUNDS) * 2 {
            let mut order: Vec<_> = started.iter().zip(&mut all).collect();
            // There and back again, as in the other parts.
            if round % 2 == 1 {
                order.reverse();
            }
            for (peer, samples) in order {
                samples.push(sample(stage, &load, peer)?);
            }
        }
        let names: Vec<_> = started.iter().map(|started| started.peer.name).collect();
        print!("{}", table(rate, &names, &all));
        for (name, samples) in names.iter().zip(&all) {
            for (place, (_, percentile)) in PERCENTILES.iter().enumerate().filter(|_| is_first) {
                let number = of(samples, samples, place).0;
                findings.overview.tell(&format!("{percentile} µs"), name, format!("{number:.0}"));
            }
            values.push(json!({ "rate": rate, "peer": name, "samples": value(samples) }));
        }
        if let Some(goal) = goal(rate, &names, &all) {
            findings.goal(goal);
        }
    }
    findings.keep("latency", Value::Array(values));
    Ok(())
}

fn sample(stage: &Stage, load: &OpenLoop, peer: &Started) -> Result<([f64; 3], f64), Failure> {
    let cpu_time = || peer.process.as_ref().map(|process| process.cpu_time()).transpose();
    let before = cpu_time()?.unwrap_or_default();
    let cpu = (stage.place.load_cpu, stage.place.files);
    let outcomes = load.run(cpu, peer.port, &wire::request(CASE.path))?;
    let spent = cpu_time()?.unwrap_or_default().since(before);
    let failed = outcomes.iter().filter(|outcome| outcome.status != 200).count();
    if failed > 0 {
        let (name, all) = (peer.peer.name, outcomes.len());
        return Err(Failure::new(format!("{name}: {failed} of {all} requests failed")));
    }
    let mut sorted: Vec<_> = outcomes.iter().map(|outcome| outcome.latency_us).collect();
    sorted.sort_unstable();
    let percentiles = PERCENTILES.map(|(thousandths, _)| number(percentile(&sorted, thousandths)));
    Ok((percentiles, number(spent.nanoseconds) / 1e3 / number(outcomes.len() as u64)))
}

/// All samples of one peer.
fn value(samples: &Samples) -> Value {
    let sample = |([p50, p99, p999], cpu_us): &([f64; 3], f64)| json!({ "p50_us": p50, "p99_us": p99, "p999_us": p999, "cpu_us": cpu_us });
    samples.iter().map(sample).collect()
}

/// The median over the samples of one percentile, and of what it is over that of `direct` in the
/// same round.
fn of(samples: &Samples, direct: &Samples, place: usize) -> (f64, f64) {
    let pick = |sample: &([f64; 3], f64)| sample.0.get(place).copied().unwrap_or(f64::NAN);
    let own: Vec<_> = samples.iter().map(pick).collect();
    let added: Vec<_> =
        samples.iter().zip(direct).map(|(own, direct)| pick(own) - pick(direct)).collect();
    (median(&own), median(&added))
}

fn table(rate: u32, names: &[&str], all: &[Samples]) -> String {
    let mut head = vec![String::new()];
    head.extend(
        PERCENTILES.iter().flat_map(|(_, name)| [format!("{name} µs"), "added".to_owned()]),
    );
    head.push("CPU µs/req".to_owned());
    let mut rows = vec![head];
    let Some(direct) = all.first() else { return String::new() };
    for (name, samples) in names.iter().zip(all) {
        let mut row = vec![(*name).to_owned()];
        for place in 0..PERCENTILES.len() {
            let (own, added) = of(samples, direct, place);
            let added = if *name == DIRECT.name { "-".to_owned() } else { format!("{added:.0}") };
            row.extend([format!("{own:.0}"), added]);
        }
        let cpu: Vec<_> = samples.iter().map(|(_, cpu_us)| *cpu_us).collect();
        row.push(if *name == DIRECT.name {
            "-".to_owned()
        } else {
            format!("{:.1}", median(&cpu))
        });
        rows.push(row);
    }
    let count = all.first().map_or(0, Vec::len);
    format!(
        "\n{rate} requests a second, {}: medians of {count} samples; added is over direct, \
         median over the rounds\n{}",
        CASE.text(),
        report::table(&rows)
    )
}

/// Holds forebay's 99th percentile against those of nginx and `HAProxy`.
fn goal(rate: u32, names: &[&str], all: &[Samples]) -> Option<Goal> {
    let direct = all.first()?;
    let added = |peer: Peer| {
        let place = names.iter().position(|name| *name == peer.name)?;
        all.get(place).map(|samples| of(samples, direct, 1).1)
    };
    let best = [NGINX, HAPROXY].into_iter().filter_map(added).reduce(f64::min)?;
    let what = format!("p99 added at {rate}/s, µs, no more than either peer");
    let own = of(direct, direct, 1).0;
    if best <= 0.0 {
        // A peer cannot be faster than what it stands before.
        let note = format!("the machine was not calm: direct alone has {own:.0} µs");
        return Some(Goal::one(&what, best, None, &note));
    }
    let note = format!("the limit is the better peer's; direct has {own:.0} µs in the same rounds");
    Some(Goal::one(&what, best, added(FOREBAY), &note))
}
