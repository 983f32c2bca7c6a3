//! FD-43: the platform waits too short for a start.
//!
//! Owns: this rule.
//! Must not know: how the time is measured.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-43",
    title: "The start limit is too small for this application",
    why: "a container that has not answered by WEBSITES_CONTAINER_START_TIME_LIMIT (230 s, at most 1800) \
          is killed and begins again; on a busy small instance a start takes several times as long as on \
          an idle one",
    mend: "raise WEBSITES_CONTAINER_START_TIME_LIMIT, or let the application import less at its start",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let Ok(loaded) = patient.loaded.as_ref().map_err(Clone::clone)? else {
        // FD-03 tells it.
        return Ok(vec![]);
    };
    let limit = patient.config.probes.start_limit;
    let severity = if loaded.time >= limit {
        Severity::Error
    } else if loaded.time * MARGIN >= limit {
        Severity::Warning
    } else {
        return Ok(vec![]);
    };
    let evidence = format!(
        "loading the application once took {:.1} s; the limit is {} s, set by {}",
        loaded.time.as_secs_f32(),
        limit.as_secs_f32(),
        patient.config.origin_of("start-limit"),
    );
    Ok(vec![Finding::new(severity, RULE.title, evidence)])
}

/// A start has so many times the measured time.
const MARGIN: u32 = 3;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::fixture;
    use super::*;
    use crate::python::load::Loaded;

    #[test]
    fn a_limit_is_compared_with_what_was_measured() {
        let limit = [("WEBSITES_CONTAINER_START_TIME_LIMIT", "30")];
        for (seconds, expected) in [
            (9, &[][..]),
            (10, &[("FD-43", Severity::Warning)]),
            (29, &[("FD-43", Severity::Warning)]),
            (30, &[("FD-43", Severity::Error)]),
        ] {
            let mut patient = fixture::with(&[], &limit);
            let time = Duration::from_secs(seconds);
            patient.loaded = Ok(Ok(Loaded { time, peak_bytes: 1 << 20 }));
            assert_eq!(fixture::found(&patient), expected, "{seconds}");
        }
    }
}
