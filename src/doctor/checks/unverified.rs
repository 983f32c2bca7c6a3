//! FD-63: a database that nobody makes prove who it is.
//!
//! Owns: this rule.
//! Must not know: how TLS is spoken.

use super::super::{Finding, Patient, Rule, Severity, Verdict};
use super::roots::{file, mode, speaks_tls};

pub(super) const RULE: Rule = Rule {
    id: "FD-63",
    title: "TLS to the database is off, or proves nothing",
    why: "the server demands TLS (require_secure_transport); without verification whoever can answer in \
          its place reads the password",
    mend: "set OPTIONS to {\"sslmode\": \"verify-full\", \"sslrootcert\": \"system\"}",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let databases = &patient.details()?.databases;
    let mut found = Vec::new();
    for database in databases.iter().filter(|it| speaks_tls(patient, it)) {
        let mode = mode(patient, database);
        let evidence =
            format!("DATABASES[{:?}] at {}, sslmode={mode}", database.alias, database.host);
        let (severity, what) = match mode {
            "disable" => (Severity::Error, "the server refuses connections without TLS"),
            "verify-full" | "verify-ca" => continue,
            "require" if file(patient, database).is_some_and(|(path, _)| path.is_file()) => {
                continue;
            }
            _ => (Severity::Note, "TLS is used, and the server need not prove who it is"),
        };
        found.push(Finding::new(severity, what, evidence));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn no_tls_is_an_error_and_no_proof_a_note() {
        for (mode, expected) in [
            (Some("disable"), &[("FD-63", Severity::Error)][..]),
            (Some("require"), &[("FD-63", Severity::Note)]),
            (None, &[("FD-63", Severity::Note)]),
            (Some("verify-full"), &[]),
        ] {
            let mut patient = fixture::healthy();
            let database = fixture::default_database(&mut patient);
            database.sslmode = mode.map(str::to_owned);
            database.sslrootcert = Some("system".to_owned());
            assert_eq!(fixture::found(&patient), expected, "{mode:?}");
        }
    }
}
