//! FD-20: static files that nobody serves.
//!
//! Owns: this rule.
//! Must not know: how files are served.

use super::super::{Finding, Patient, Rule, Severity, Verdict};
use crate::site;

pub(super) const RULE: Rule = Rule {
    id: "FD-20",
    title: "Static files are served by nobody",
    why: "without DEBUG Django does not serve them: pages come without styles, and `collectstatic`, which \
          the platform's build runs, fails without STATIC_ROOT",
    mend: "set STATIC_ROOT = BASE_DIR / \"staticfiles\" and STATIC_URL = \"/static/\"; forebay then serves \
           what collectstatic puts there",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let (site, details) = (patient.django()?, patient.details()?);
    let uses = details.apps.iter().any(|name| name.starts_with("django.contrib.staticfiles"));
    let is_chosen = patient.config.is_chosen("static") && site.static_root.is_some();
    let (true, false, Err(why)) = (uses, is_chosen, site::static_files(site)) else {
        return Ok(vec![]);
    };
    // WhiteNoise serves what forebay cannot.
    let severity = if site.has_whitenoise { Severity::Note } else { Severity::Warning };
    let evidence = format!("{why}; django.contrib.staticfiles is in INSTALLED_APPS");
    Ok(vec![Finding::new(severity, RULE.title, evidence)])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn no_root_is_found_where_the_app_is_used() {
        let mut patient = fixture::healthy();
        patient.django.as_mut().unwrap().static_root = None;
        assert_eq!(fixture::found(&patient), [("FD-20", Severity::Warning)]);
        fixture::details(&mut patient).apps.clear();
        assert_eq!(fixture::found(&patient), []);
    }
}
