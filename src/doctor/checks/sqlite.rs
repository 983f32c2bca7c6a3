//! FD-24: a database in a file.
//!
//! Owns: this rule.
//! Must not know: how settings are read.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-24",
    title: "The database is a file of SQLite",
    why: "outside /home the file is gone at the next restart; in /home it lies on a network share where \
          file locks are unreliable; and every instance has its own",
    mend: "use a server, such as Azure Database for PostgreSQL; perhaps a variable is missing that should \
           name it",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let details = patient.details()?;
    if !patient.platform().has_front_end() {
        return Ok(vec![]);
    }
    let files = details.databases.iter().filter(|it| it.engine.contains("sqlite"));
    Ok(files
        .map(|it| {
            let severity = if it.alias == "default" { Severity::Error } else { Severity::Warning };
            let evidence = format!("DATABASES[{:?}]: {} at {}", it.alias, it.engine, it.name);
            Finding::new(severity, RULE.title, evidence)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_file_as_the_default_database_is_found() {
        let mut patient = fixture::healthy();
        let database = fixture::default_database(&mut patient);
        "django.db.backends.sqlite3".clone_into(&mut database.engine);
        assert_eq!(fixture::found(&patient), [("FD-24", Severity::Error)]);
    }
}
