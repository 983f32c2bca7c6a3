//! FD-03: the application cannot be loaded.
//!
//! Owns: this rule.
//! Must not know: how it is loaded.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-03",
    title: "The application cannot be loaded",
    why: "workers die as soon as they boot, and the container restarts until the platform blocks it for \
          some minutes",
    mend: "import the module by hand, as `python -c 'import mysite.wsgi'`, in the same directory with \
           the same variables",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let Err(why) = patient.loaded.as_ref().map_err(Clone::clone)? else { return Ok(vec![]) };
    // The settings are a rule of their own.
    if patient.django_fault.is_some() {
        return Ok(vec![]);
    }
    Ok(vec![Finding::new(Severity::Error, RULE.title, why)])
}

#[cfg(test)]
mod tests {
    use super::super::super::{NotLooked, fixture};
    use super::*;

    #[test]
    fn an_import_that_fails_is_found() {
        let mut patient = fixture::healthy();
        patient.loaded = Ok(Err("ModuleNotFoundError: No module named 'psycopg'".to_owned()));
        assert_eq!(fixture::found(&patient), [("FD-03", Severity::Error)]);
        assert!(fixture::words(&patient, "FD-03").contains("psycopg"));
        patient.loaded = Err(NotLooked::because("--offline"));
        assert!(check(&patient).is_err());
    }
}
