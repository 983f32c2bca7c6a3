//! FD-41: workers that do not fit the application.
//!
//! Owns: this rule.
//! Must not know: how gunicorn is asked.

use super::super::patient::Start;
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-41",
    title: "The workers do not fit the application",
    why: "a worker of the wrong kind answers 500 to everything; a single sync worker, the platform's \
          default, does one request at a time, so that one slow view stops the site and its health check",
    mend: "for mysite.wsgi: `--worker-class gthread --workers 2 --threads 4`; for mysite.asgi: uvicorn",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let start = patient.start()?;
    let mut found = Vec::new();
    let class = start.traits.class.as_deref();
    let evidence = format!(
        "server {}, worker class {}, workers {}, module {}",
        start.traits.server.unwrap_or("unknown"),
        class.unwrap_or("unknown"),
        start.workers.map_or_else(|| "unknown".to_owned(), |count| count.to_string()),
        start.module.as_deref().unwrap_or("unknown"),
    );
    if let Some(what) = mismatch(start) {
        found.push(Finding::new(Severity::Error, what, &evidence));
    }
    if class == Some("sync") && start.workers == Some(1) {
        let what = "one sync worker does one request at a time";
        found.push(Finding::new(Severity::Warning, what, &evidence));
    }
    if class.is_some_and(|class| class.starts_with("uvicorn.workers.")) {
        let what = "the worker class uvicorn.workers is being given up";
        let mend = "install uvicorn-worker and write `-k uvicorn_worker.UvicornWorker`";
        found.push(Finding::new(Severity::Note, what, &evidence).mended_by(mend));
    }
    Ok(found)
}

/// A server for one interface and an application of the other.
fn mismatch(start: &Start) -> Option<String> {
    let module = start.module.as_deref()?;
    let is = |end: &str| module == end || module.ends_with(&format!(".{end}"));
    let class = start.traits.class.as_deref().unwrap_or_default();
    let says_wsgi = start.web.iter().any(|word| word == "wsgi" || word == "--interface=wsgi");
    let (is_wsgi_server, is_asgi_server) = match start.traits.server? {
        "gunicorn" => (
            ["sync", "gthread", "gevent", "eventlet"].contains(&class),
            class.contains("uvicorn") || class == "asgi",
        ),
        "uvicorn" => (false, !says_wsgi),
        _ => (false, false),
    };
    if is("asgi") && is_wsgi_server {
        return Some(format!("`{module}` is for ASGI, and {class} workers speak WSGI"));
    }
    (is("wsgi") && is_asgi_server)
        .then(|| format!("`{module}` is for WSGI, and what runs it speaks ASGI"))
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn workers_of_the_wrong_kind_are_found() {
        for (server, class, module, is_wrong) in [
            ("gunicorn", "gthread", "mysite.wsgi", false),
            ("gunicorn", "gthread", "mysite.asgi", true),
            ("gunicorn", "uvicorn_worker.UvicornWorker", "mysite.asgi", false),
            ("gunicorn", "uvicorn_worker.UvicornWorker", "mysite.wsgi", true),
            ("uvicorn", "", "mysite.wsgi", true),
            ("uvicorn", "", "mysite.asgi", false),
        ] {
            let mut patient = fixture::healthy();
            let start = patient.start.as_mut().unwrap();
            start.traits.server = Some(server);
            start.traits.class = Some(class.to_owned());
            start.module = Some(module.to_owned());
            let is_found = check(&patient).unwrap().iter().any(|it| it.severity == Severity::Error);
            assert_eq!(is_found, is_wrong, "{server} {class} {module}");
        }
    }

    #[test]
    fn a_single_sync_worker_is_found() {
        let mut patient = fixture::healthy();
        patient.start.as_mut().unwrap().workers = Some(1);
        assert_eq!(fixture::found(&patient), [("FD-41", Severity::Warning)]);
    }

    #[test]
    fn the_old_name_of_uvicorns_worker_is_told() {
        let mut patient = fixture::healthy();
        let start = patient.start.as_mut().unwrap();
        start.traits.class = Some("uvicorn.workers.UvicornWorker".to_owned());
        start.module = None;
        assert_eq!(fixture::found(&patient), [("FD-41", Severity::Note)]);
    }
}
