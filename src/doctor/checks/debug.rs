//! FD-15: the site runs with `DEBUG`.
//!
//! Owns: this rule.
//! Must not know: how settings are read.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-15",
    title: "DEBUG is on",
    why: "every error shows strangers the code and much of the settings, and each worker keeps every SQL \
          query until its memory is used up",
    mend: "set DEBUG = False; mind that the text \"False\" of an app setting is true in Python unless it \
           is compared",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let site = patient.django()?;
    if !site.debug {
        return Ok(vec![]);
    }
    let is_public = patient.platform().has_front_end();
    let severity = if is_public { Severity::Error } else { Severity::Note };
    let evidence = format!("DEBUG = True in {}", site.settings);
    Ok(vec![Finding::new(severity, RULE.title, evidence)])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn it_is_an_error_on_a_platform_and_a_note_at_home() {
        for (platform, severity) in [("auto", Severity::Error), ("none", Severity::Note)] {
            let mut patient = fixture::with_flags(&[("platform", platform)]);
            patient.django.as_mut().unwrap().debug = true;
            assert_eq!(fixture::found(&patient), [("FD-15", severity)], "{platform}");
        }
    }
}
