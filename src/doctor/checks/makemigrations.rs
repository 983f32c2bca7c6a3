//! FD-32: migrations are made where they should only be run.
//!
//! Owns: this rule.
//! Must not know: how scripts are found.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-32",
    title: "A start script runs makemigrations",
    why: "each instance makes its own files, which nobody commits and the next start forgets: the \
          database gets columns that no migration of the repository knows",
    mend: "run makemigrations at your desk, commit what it writes, and let only `migrate` run there, in \
           `release`",
    check,
};

#[expect(clippy::unnecessary_wraps, reason = "every check has this form")]
fn check(patient: &Patient) -> Verdict {
    let mut found = Vec::new();
    for script in &patient.scripts {
        let lines = script.lines.iter().filter(|line| is_it(&line.text));
        found
            .extend(lines.map(|line| Finding::new(Severity::Error, RULE.title, script.cite(line))));
    }
    let line = patient.start.iter().map(|start| start.web.join(" ")).find(|line| is_it(line));
    if let Some(line) = line.filter(|_| found.is_empty()) {
        let evidence = format!("the start command: {}", crate::telemetry::redacted(&line));
        found.push(Finding::new(Severity::Error, RULE.title, evidence));
    }
    Ok(found)
}

/// With `--check` it only asks whether any are missing.
fn is_it(line: &str) -> bool {
    line.contains("makemigrations") && !line.contains("--check") && !line.contains("--dry-run")
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::scripts::Script;
    use super::*;

    #[test]
    fn it_is_found_wherever_it_is_written() {
        for (name, text) in [
            ("start.sh", "python manage.py makemigrations --noinput"),
            ("Procfile", "release: python manage.py makemigrations && python manage.py migrate"),
            ("PRE_RUN_COMMAND", "python manage.py makemigrations"),
        ] {
            let mut patient = fixture::healthy();
            patient.scripts.push(Script::new(name, text));
            assert_eq!(fixture::found(&patient), [("FD-32", Severity::Error)], "{name}");
            assert!(fixture::words(&patient, "FD-32").contains(&format!("{name}:1: ")));
        }
        let mut patient = fixture::healthy();
        patient.scripts.push(Script::new("ci.sh", "python manage.py makemigrations --check"));
        assert_eq!(fixture::found(&patient), []);
        patient.start.as_mut().unwrap().web =
            ["sh", "-c", "python manage.py makemigrations; gunicorn a.b"]
                .map(str::to_owned)
                .to_vec();
        assert_eq!(fixture::found(&patient), [("FD-32", Severity::Error)]);
    }
}
