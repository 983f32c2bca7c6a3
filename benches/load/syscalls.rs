//! System calls of a request, with one connection and with many.
//!
//! With one, every request wakes everybody; with many, a wake-up serves several. A program under
//! strace is slow, so that no times come from here.

use serde_json::{Value, json};

use crate::stage::{Findings, Stage};
use crate::support::numbers::number;
use crate::support::peer::{Behind, CADDY, FOREBAY, HAPROXY, NGINX, RELAY, Started};
use crate::support::rounds::{self, Case};
use crate::support::trace::{self, Calls};
use crate::support::{Failure, report, wire};

const CASES: [Case; 4] = [
    Case { name: "200 B", path: "/b200", connections: 1 },
    OVERVIEW,
    Case { name: "100 KiB", path: "/b100k", connections: 16 },
    Case { name: POST, path: "/b200", connections: 64 },
];

const POST: &str = "POST 2 KiB";

/// What stands for this part in the overview.
const OVERVIEW: Case = Case { name: "200 B", path: "/b200", connections: 64 };

/// Counts for each case and peer.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let application = stage.application()?;
    let peers = [RELAY, NGINX, HAPROXY, CADDY, FOREBAY];
    let started = stage.start(&peers, &Behind::Port(application.port))?;
    let cases: Vec<_> =
        CASES.into_iter().take(if stage.options.choice.quick { 2 } else { CASES.len() }).collect();
    let mut rows = vec![vec![String::new()]];
    if let Some(head) = rows.first_mut() {
        head.extend(cases.iter().map(Case::text));
        head.push("the most of the last, a request".to_owned());
    }
    let mut values = Vec::new();
    for peer in &started {
        let mut row = vec![peer.peer.name.to_owned()];
        let mut last = String::new();
        for case in &cases {
            let (calls, requests) = count(stage, peer, *case)?;
            let all: u64 = calls.values().sum();
            let each = format!("{:.1}", number(all) / number(requests));
            if case.name == OVERVIEW.name && case.connections == OVERVIEW.connections {
                findings.overview.tell("calls", peer.peer.name, each.clone());
            }
            row.push(each);
            last = most(&calls, requests);
            values.push(json!({
                "peer": peer.peer.name, "case": case.text(), "requests": requests, "calls": calls,
            }));
        }
        row.push(last);
        rows.push(row);
    }
    print!("\nSystem calls a request\n{}", report::table(&rows));
    findings.keep("syscalls", Value::Array(values));
    Ok(())
}

fn count(stage: &Stage, peer: &Started, case: Case) -> Result<(Calls, u64), Failure> {
    let plan = stage.plan();
    let request = if case.name == POST {
        wire::post(case.path, &[b'x'; 2048])
    } else {
        wire::request(case.path)
    };
    let target = peer.target(request);
    let seconds = if stage.options.choice.quick { 1 } else { 2 };
    // The connections to the application that a peer opens first belong to no request.
    rounds::warm(&target, case)?;
    let load = || rounds::sample(&plan, &target, case, seconds);
    let (calls, sample) = trace::count(&stage.place, peer.process()?, load)?;
    Ok((calls, sample.requests))
}

/// The calls that make up most of it, each with how often a request makes it.
fn most(calls: &Calls, requests: u64) -> String {
    let mut all: Vec<_> = calls.iter().collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let each = |(name, count): &(&String, &u64)| {
        format!("{name} {:.1}", number(**count) / number(requests))
    };
    all.iter().take(6).map(each).collect::<Vec<_>>().join(", ")
}
