//! Instructions a request, which do not depend on what else the machine does.
//!
//! `cargo bench --bench instructions` counts the same, and keeps the record that a change is held
//! against.

use crate::stage::{Findings, Stage};
use crate::support::front::Front;
use crate::support::instructions::{self, CASES, Case, Record};
use crate::support::{Failure, machine};

/// Counts in forebay, nginx and `HAProxy`.
pub(crate) fn run(stage: &Stage, findings: &mut Findings) -> Result<(), Failure> {
    if !machine::has("valgrind") {
        return Err(Failure::new("valgrind is missing; Debian's package `valgrind` has it"));
    }
    let application = stage.application()?;
    // Each count takes some seconds.
    let quick = stage.options.choice.quick;
    let peers = if quick { Vec::new() } else { stage.fronts(&[Front::Nginx, Front::Haproxy]) };
    // Callgrind counts a byte that is copied by some instructions as one each: between peers that
    // copy differently, only small answers can be compared.
    let is_large = |case: &&Case| case.path.starts_with("/b10");
    let cases = CASES.iter().filter(|case| !is_large(case));
    let cases: Vec<_> = cases.take(if quick { 1 } else { CASES.len() }).collect();
    let old = Record::read()?;
    let (new, table) = instructions::count(&stage.place, &application, &peers, &old, &cases)?;
    print!("{table}");
    findings.keep("instructions", new.value());
    Ok(())
}
