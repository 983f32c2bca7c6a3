//! Requests that go to the application.

use serde_json::Value;

use crate::stage::{Findings, Stage};
use crate::support::chart::bars::Bars;
use crate::support::peer::{Bench, Kind, Peer};
use crate::support::rounds::{self, Case};
use crate::support::{Failure, check, report};

/// What is measured.
const CASES: [Case; 4] = [
    Case { name: "200 B", path: "/b200", connections: 16 },
    Case { name: "200 B", path: "/b200", connections: 64 },
    Case { name: "10 KiB", path: "/b10k", connections: 16 },
    Case { name: "10 KiB", path: "/b10k", connections: 64 },
];

/// Measures each case.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let bench = Bench::prepare(&stage.machine, &stage.options)?;
    let (kinds, missing) = Kind::installed();
    for kind in missing {
        println!("not measured: {} (install Debian's package `{}`)", kind.name(), kind.package());
    }
    let peers: Vec<Peer> =
        kinds.iter().map(|kind| bench.start(*kind)).collect::<Result<_, Failure>>()?;
    println!("{}", check::all_do_the_same(&bench, &peers)?);
    let plan = stage.plan();
    let (mut values, mut groups) = (Vec::new(), Vec::new());
    for case in CASES {
        let targets: Vec<_> = peers.iter().map(|peer| peer.target(case.path)).collect();
        let result = rounds::run(&plan, &targets, case)?;
        print!("{}", report::case(&result, &[Kind::Nginx.name(), Kind::Haproxy.name()]));
        groups.push(report::case_bars(&result));
        values.push(report::case_json(&result));
    }
    findings.draw(Bars {
        title: "CPU time of a proxied request".to_owned(),
        axis: "µs a request, median of the samples; less is better".to_owned(),
        groups,
    });
    findings.keep("proxy", Value::Array(values));
    Ok(())
}
