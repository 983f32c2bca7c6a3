//! Instructions a request, which do not depend on what else the machine does.
//!
//! `cargo bench --bench instructions` counts the same, and keeps the record that a change is held
//! against.

use crate::stage::{Findings, Stage};
use crate::support::front::Front;
use crate::support::instructions::{self, CASES, Record};
use crate::support::{Failure, machine};

/// Counts in forebay, nginx and `HAProxy`.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    if !machine::has("valgrind") {
        return Err(Failure::new("valgrind is missing; Debian's package `valgrind` has it"));
    }
    let application = stage.application()?;
    let peers: Vec<_> = stage.fronts(&[Front::Nginx, Front::Haproxy]);
    // Each count takes some seconds.
    let cases = if stage.options.choice.quick { CASES.get(..1) } else { CASES.get(..) };
    let cases = cases.unwrap_or_default();
    let old = Record::read()?;
    let (new, table) = instructions::count(&stage.place, &application, &peers, &old, cases)?;
    print!("{table}");
    findings.keep("instructions", new.value());
    Ok(())
}
