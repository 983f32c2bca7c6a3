//! FD-64: settings that a pooler does not bear.
//!
//! Owns: this rule.
//! Must not know: how settings are read.

use super::super::scripts::When;
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-64",
    title: "The database is reached through PgBouncer with settings that it does not bear",
    why: "Flexible Server's PgBouncer (port 6432) gives each transaction another connection: cursors of \
          the server, prepared statements and locks of a session are gone in the next one",
    mend: "set DISABLE_SERVER_SIDE_CURSORS to True and leave prepare_threshold out; let `release` reach \
           the server itself at 5432",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let databases = &patient.details()?.databases;
    let mut found = Vec::new();
    for database in databases.iter().filter(|it| it.is_postgres()) {
        let port = if database.port.is_empty() { patient.variable("PGPORT") } else { None };
        if port.unwrap_or(&database.port) != "6432" {
            continue;
        }
        let evidence = format!("DATABASES[{:?}] has port 6432", database.alias);
        if database.has_server_side_cursors {
            let what =
                "`.iterator()` fails now and then: its cursor is gone in the next transaction";
            found.push(Finding::new(
                Severity::Warning,
                what,
                format!("{evidence} and DISABLE_SERVER_SIDE_CURSORS is False"),
            ));
        }
        if database.prepares {
            let what =
                "queries fail now and then: the statement is not prepared on this connection";
            let evidence = format!("{evidence} and OPTIONS has prepare_threshold");
            found.push(Finding::new(Severity::Warning, what, evidence));
        }
        let mut lines = patient.scripts.iter().flat_map(|script| &script.lines);
        if lines.any(|line| line.when == When::Release && line.text.contains("migrate")) {
            let what = "migrations run through PgBouncer, where no lock of a session holds";
            found.push(Finding::new(Severity::Note, what, evidence));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::scripts::Script;
    use super::*;

    #[test]
    fn what_pgbouncer_does_not_bear_is_found() {
        let mut patient = fixture::healthy();
        "6432".clone_into(&mut fixture::default_database(&mut patient).port);
        assert_eq!(fixture::found(&patient), [("FD-64", Severity::Warning)]);
        fixture::default_database(&mut patient).has_server_side_cursors = false;
        assert_eq!(fixture::found(&patient), []);
        fixture::default_database(&mut patient).prepares = true;
        assert_eq!(fixture::found(&patient), [("FD-64", Severity::Warning)]);
        fixture::default_database(&mut patient).prepares = false;
        patient.scripts = vec![Script::new("Procfile", "release: python manage.py migrate")];
        assert_eq!(fixture::found(&patient), [("FD-64", Severity::Note)]);
    }
}
