//! What a peer costs before and beside its requests.

use serde_json::json;

use crate::stage::{Findings, Stage};
use crate::support::peer::{Bench, Kind};
use crate::support::{Failure, report, standing};

/// Measures starts, memory and size.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    let bench = Bench::prepare(&stage.machine, &stage.options)?;
    let (kinds, _) = Kind::installed();
    let mut standings = Vec::new();
    for kind in kinds.iter().filter(|kind| **kind != Kind::Direct) {
        standings.push(standing::look(&bench, *kind, &stage.options)?);
    }
    let launcher_ms = standing::launcher(&bench, stage.options.starts)?;
    print!("{}", report::standing(&standings, launcher_ms, &bench));
    let values: Vec<_> = standings.iter().map(report::standing_json).collect();
    findings.keep("standing", json!({ "launcher_ms": launcher_ms, "peers": values }));
    Ok(())
}
