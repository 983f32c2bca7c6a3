//! FD-31: `GUNICORN_CMD_ARGS` among the settings.
//!
//! Owns: this rule.
//! Must not know: how gunicorn is started.

use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-31",
    title: "GUNICORN_CMD_ARGS is set",
    why: "every gunicorn of the container reads it before its command line; copied from the platform's \
          start script it binds gunicorn to the public port, which forebay needs",
    mend: "remove the setting and write the options behind `forebay run -- gunicorn`",
    check,
};

#[expect(clippy::unnecessary_wraps, reason = "every check has this form")]
fn check(patient: &Patient) -> Verdict {
    let Some(text) = patient.variable("GUNICORN_CMD_ARGS") else { return Ok(vec![]) };
    let options: Vec<_> = text.split_whitespace().filter(|word| word.starts_with('-')).collect();
    let binds = options.iter().any(|word| word.starts_with("--bind") || word.starts_with("-b"));
    // Values may be secrets.
    let names = options.iter().filter_map(|word| word.split('=').next()).collect::<Vec<_>>();
    let evidence = format!("GUNICORN_CMD_ARGS has the options {}", names.join(" "));
    let finding = if binds {
        Finding::new(Severity::Warning, "GUNICORN_CMD_ARGS binds gunicorn", evidence)
    } else {
        Finding::new(Severity::Note, RULE.title, evidence)
    };
    Ok(vec![finding])
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn it_is_found_and_worse_where_it_binds() {
        for (text, severity) in [
            ("--bind=0.0.0.0:8000 --timeout 600", Severity::Warning),
            ("-b :8000", Severity::Warning),
            ("--timeout 600", Severity::Note),
        ] {
            let patient = fixture::with(&[], &[("GUNICORN_CMD_ARGS", text)]);
            assert_eq!(fixture::found(&patient), [("FD-31", severity)], "{text}");
        }
    }
}
