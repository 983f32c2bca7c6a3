//! FD-02: the start command cannot work.
//!
//! Owns: this rule.
//! Must not know: how the command was found.

use std::path::Path;

use super::super::patient::Start;
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-02",
    title: "The start command cannot work",
    why: "the platform starts the container, nothing listens at its port, and visitors get 503 or the \
          default page; the log only says that the container did not answer",
    mend: "start it as `forebay run -- gunicorn mysite.wsgi`, in the directory of manage.py, with the \
           virtual environment's programs in PATH",
    check,
};

#[expect(clippy::unnecessary_wraps, reason = "every check has this form")]
fn check(patient: &Patient) -> Verdict {
    let start = match &patient.start {
        Ok(start) => start,
        Err(fault) => {
            let finding = Finding::new(Severity::Error, RULE.title, &fault.what);
            return Ok(vec![finding.mended_by(&fault.mend)]);
        }
    };
    let mut found = Vec::new();
    let line = start.web.join(" ");
    let evidence = format!("`{line}`, from {}", start.found);
    if start.program.is_none() {
        let program = start.web.first().map(String::as_str).unwrap_or_default();
        let what = format!("the program `{program}` is not there");
        found.push(Finding::new(Severity::Error, what, &evidence));
    }
    if line.contains("runserver") {
        let what = "the site is started with Django's development server";
        let mend =
            "start gunicorn or uvicorn: runserver takes no load and is not made for strangers";
        found.push(Finding::new(Severity::Error, what, &evidence).mended_by(mend));
    }
    if let Some(why) = &start.gunicorn_fault {
        let what = format!("gunicorn refuses its configuration: {why}");
        let mend = "try `gunicorn --print-config` with the same arguments";
        found.push(Finding::new(Severity::Warning, what, &evidence).mended_by(mend));
    }
    found.extend(missing_module(start, &evidence));
    Ok(found)
}

/// A module that should be in a package of the site, and is not.
fn missing_module(start: &Start, evidence: &str) -> Option<Finding> {
    let module = start.module.as_ref()?;
    let (package, _) = module.split_once('.')?;
    let path = start.directory.join(module.replace('.', "/"));
    let is_there = path.with_extension("py").is_file() || path.join("__init__.py").is_file();
    // A package that is nowhere here may be an installed one: loading it will tell.
    if is_there || !is_package(&start.directory.join(package)) {
        return None;
    }
    let what = format!("there is no module `{module}` in {}", start.directory.display());
    let mend = "name the module that has `application`, as `mysite.wsgi`";
    Some(Finding::new(Severity::Error, what, evidence).mended_by(mend))
}

fn is_package(path: &Path) -> bool {
    path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::patient::Fault;
    use super::*;

    #[test]
    fn each_command_that_cannot_work_is_found() {
        type Spoil = fn(&mut Start);
        let spoils: [(Spoil, Severity, &str); 4] = [
            (|start| start.program = None, Severity::Error, "the program `gunicorn` is not there"),
            (
                |start| start.web = vec!["python".into(), "manage.py".into(), "runserver".into()],
                Severity::Error,
                "development server",
            ),
            (
                |start| start.module = Some("mysite.wsgy".into()),
                Severity::Error,
                "no module `mysite.wsgy`",
            ),
            (|start| start.gunicorn_fault = Some("bad".into()), Severity::Warning, "refuses"),
        ];
        for (spoil, severity, part) in spoils {
            let mut patient = fixture::healthy();
            spoil(patient.start.as_mut().unwrap());
            assert_eq!(fixture::found(&patient), [("FD-02", severity)], "{part}");
            assert!(fixture::words(&patient, "FD-02").contains(part), "{part}");
        }
    }

    #[test]
    fn nothing_to_start_is_found() {
        let mut patient = fixture::healthy();
        let (what, mend) = ("there is nothing".to_owned(), "write one".to_owned());
        patient.start = Err(Fault { what, mend });
        assert_eq!(fixture::found(&patient), [("FD-02", Severity::Error)]);
        assert!(fixture::words(&patient, "FD-02").contains("write one"));
    }
}
