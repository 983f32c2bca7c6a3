//! FD-52: a clock that is wrong.
//!
//! Owns: this rule.
//! Must not know: how the time is found out.

use std::time::Duration;

use super::super::{Finding, NotLooked, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-52",
    title: "The clock is wrong",
    why: "certificates count as expired or not yet valid, tokens of managed identities and signed links \
          are refused, and sessions end early",
    mend: "have the host's clock set (NTP); in a virtual machine after a pause restart its time service",
    check,
};

fn check(patient: &Patient) -> Verdict {
    if let Ok(Some(session)) = patient.database.as_ref().map(|it| it.outcome.as_ref().ok())
        && session.apart > APART
    {
        let evidence = format!("the clocks are {} s apart", session.apart.as_secs());
        let what = "The clock is not that of the database";
        return Ok(vec![Finding::new(Severity::Warning, what, evidence)]);
    }
    let machine = &patient.machine;
    let (path, modified) = machine
        .newest
        .as_ref()
        .ok_or_else(|| NotLooked::because("the site has no file to compare"))?;
    let Ok(ahead) = modified.duration_since(machine.now) else { return Ok(vec![]) };
    if ahead < ALLOWED {
        return Ok(vec![]);
    }
    let evidence = format!(
        "it is {}, and {} was written {} s later",
        humantime::format_rfc3339_seconds(machine.now),
        path.display(),
        ahead.as_secs()
    );
    Ok(vec![Finding::new(Severity::Warning, "The clock is behind the site's own files", evidence)])
}

/// Tokens and certificates bear a few seconds.
const APART: Duration = Duration::from_secs(10);

/// Archives keep times of machines in other zones.
const ALLOWED: Duration = Duration::from_hours(25);

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn another_time_than_the_databases_is_found() {
        let mut patient = fixture::healthy();
        for (seconds, is_found) in [(10, false), (11, true)] {
            let session = patient.database.as_mut().unwrap().outcome.as_mut().unwrap();
            session.apart = Duration::from_secs(seconds);
            assert_eq!(!fixture::found(&patient).is_empty(), is_found, "{seconds}");
        }
    }

    #[test]
    fn files_from_tomorrow_are_found() {
        let mut patient = fixture::healthy();
        let now = patient.machine.now;
        for (hours, is_found) in [(24, false), (26, true)] {
            let time = now + Duration::from_hours(hours);
            patient.machine.newest = Some(("manage.py".into(), time));
            assert_eq!(!fixture::found(&patient).is_empty(), is_found, "{hours}");
        }
        patient.machine.newest = None;
        assert!(check(&patient).is_err());
    }
}
