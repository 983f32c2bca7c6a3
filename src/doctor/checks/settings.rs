//! FD-01: Django's settings cannot be loaded.
//!
//! Owns: this rule.
//! Must not know: how it is found out.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-01",
    title: "Django's settings cannot be loaded",
    why: "no worker starts, so the platform kills the container at its start limit and begins again; \
          mostly a variable or a package is missing there that is there elsewhere",
    mend: "load them by hand in the same directory with the same variables",
    check,
};

fn check(patient: &Patient) -> Verdict {
    if let Some(fault) = &patient.django_fault {
        let finding = Finding::new(Severity::Error, RULE.title, &fault.what);
        return Ok(vec![finding.mended_by(&fault.mend)]);
    }
    patient.details().map(|_| vec![])
}

#[cfg(test)]
mod tests {
    use super::super::super::patient::Fault;
    use super::super::super::{NotLooked, fixture};
    use super::*;

    #[test]
    fn a_module_that_raises_is_found_and_hides_the_rest() {
        let mut patient = fixture::healthy();
        patient.django = Err(NotLooked::because("dark"));
        assert_eq!(check(&patient), Err(NotLooked::because("dark")), "no Django site");
        let (what, mend) = ("KeyError: 'SECRET_KEY'".to_owned(), "try it".to_owned());
        patient.django_fault = Some(Fault { what, mend });
        assert_eq!(fixture::found(&patient), [("FD-01", Severity::Error)]);
    }
}
