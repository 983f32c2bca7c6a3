//! FD-21: static files that are not collected.
//!
//! Owns: this rule.
//! Must not know: how files are served.

use std::fs;

use super::super::scripts::When;
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-21",
    title: "Static files are not collected",
    why: "pages come without styles, and with a manifest storage every page that names a file is a 500; \
          the platform's build collects them only where it finds manage.py and DISABLE_COLLECTSTATIC is \
          not set",
    mend: "run `python manage.py collectstatic --noinput` in the build, or in `release`",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let (site, details) = (patient.django()?, patient.details()?);
    let Some(root) = &site.static_root else { return Ok(vec![]) };
    if !details.apps.iter().any(|name| name.starts_with("django.contrib.staticfiles")) {
        return Ok(vec![]);
    }
    let has_manifest = site.storage.as_ref().is_some_and(|name| name.contains("Manifest"));
    let shown = root.display();
    let lack = match fs::read_dir(root).map(|mut entries| entries.next().is_none()) {
        Err(why) => format!("STATIC_ROOT {shown} cannot be read: {why}"),
        Ok(true) => format!("STATIC_ROOT {shown} is empty"),
        Ok(false) if has_manifest && !root.join("staticfiles.json").is_file() => {
            format!("STATIC_ROOT {shown} has no staticfiles.json, which the storage needs")
        }
        Ok(false) => return Ok(vec![]),
    };
    let is_disabled = patient.variable("DISABLE_COLLECTSTATIC");
    let evidence = match is_disabled {
        Some(_) => format!("{lack}; DISABLE_COLLECTSTATIC is set"),
        None => lack,
    };
    let mut lines = patient.scripts.iter().flat_map(|script| &script.lines);
    let comes = lines.any(|line| line.when != When::Build && line.text.contains("collectstatic"));
    let severity = match (comes, has_manifest) {
        (true, _) => Severity::Note,
        (false, true) => Severity::Error,
        (false, false) => Severity::Warning,
    };
    let what = if comes { "Static files are collected at the start only" } else { RULE.title };
    Ok(vec![Finding::new(severity, what, evidence)])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::scripts::Script;
    use super::*;

    #[test]
    fn a_folder_without_files_is_found() {
        let mut patient = fixture::healthy();
        let site = patient.django.as_mut().unwrap();
        site.static_root = Some(fixture::directory().join("nowhere"));
        assert_eq!(fixture::found(&patient), [("FD-21", Severity::Error)]);
        patient.django.as_mut().unwrap().storage = None;
        assert_eq!(fixture::found(&patient), [("FD-21", Severity::Warning)]);
        let release = "release: python manage.py collectstatic --noinput";
        patient.scripts.push(Script::new("Procfile", release));
        assert_eq!(fixture::found(&patient), [("FD-21", Severity::Note)]);
    }

    #[test]
    fn a_manifest_that_is_missing_is_found() {
        let mut patient = fixture::healthy();
        let site = patient.django.as_mut().unwrap();
        site.static_root = Some(fixture::directory().join("mysite"));
        assert_eq!(fixture::found(&patient), [("FD-21", Severity::Error)]);
        assert!(fixture::words(&patient, "FD-21").contains("staticfiles.json"));
        patient.django.as_mut().unwrap().storage = None;
        assert_eq!(fixture::found(&patient), []);
    }
}
