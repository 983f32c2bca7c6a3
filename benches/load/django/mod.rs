//! A page of a real Django site: what a front takes of the time and of the CPU.

mod shop;

use serde_json::{Value, json};

use crate::fitted::{self, Turn};
use crate::stage::{Findings, Stage};
use crate::streams;
use crate::support::front::Front;
use crate::support::numbers::{median, number};
use crate::support::rounds::{self, Case, Plan, Sample, Target};
use crate::support::{Failure, report, wire};
use shop::{Server, Shop};

/// More connections than requests that the site does at once: it always has something to do.
const CASE: Case = Case { name: "", path: "/", connections: 8 };

/// A front's sample, and the nanoseconds that the site spent meanwhile.
type Both = (Sample, u64);

/// Measures the site on each of its servers, directly and behind each front.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let fronts = stage.fronts(&[Front::Direct, Front::Nginx, Front::Haproxy, Front::Forebay]);
    let (quick, place) = (stage.options.choice.quick, &stage.place);
    // A load generator on the CPU of the site would come in between its threads, and most where nobody
    // is in front.
    let load_cpu = place.proxy_cpu;
    let plan = Plan { load_cpu, seconds: if quick { 2 } else { 4 }, ..stage.plan() };
    let mut values = Vec::new();
    for server in [Server::Gunicorn, Server::Uvicorn] {
        let shop = Shop::start(place, server)?;
        let fitted = fitted::Fitted { name: "django", ..streams::fitted() };
        let turns = fitted::all(place, &fitted, &fronts, shop.port)?;
        for turn in &turns {
            rounds::warm(&target(turn), CASE)?;
        }
        let take = |turn: &Turn| sample(&plan, turn, &shop);
        let samples = fitted::rounds(&turns, stage.options.rounds.min(2), take)?;
        println!(
            "\nDjango on {}, a page from a template and 3 queries, {} connections; front \
             and load on CPU {}, site on CPU {}\n{}",
            server.name(),
            CASE.connections,
            place.proxy_cpu,
            place.load_cpu,
            table(&turns, &samples)
        );
        values.push(json!({ "server": server.name(), "fronts": value(&turns, &samples) }));
    }
    findings.keep("django", Value::Array(values));
    Ok(())
}

fn target(turn: &Turn) -> Target<'_> {
    Target {
        name: turn.front.name(),
        port: turn.running.port,
        process: turn.running.process.as_ref(),
        request: wire::request(CASE.path),
    }
}

fn sample(plan: &Plan, turn: &Turn, shop: &Shop) -> Result<Both, Failure> {
    // In hundredths of a second: Django runs a view of an asynchronous site on a thread of its own,
    // whose exact account goes with it.
    let before = shop.process.cpu_time()?;
    let sample = rounds::sample(plan, &target(turn), CASE, plan.seconds)?;
    let spent = shop.process.cpu_time()?.since(before);
    Ok((sample, (spent.user_ticks + spent.system_ticks) * TICK_NS))
}

/// `USER_HZ` is 100 on every Linux.
const TICK_NS: u64 = 10_000_000;

/// Medians over all samples.
fn table(turns: &[Turn], samples: &[Vec<Both>]) -> String {
    let head = "|requests/s|÷ direct|p50 ms|p99 ms|site's CPU µs/req|front's|front's share of both";
    let mut rows = vec![head.split('|').map(str::to_owned).collect::<Vec<_>>()];
    let rate = |samples: &[Both]| middle(samples, |(sample, _)| sample.rate());
    let direct = turns.iter().zip(samples).find(|(turn, _)| turn.front == Front::Direct);
    let direct = direct.map_or(f64::NAN, |(_, samples)| rate(samples));
    for (turn, samples) in turns.iter().zip(samples) {
        let site_us =
            middle(samples, |(sample, site_ns)| number(*site_ns) / 1e3 / number(sample.requests));
        let front_us = middle(samples, |(sample, _)| sample.cpu_us());
        let mut row = vec![
            turn.front.name().to_owned(),
            format!("{:.1}", rate(samples)),
            format!("{:.3}", rate(samples) / direct),
            format!("{:.1}", middle(samples, |(sample, _)| number(sample.p50_us) / 1e3)),
            format!("{:.1}", middle(samples, |(sample, _)| number(sample.p99_us) / 1e3)),
            format!("{site_us:.0}"),
        ];
        if turn.front == Front::Direct {
            row.extend(["-", "-"].map(str::to_owned));
        } else {
            row.push(format!("{front_us:.1}"));
            row.push(format!("{:.2} %", front_us * 100.0 / (front_us + site_us)));
        }
        rows.push(row);
    }
    report::table(&rows)
}

fn middle(samples: &[Both], value: impl Fn(&Both) -> f64) -> f64 {
    median(&samples.iter().map(value).collect::<Vec<_>>())
}

fn value(turns: &[Turn], samples: &[Vec<Both>]) -> Value {
    let fronts = turns.iter().zip(samples).map(|(turn, samples)| {
        let samples: Vec<_> = samples
            .iter()
            .map(|(sample, site_ns)| {
                json!({ "sample": report::sample_json(sample), "site_cpu_ns": site_ns })
            })
            .collect();
        (turn.front.name().to_owned(), Value::from(samples))
    });
    Value::Object(fronts.collect())
}
