//! FD-22: WhiteNoise is still there.
//!
//! Owns: this rule.
//! Must not know: how files are served.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-22",
    title: "WhiteNoise is still in MIDDLEWARE",
    why: "it does no harm: forebay answers for the files before Django is asked; but each worker still \
          reads the whole tree at its start",
    mend: "nothing need be done; leave it for runs without forebay, or remove it for faster starts",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let site = patient.django()?;
    if !site.has_whitenoise {
        return Ok(vec![]);
    }
    let evidence = "MIDDLEWARE names whitenoise";
    let finding = Finding::new(Severity::Note, RULE.title, evidence);
    Ok(vec![match &site.whitenoise_root {
        Some(root) if !patient.config.is_chosen("static-root") => finding.mended_by(format!(
            "WhiteNoise still serves WHITENOISE_ROOT at `/`; let forebay do it with --static-root {}",
            root.display()
        )),
        Some(_) | None => finding,
    }])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn it_is_said_to_be_harmless() {
        let mut patient = fixture::healthy();
        patient.django.as_mut().unwrap().has_whitenoise = true;
        assert_eq!(fixture::found(&patient), [("FD-22", Severity::Note)]);
        patient.django.as_mut().unwrap().whitenoise_root = Some("/srv/root".into());
        assert!(fixture::words(&patient, "FD-22").contains("--static-root /srv/root"));
    }
}
