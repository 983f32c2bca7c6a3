//! What a peer costs before and beside its requests.

use std::time::Duration;

use serde_json::json;

use crate::stage::{Findings, Stage};
use crate::support::peer::{Behind, CADDY, FOREBAY, HAPROXY, NGINX};
use crate::support::{Failure, report, standing};

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
    let later = Duration::from_secs(if options.choice.quick { 1 } else { 5 });
    let application = stage.application()?;
    let behind = Behind::Port(application.port);
    let mut standings = Vec::new();
    for peer in stage.peers(&[NGINX, HAPROXY, CADDY, FOREBAY]) {
        standings.push(standing::look(place, (peer, &behind), options.starts, crowd, later)?);
    }
    let launcher_ms = standing::launcher(place, options.starts)?;
    print!("{}", report::standing(&standings, launcher_ms, crowd));
    println!(
        "  `later` is {} s later; nginx and haproxy need shared libraries too",
        later.as_secs()
    );
    let values: Vec<_> = standings.iter().map(report::standing_json).collect();
    findings.keep("standing", json!({ "launcher_ms": launcher_ms, "peers": values }));
    Ok(())
}
