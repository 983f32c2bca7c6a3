//! FD-23: files that are served from the network share.
//!
//! Owns: this rule.
//! Must not know: how files are served.

use std::path::Path;

use super::super::{Finding, Patient, Rule, Severity, Verdict};
use crate::proxy::normalise::Platform;

pub(super) const RULE: Rule = Rule {
    id: "FD-23",
    title: "Files are served from /home",
    why: "/home is a network share: reading is slow, it stalls when the storage fails over, and changes \
          are not announced reliably",
    mend: "serve the copy that the platform unpacks beside the code (a relative path or $APP_PATH), and \
           keep --spool-dir in /tmp",
    check,
};

#[expect(clippy::unnecessary_wraps, reason = "every check has this form")]
fn check(patient: &Patient) -> Verdict {
    if patient.platform() != Platform::AppService {
        return Ok(vec![]);
    }
    let assets = patient.config.assets.places.iter();
    let assets = assets.map(|place| ("--static", place.directory.as_path()));
    let spool = ("--spool-dir", patient.config.spool.directory.as_path());
    let at_home = assets.chain([spool]).filter(|(_, path)| is_at_home(path));
    Ok(at_home
        .map(|(setting, path)| {
            let evidence = format!("{setting} is {}", path.display());
            Finding::new(Severity::Warning, RULE.title, evidence)
        })
        .collect())
}

fn is_at_home(path: &Path) -> bool {
    let real = std::fs::canonicalize(path);
    real.as_deref().unwrap_or(path).starts_with("/home")
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn the_share_is_found_on_app_service_only() {
        let flags = [("static", "/static/=/home/site/wwwroot/staticfiles")];
        assert_eq!(fixture::found(&fixture::with_flags(&flags)), [("FD-23", Severity::Warning)]);
        let elsewhere = [flags[0], ("platform", "kubernetes")];
        assert_eq!(fixture::found(&fixture::with_flags(&elsewhere)), []);
        let spool = fixture::with_flags(&[("spool-dir", "/home")]);
        assert!(fixture::found(&spool).contains(&("FD-23", Severity::Warning)));
    }
}
