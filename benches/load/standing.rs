//! What a peer costs before and beside its requests.

use std::time::Duration;

use serde_json::json;

use crate::goals::Goal;
use crate::stage::{Findings, Stage};
use crate::support::numbers::number;
use crate::support::peer::{Behind, CADDY, FOREBAY, HAPROXY, NGINX, Peer};
use crate::support::{Failure, report, standing};

/// The place of the moment with the most connections, once they have settled.
const MANY_LATER: usize = 4;

/// Measures starts, memory and size.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let (place, options) = (&stage.place, &stage.options);
    let crowd = standing::crowd(place, options.crowd);
    if crowd < options.crowd {
        let (wanted, files) = (options.crowd, place.files);
        println!(
            "limit: {crowd} idle connections in place of {wanted}: a process may open {files}"
        );
    }
    let later = Duration::from_secs(if options.choice.quick { 1 } else { 3 });
    let application = stage.application()?;
    let behind = Behind::Port(application.port);
    let mut standings = Vec::new();
    let peers: &[Peer] = if options.choice.quick {
        &[NGINX, HAPROXY, FOREBAY]
    } else {
        &[NGINX, HAPROXY, CADDY, FOREBAY]
    };
    for peer in stage.peers(peers) {
        standings.push(standing::look(place, (peer, &behind), options.starts, crowd, later)?);
    }
    for standing in &standings {
        let mut tell = |column: &str, number| findings.overview.tell(column, standing.name, number);
        let [idle, _, few, _, many, _] = standing.memory_kib;
        tell("idle", report::mib(idle * 1024));
        tell("256 idle", report::mib(few * 1024));
        tell(&format!("{crowd} idle"), report::mib(many * 1024));
        tell("start ms", format!("{:.1}", standing.start_ms));
        tell("size", report::mib(standing.binary_bytes));
    }
    let launcher_ms = standing::launcher(place, options.starts)?;
    print!("{}", report::standing(&standings, launcher_ms, crowd));
    println!(
        "  `later` is {} s later; nginx and haproxy need shared libraries too",
        later.as_secs()
    );
    let forebay = standings.iter().find(|standing| standing.name == FOREBAY.name);
    let many = forebay.and_then(|own| own.memory_kib.get(MANY_LATER).copied());
    findings.goal(Goal::one(
        &format!("MiB with {crowd} idle connections"),
        40.0,
        many.map(|kib| number(kib) / 1024.0),
        if crowd < 9000 { "the goal is for 9,000" } else { "PSS" },
    ));
    findings.goal(Goal::one(
        "ms from start to first answer",
        10.0,
        forebay.map(|own| own.start_ms),
        "sh, setpriv and taskset, which start it, are in it",
    ));
    let values: Vec<_> = standings.iter().map(report::standing_json).collect();
    findings.keep("standing", json!({ "launcher_ms": launcher_ms, "peers": values }));
    Ok(())
}
