//! FD-33: every instance migrates at its start.
//!
//! Owns: this rule.
//! Must not know: how scripts are found.

use super::super::scripts::When;
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-33",
    title: "Migrations run at every start of every instance",
    why: "at a scale-out or a swap several instances change one database at once, and each start is as \
          long as the migration",
    mend: "write `release: python manage.py migrate --noinput` beside `web` into the Procfile, and start \
           with `forebay run` alone",
    check,
};

#[expect(clippy::unnecessary_wraps, reason = "every check has this form")]
fn check(patient: &Patient) -> Verdict {
    let mut found = Vec::new();
    for script in &patient.scripts {
        let lines = script.lines.iter();
        let lines = lines.filter(|line| line.when == When::Start && migrates(&line.text));
        found.extend(
            lines.map(|line| Finding::new(Severity::Warning, RULE.title, script.cite(line))),
        );
    }
    Ok(found)
}

/// Whether it runs `manage.py migrate` or `django-admin migrate`.
fn migrates(line: &str) -> bool {
    let is_mark = |letter: char| letter.is_whitespace() || "\"',;[]&|()".contains(letter);
    let words: Vec<_> = line.split(is_mark).filter(|word| !word.is_empty()).collect();
    words.windows(2).any(|pair| {
        let is_tool = |word: &str| word.ends_with("manage.py") || word.ends_with("django-admin");
        matches!(pair, [tool, "migrate"] if is_tool(tool))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::scripts::Script;
    use super::*;

    #[test]
    fn a_start_that_migrates_is_found_and_a_release_is_not() {
        for (name, text, expected) in [
            ("start.sh", "python manage.py migrate && gunicorn a.wsgi --bind unix:/tmp/a", true),
            ("Dockerfile", "CMD [\"python\", \"manage.py\", \"migrate\"]", true),
            ("Procfile", "release: python manage.py migrate", false),
            ("POST_BUILD_COMMAND", "python manage.py migrate", false),
            ("start.sh", "echo migrate", false),
        ] {
            let mut patient = fixture::healthy();
            patient.scripts = vec![Script::new(name, text)];
            let found = fixture::found(&patient);
            assert_eq!(found.contains(&("FD-33", Severity::Warning)), expected, "{name} {text}");
        }
    }
}
