//! FD-42: time-outs in the wrong order.
//!
//! Owns: this rule.
//! Must not know: which pairs there are.

use super::super::{Finding, Patient, Rule, Severity, Verdict};
use crate::site;

pub(super) const RULE: Rule = Rule {
    id: "FD-42",
    title: "Time-outs are in the wrong order",
    why: "the front end gives up at 230 s and the platform kills at the end of its grace, 5 s by default: \
          whoever waits longer works for nobody, and is cut",
    mend: "gunicorn's --timeout below 230, --graceful-timeout below the grace, and forebay's own left out, \
           since they follow from gunicorn's",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let traits = &patient.start()?.traits;
    let server = traits.server.unwrap_or("the application server");
    let found = site::misfits(&patient.config, traits).into_iter().map(|misfit| {
        Finding::new(Severity::Warning, misfit.what, format!("the configuration of {server}"))
            .mended_by(misfit.mend)
    });
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_worker_that_outlives_the_front_end_is_found() {
        let mut patient = fixture::healthy();
        patient.start.as_mut().unwrap().traits.timeout = Some(Duration::from_mins(10));
        assert_eq!(fixture::found(&patient), [("FD-42", Severity::Warning)]);
        assert!(fixture::words(&patient, "FD-42").contains("230 s"));
    }
}
