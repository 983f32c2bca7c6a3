//! FD-65: connections to the database that are dropped while idle.
//!
//! Owns: this rule.
//! Must not know: how settings are read.

use super::super::{Finding, Patient, Rule, Severity, Verdict};
use super::roots::is_azures;

pub(super) const RULE: Rule = Rule {
    id: "FD-65",
    title: "Idle connections to the database are dropped on the way",
    why: "Azure's load balancer forgets a connection that was idle for about 4 minutes and tells nobody: \
          the next query hangs or fails",
    mend: "set CONN_HEALTH_CHECKS = True, and keepalives_idle = 60 in OPTIONS, or CONN_MAX_AGE below 240",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let databases = &patient.details()?.databases;
    let risky = databases.iter().filter(|it| {
        let is_kept = it.is_kept_for_ever || it.max_age >= IDLE_SECONDS;
        let is_guarded = it.is_checked || it.options.iter().any(|name| name == "keepalives_idle");
        it.is_postgres() && is_azures(&it.host) && is_kept && !is_guarded
    });
    Ok(risky
        .map(|it| {
            let age = if it.is_kept_for_ever { "None".to_owned() } else { it.max_age.to_string() };
            let evidence = format!(
                "DATABASES[{:?}]: CONN_MAX_AGE = {age}, no CONN_HEALTH_CHECKS, no keepalives_idle",
                it.alias
            );
            Finding::new(Severity::Warning, RULE.title, evidence)
        })
        .collect())
}

/// Facts, 8 and 6.
const IDLE_SECONDS: u64 = 240;

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_connection_that_is_kept_too_long_is_found() {
        let mut patient = fixture::healthy();
        for (age, expected) in [(239, &[][..]), (240, &[("FD-65", Severity::Warning)])] {
            fixture::default_database(&mut patient).max_age = age;
            assert_eq!(fixture::found(&patient), expected, "{age}");
        }
        fixture::default_database(&mut patient).is_checked = true;
        assert_eq!(fixture::found(&patient), []);
    }
}
