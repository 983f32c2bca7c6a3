//! FD-62: an old file of root certificates for the database.
//!
//! Owns: this rule, and which file libpq reads.
//! Must not know: how TLS is spoken.

use std::path::PathBuf;

use super::super::{Finding, Patient, Rule, Severity, Verdict};
use crate::python::details::Database;
use crate::tls;

pub(super) const RULE: Rule = Rule {
    id: "FD-62",
    title: "The file of root certificates does not fit Azure's databases",
    why: "servers prove themselves with DigiCert Global Root G2 or Microsoft RSA Root 2017; old guides \
          give a file with another root, and with any file there libpq turns `sslmode=require` into \
          verify-ca: connecting fails, now or when the region's certificates rotate",
    mend: "use `sslrootcert=system` with `sslmode=verify-full` (libpq 16 and later), or a file with both \
           roots",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let databases = &patient.details()?.databases;
    let azures = databases.iter().filter(|it| speaks_tls(patient, it));
    Ok(azures.filter_map(|database| of(patient, database)).collect())
}

/// Whether libpq speaks TLS with one of Azure's servers; through the leg forebay does, and verifies in
/// full.
pub(super) fn speaks_tls(patient: &Patient, database: &Database) -> bool {
    let leg = patient.config.postgres.as_ref().map(|leg| leg.server.host.as_str());
    database.is_postgres() && is_azures(&database.host) && leg != Some(database.host.as_str())
}

pub(super) fn is_azures(host: &str) -> bool {
    host.to_ascii_lowercase().ends_with(".postgres.database.azure.com")
}

/// The mode in force: the settings' own, else PGSSLMODE, else libpq's default.
pub(super) fn mode<'a>(patient: &'a Patient, database: &'a Database) -> &'a str {
    database.sslmode.as_deref().or_else(|| patient.variable("PGSSLMODE")).unwrap_or("prefer")
}

/// The file that libpq reads, and who names it; nothing where none is there by default.
pub(super) fn file(patient: &Patient, database: &Database) -> Option<(PathBuf, String)> {
    let named = database.sslrootcert.clone().map(|path| (path, "sslrootcert in OPTIONS"));
    let named = named.or_else(|| {
        patient.variable("PGSSLROOTCERT").map(|path| (path.to_owned(), "PGSSLROOTCERT"))
    });
    if let Some((path, origin)) = named {
        let path = if path == "system" { path.into() } else { patient.directory.join(path) };
        return Some((path, origin.to_owned()));
    }
    let path = PathBuf::from(patient.variable("HOME")?).join(".postgresql/root.crt");
    path.is_file().then(|| (path, "libpq's default".to_owned()))
}

fn of(patient: &Patient, database: &Database) -> Option<Finding> {
    let mode = mode(patient, database);
    let (path, origin) = file(patient, database)?;
    let verifies = mode.starts_with("verify");
    if path.as_os_str() == "system" || !(verifies || mode == "require") {
        return None;
    }
    let whose = format!("DATABASES[{:?}], sslmode={mode}", database.alias);
    let named = format!("{} ({origin}; {whose})", path.display());
    let roots = match tls::read_roots(&path) {
        Ok(roots) => roots,
        // Without the file `require` verifies nothing, and works.
        Err(tls::Error::Unreadable { .. }) if !verifies && !path.exists() => return None,
        Err(why) => {
            let what = format!("the roots for the database cannot be used: {why}");
            return Some(Finding::new(Severity::Error, what, named));
        }
    };
    let has = |name: &str| {
        roots.iter().any(|root| {
            // Who signs itself has its name twice: as the issuer and as the subject.
            memchr::memmem::find_iter(root, name.as_bytes()).count() >= 2
        })
    };
    let missing: Vec<_> = ROOTS.iter().copied().filter(|name| !has(name)).collect();
    let (severity, what) = match missing.len() {
        0 => return None,
        1 => (Severity::Warning, format!("the roots for the database lack {}", missing.concat())),
        _ if verifies => (Severity::Error, "the roots for the database are not Azure's".to_owned()),
        _ => (
            Severity::Error,
            "an old root file turns sslmode=require into verify-ca, which fails".to_owned(),
        ),
    };
    Some(Finding::new(severity, what, named))
}

/// The roots of the public regions (facts, 8).
const ROOTS: &[&str] =
    &["DigiCert Global Root G2", "Microsoft RSA Root Certificate Authority 2017"];

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::super::super::fixture;
    use super::*;

    /// Certificates that sign themselves, with these names.
    fn roots(names: &[&str]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = String::new();
        for name in names {
            let made = Command::new("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
                .args(["-nodes", "-keyout", "/dev/null", "-subj", &format!("/CN={name}")])
                .output()
                .unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            text.push_str(&String::from_utf8(made.stdout).unwrap());
        }
        fs::write(file.path(), text).unwrap();
        file
    }

    fn found(file: &str, mode: &str) -> Vec<(&'static str, Severity)> {
        let mut patient = fixture::healthy();
        let database = fixture::default_database(&mut patient);
        database.sslrootcert = Some(file.to_owned());
        database.sslmode = Some(mode.to_owned());
        fixture::found(&patient).into_iter().filter(|(id, _)| *id == RULE.id).collect()
    }

    #[test]
    fn the_roots_in_the_file_are_looked_at() {
        for (names, mode, expected) in [
            (&["DigiCert Global Root CA"][..], "require", Some(Severity::Error)),
            (&["DigiCert Global Root CA"], "verify-full", Some(Severity::Error)),
            (&["DigiCert Global Root CA"], "prefer", None),
            (&["DigiCert Global Root G2"], "verify-full", Some(Severity::Warning)),
            (ROOTS, "require", None),
        ] {
            let file = roots(names);
            let found = found(file.path().to_str().unwrap(), mode);
            let expected: Vec<_> =
                expected.map(|severity| (RULE.id, severity)).into_iter().collect();
            assert_eq!(found, expected, "{names:?} {mode}");
        }
    }

    #[test]
    fn a_file_that_is_missing_or_none_is_found() {
        let missing = "certificates/none.pem";
        assert_eq!(found(missing, "verify-full"), [(RULE.id, Severity::Error)]);
        assert_eq!(found(missing, "require"), []);
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(found(path, "require"), [(RULE.id, Severity::Error)]);
    }
}
