//! FD-11: forms are refused because of their origin.
//!
//! Owns: this rule.
//! Must not know: how settings are read.

use super::super::scheme::{self, Knows};
use super::super::{Finding, Patient, Rule, Severity, Verdict};
use crate::proxy::normalise::Edges;

pub(super) const RULE: Rule = Rule {
    id: "FD-11",
    title: "Forms fail with \"CSRF verification failed\"",
    why: "TLS ends before the container: where Django takes the visitor for one over http, the browser's \
          `Origin: https://…` fits nothing, and every POST gets 403",
    mend: "add `https://` and the host to CSRF_TRUSTED_ORIGINS, and set SECURE_PROXY_SSL_HEADER to \
           (\"HTTP_X_FORWARDED_PROTO\", \"https\")",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let details = patient.details()?;
    let origins = &details.csrf_trusted_origins;
    let evidence = format!("CSRF_TRUSTED_ORIGINS = {origins:?}");
    let mut found: Vec<_> = origins
        .iter()
        .filter(|origin| !origin.contains("://"))
        .map(|origin| {
            let what =
                format!("`{origin}` in CSRF_TRUSTED_ORIGINS has no scheme and counts for nothing");
            Finding::new(Severity::Error, what, &evidence)
                .mended_by(format!("write `https://{origin}` (Django 4.0 and later demand it)"))
        })
        .collect();
    if !details.middleware.iter().any(|name| name.ends_with("CsrfViewMiddleware")) {
        return Ok(found);
    }
    if let Knows::Never(why) = scheme::knows(patient)? {
        let missing = patient.hosts().into_iter().filter(|host| !is_trusted(host, origins));
        found.extend(missing.map(|host| {
            let what = format!("forms at https://{host} are refused");
            Finding::new(Severity::Error, what, format!("{evidence}; {why}"))
        }));
    }
    let has_edge = matches!(patient.config.normalise.edges, Edges::FrontDoor(_));
    if has_edge && origins.is_empty() && !details.uses_forwarded_host {
        let what =
            "behind Front Door forms are refused where the origin's Host is not the visitor's";
        let mend =
            "add the visitors' host to CSRF_TRUSTED_ORIGINS, or let Front Door pass their Host on";
        found.push(Finding::new(Severity::Warning, what, &evidence).mended_by(mend));
    }
    Ok(found)
}

/// Whether `https://host` is among the origins, also by `https://*.domain`.
fn is_trusted(host: &str, origins: &[String]) -> bool {
    let hosts = origins.iter().filter_map(|origin| origin.strip_prefix("https://"));
    hosts.into_iter().any(|origin| match origin.strip_prefix('*') {
        Some(domain) => host.ends_with(domain),
        None => origin.eq_ignore_ascii_case(host),
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn an_origin_without_a_scheme_is_found() {
        let mut patient = fixture::healthy();
        fixture::details(&mut patient).csrf_trusted_origins = vec!["www.example.com".to_owned()];
        assert_eq!(fixture::found(&patient), [("FD-11", Severity::Error)]);
        assert!(fixture::words(&patient, "FD-11").contains("write `https://www.example.com`"));
    }

    #[test]
    fn without_the_scheme_the_origin_must_be_listed() {
        let mut patient = fixture::healthy();
        patient.start.as_mut().unwrap().traits.server = Some("granian");
        let details = fixture::details(&mut patient);
        (details.proxy_ssl_header, details.ssl_redirect) = (None, false);
        details.csrf_trusted_origins.clear();
        let found = fixture::found(&patient);
        assert!(found.contains(&("FD-11", Severity::Error)), "{found:?}");
        for origin in ["https://www.example.com", "https://*.example.com"] {
            fixture::details(&mut patient).csrf_trusted_origins = vec![origin.to_owned()];
            assert_eq!(check(&patient), Ok(vec![]), "{origin}");
        }
    }

    #[test]
    fn front_door_with_a_host_of_its_own_is_told() {
        let mut patient = fixture::with_flags(&[("edges", "front-door")]);
        assert_eq!(fixture::found(&patient), []);
        fixture::details(&mut patient).csrf_trusted_origins.clear();
        assert_eq!(fixture::found(&patient), [("FD-11", Severity::Warning)]);
    }
}
