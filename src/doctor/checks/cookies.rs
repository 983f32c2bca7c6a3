//! FD-14: cookies that also go over http.
//!
//! Owns: this rule.
//! Must not know: how settings are read.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-14",
    title: "The session's or the CSRF cookie is sent over http too",
    why: "the front end takes http as well unless \"HTTPS Only\" is on, and then a stranger on the way \
          reads the cookie",
    mend: "set SESSION_COOKIE_SECURE and CSRF_COOKIE_SECURE to True, and turn \"HTTPS Only\" on",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let details = patient.details()?;
    if !patient.platform().has_front_end() {
        return Ok(vec![]);
    }
    let uses = |part: &str| details.middleware.iter().any(|name| name.ends_with(part));
    let open: Vec<_> = [
        ("SESSION_COOKIE_SECURE", uses("SessionMiddleware") && !details.session_cookie_secure),
        ("CSRF_COOKIE_SECURE", uses("CsrfViewMiddleware") && !details.csrf_cookie_secure),
    ]
    .into_iter()
    .filter_map(|(name, is_open)| is_open.then_some(name))
    .collect();
    if open.is_empty() {
        return Ok(vec![]);
    }
    let evidence = open.iter().map(|name| format!("{name} = False")).collect::<Vec<_>>().join(", ");
    Ok(vec![Finding::new(Severity::Note, RULE.title, evidence)])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn an_open_cookie_is_told_where_it_is_used() {
        let mut patient = fixture::healthy();
        fixture::details(&mut patient).session_cookie_secure = false;
        assert_eq!(fixture::found(&patient), [], "there are no sessions");
        fixture::details(&mut patient).csrf_cookie_secure = false;
        assert_eq!(fixture::found(&patient), [("FD-14", Severity::Note)]);
    }
}
