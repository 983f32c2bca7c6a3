//! FD-50: too little memory for the workers.
//!
//! Owns: this rule, and how memory is estimated.
//! Must not know: how it is measured.

use super::super::{Finding, NotLooked, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-50",
    title: "The workers need more memory than there is",
    why: "above 90 % for 30 s App Service restarts the instance, and at the limit the kernel kills \
          workers in the middle of a request",
    mend: "fewer workers with more threads, gunicorn's --preload, or a larger plan",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let Ok(loaded) = patient.loaded.as_ref().map_err(Clone::clone)? else { return Ok(vec![]) };
    let unknown = |what: &str| NotLooked::because(format!("{what} is not known"));
    let workers = patient.start()?.workers.ok_or_else(|| unknown("the number of workers"))?;
    let memory = patient.machine.memory_bytes.ok_or_else(|| unknown("the memory's size"))?;
    let own = patient.config.spool.memory.saturating_add(patient.config.assets.memory);
    let needed = loaded.peak_bytes.saturating_mul(u64::from(workers)).saturating_add(own);
    let share = needed.saturating_mul(100) / memory.max(1);
    let severity = match share {
        0..80 => return Ok(vec![]),
        80..100 => Severity::Warning,
        _ => Severity::Error,
    };
    let mib = |bytes: u64| bytes >> 20;
    let evidence = format!(
        "{workers} workers of {} MiB each when freshly loaded and {} MiB for forebay's spool and assets are \
         {share} % of {} MiB",
        mib(loaded.peak_bytes),
        mib(own),
        mib(memory)
    );
    Ok(vec![Finding::new(severity, RULE.title, evidence)])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn workers_are_counted_against_the_memory() {
        let mut patient = fixture::healthy();
        let own = patient.config.spool.memory + patient.config.assets.memory;
        let needed = 4 * (60 << 20) + own;
        for (memory, expected) in [
            (needed * 100 / 79, &[][..]),
            (needed * 100 / 81, &[("FD-50", Severity::Warning)]),
            (needed, &[("FD-50", Severity::Error)]),
        ] {
            patient.machine.memory_bytes = Some(memory);
            assert_eq!(fixture::found(&patient), expected, "{memory}");
        }
        patient.machine.memory_bytes = None;
        assert!(check(&patient).is_err());
    }
}
