//! An application behind a Unix socket: one that keeps connections, and one that ends each with its
//! first answer, as gunicorn's sync workers do. The client's side stays TCP, with kept connections.

use serde_json::{Value, json};

use crate::goals::Goal;
use crate::stage::{Findings, Stage};
use crate::support::chart::bars::Bars;
use crate::support::peer::{Behind, FOREBAY, HAPROXY, NGINX, Peer, RELAY, Started};
use crate::support::rounds::{self, Case, Sample};
use crate::support::{Failure, report, upstream, wire};

/// What is measured: whether the application ends its connections, and by whom. The relay has a
/// connection to the application for each of a client's, so it has no part in the second.
const CASES: [(bool, Case, &[Peer]); 2] = [
    (
        false,
        Case { name: "200 B, unix", path: "/b200", connections: 64 },
        &[RELAY, NGINX, HAPROXY, FOREBAY],
    ),
    (
        true,
        Case { name: "200 B, unix, a connection each", path: "/b200", connections: 16 },
        &[NGINX, HAPROXY, FOREBAY],
    ),
];

/// Measures both.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let _application = stage.application()?;
    let (mut values, mut groups) = (Vec::new(), Vec::new());
    for (ends, case, peers) in CASES {
        let behind = Behind::Socket(upstream::socket(&stage.place.directory, ends));
        let peers = stage.start(peers, &behind)?;
        let target = |peer| Started::target(peer, wire::request(case.path));
        let targets: Vec<_> = peers.iter().map(target).collect();
        let measured = rounds::run(&stage.plan(), &targets, case)?;
        print!("{}", report::case(&measured, &[NGINX.name, HAPROXY.name]));
        groups.push(report::case_bars(&measured));
        values.push(json!({ "ends": ends, "case": report::case_json(&measured) }));
        if ends {
            let ratio = measured.ratio(FOREBAY.name, NGINX.name, Sample::cpu_us);
            let what = "CPU, connection per request over unix ÷ nginx";
            findings.goal(Goal::one(what, 0.75, ratio, &case.text()));
        }
    }
    findings.draw(Bars {
        title: "CPU time of a request to an application behind a Unix socket".to_owned(),
        axis: "µs a request in the proxy, median of the samples; less is better".to_owned(),
        groups,
    });
    findings.keep("unix", Value::Array(values));
    Ok(())
}
