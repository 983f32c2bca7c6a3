//! FD-13: `SECURE_SSL_REDIRECT` sends visitors round in a circle.
//!
//! Owns: this rule.
//! Must not know: how settings are read.

use super::super::scheme::{self, Knows};
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-13",
    title: "SECURE_SSL_REDIRECT sends visitors round in a circle",
    why: "Django takes every visitor for one over http and sends them to https, where the same happens \
          again: the browser says \"too many redirects\"",
    mend: "set SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\") and leave --scheme out",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let details = patient.details()?;
    let obeys = details.middleware.iter().any(|name| name.ends_with("SecurityMiddleware"));
    if !details.ssl_redirect || !obeys {
        return Ok(vec![]);
    }
    let Knows::Never(why) = scheme::knows(patient)? else { return Ok(vec![]) };
    let evidence = format!("SECURE_SSL_REDIRECT = True, and Django never sees https: {why}");
    Ok(vec![Finding::new(Severity::Error, RULE.title, evidence)])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_redirect_that_never_ends_is_found() {
        let mut patient = fixture::with_flags(&[("scheme", "http")]);
        let found = fixture::found(&patient);
        assert_eq!(found, [("FD-12", Severity::Error), ("FD-13", Severity::Error)]);
        fixture::details(&mut patient).middleware.remove(0);
        assert_eq!(check(&patient), Ok(vec![]), "nobody redirects");
    }
}
