//! FD-10: a host by which the site is reached is not in `ALLOWED_HOSTS`.
//!
//! Owns: this rule, and how Django compares hosts.
//! Must not know: how settings are read.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-10",
    title: "A host of the site is not in ALLOWED_HOSTS",
    why: "Django answers 400 (DisallowedHost) to everybody who uses that name; forebay, which asks with \
          it, takes the site for ready and warns in the log, and visitors see the 400",
    mend: "add the name to ALLOWED_HOSTS, bare: without scheme, port or path; or correct --host",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let site = patient.django()?;
    let allowed = &site.allowed_hosts;
    let hosts = patient.hosts();
    let evidence = |host: &str| format!("ALLOWED_HOSTS = {allowed:?}, and the host is `{host}`");
    let is_allowed = |host: &str| is_allowed(host, allowed, site.debug);
    let mut found: Vec<_> = hosts
        .iter()
        .filter(|host| !is_allowed(host))
        .map(|host| {
            let origin = patient.config.origin_of("host");
            let what = format!("`{host}` is not in ALLOWED_HOSTS (the host is set by {origin})");
            Finding::new(Severity::Error, what, evidence(host))
        })
        .collect();
    if hosts.is_empty() && patient.platform().has_front_end() {
        let what = "no host is known by which the site is reached";
        let mend = "set --host to a name that is in ALLOWED_HOSTS";
        let evidence = format!("--host is not set, ALLOWED_HOSTS = {allowed:?}");
        found.push(Finding::new(Severity::Warning, what, evidence).mended_by(mend));
    }
    if let Some(host) = patient.variable("WEBSITE_HOSTNAME")
        && !hosts.iter().any(|it| it.eq_ignore_ascii_case(host))
        && !is_allowed(host)
    {
        let what = "Always On and visitors of the default domain get 400";
        let mend =
            "add os.environ[\"WEBSITE_HOSTNAME\"] to ALLOWED_HOSTS, or set --always-on answer";
        found.push(Finding::new(Severity::Note, what, evidence(host)).mended_by(mend));
    }
    if allowed.iter().any(|pattern| pattern == "*") {
        let what =
            "ALLOWED_HOSTS takes any host, so strangers can put theirs into links and e-mails";
        let mend = "name your hosts: behind forebay probes need no `*`, it answers them itself";
        let evidence = format!("ALLOWED_HOSTS = {allowed:?}");
        found.push(Finding::new(Severity::Note, what, evidence).mended_by(mend));
    }
    Ok(found)
}

/// As `django.http.request.validate_host` compares; the port does not count.
fn is_allowed(host: &str, allowed: &[String], is_debug: bool) -> bool {
    let host = host.to_ascii_lowercase();
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host.as_str(),
    };
    let host = without_port.strip_suffix('.').unwrap_or(without_port);
    let matches = |pattern: &str| {
        let pattern = pattern.to_ascii_lowercase();
        let is_below = pattern
            .strip_prefix('.')
            .is_some_and(|domain| host == domain || host.ends_with(&pattern));
        pattern == "*" || is_below || pattern == host
    };
    if is_debug && allowed.is_empty() {
        return [".localhost", "127.0.0.1", "[::1]"].iter().any(|pattern| matches(pattern));
    }
    allowed.iter().any(|pattern| matches(pattern))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn hosts_are_compared_as_django_does() {
        for (host, allowed, expected) in [
            ("www.example.com", &["www.example.com"][..], true),
            ("WWW.example.com:8000", &["www.Example.com"], true),
            ("www.example.com.", &["www.example.com"], true),
            ("www.example.com", &[".example.com"], true),
            ("example.com", &[".example.com"], true),
            ("badexample.com", &[".example.com"], false),
            ("www.example.com", &["https://www.example.com"], false),
            ("www.example.com", &[], false),
            ("anything", &["*"], true),
        ] {
            let allowed: Vec<_> = allowed.iter().map(|it| (*it).to_owned()).collect();
            assert_eq!(is_allowed(host, &allowed, false), expected, "{host} {allowed:?}");
        }
        assert!(is_allowed("localhost", &[], true) && !is_allowed("a.example", &[], true));
    }

    #[test]
    fn the_canonical_host_must_be_allowed() {
        let mut patient = fixture::healthy();
        let allowed = |hosts: &[&str]| hosts.iter().map(|it| (*it).to_owned()).collect();
        patient.django.as_mut().unwrap().allowed_hosts = allowed(&[".azurewebsites.net"]);
        assert_eq!(fixture::found(&patient), [("FD-10", Severity::Error)]);
        assert!(fixture::words(&patient, "FD-10").contains("set by --host"));
        patient.django.as_mut().unwrap().allowed_hosts = allowed(&["www.example.com"]);
        assert_eq!(fixture::found(&patient), [("FD-10", Severity::Note)], "the default domain");
        patient.django.as_mut().unwrap().allowed_hosts = allowed(&["*"]);
        assert_eq!(fixture::found(&patient), [("FD-10", Severity::Note)], "any");
    }
}
