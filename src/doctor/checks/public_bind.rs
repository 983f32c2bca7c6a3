//! FD-40: gunicorn takes the public port.
//!
//! Owns: this rule, and where a line binds gunicorn.
//! Must not know: how scripts are found.

use super::super::scripts::{Script, When};
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-40",
    title: "gunicorn is bound to the public port",
    why: "one program has the port: if gunicorn comes first forebay cannot start; without forebay the \
          platform's requests and probes reach Django as they are",
    mend: "start it as `forebay run -- gunicorn mysite.wsgi`, which binds gunicorn to a private address, \
           or beside `forebay proxy` bind it to the --upstream address",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let port = patient.config.listen.port();
    let mut found = Vec::new();
    if let Ok(listeners) = &patient.machine.listeners {
        let mut holders = listeners.iter().filter(|it| it.port == port);
        let program = holders.find_map(|it| it.program.as_ref()).filter(|name| is_server(name));
        if let Some(program) = program {
            let what = format!("{program} listens at the public port {port}");
            found.push(Finding::new(Severity::Error, what, format!("/proc/net/tcp: port {port}")));
        }
    }
    for script in patient.scripts.iter().filter(|script| is_started(script)) {
        let starts_forebay = script.lines.iter().any(|line| line.text.contains("forebay"));
        let lines = script.lines.iter().filter(|line| {
            line.when == When::Start && !line.text.contains("forebay") && binds(&line.text, port)
        });
        for line in lines {
            let (severity, what) = if starts_forebay {
                (Severity::Error, "gunicorn is started at forebay's own port")
            } else {
                (Severity::Warning, "gunicorn is started at the public port, without forebay")
            };
            found.push(Finding::new(severity, what, script.cite(line)));
        }
    }
    match &patient.machine.listeners {
        Err(why) if found.is_empty() => Err(why.clone()),
        Ok(_) | Err(_) => Ok(found),
    }
}

fn is_server(program: &str) -> bool {
    ["gunicorn", "uvicorn", "granian", "hypercorn", "daphne"].contains(&program)
}

/// `forebay run` binds what it reads from these itself.
fn is_started(script: &Script) -> bool {
    !["Procfile", "forebay.toml"].contains(&script.name.as_str())
}

/// Whether a line starts gunicorn at the public port.
fn binds(line: &str, port: u16) -> bool {
    let is_mark = |letter: char| letter.is_whitespace() || "\"',[]".contains(letter);
    let words: Vec<_> = line.split(is_mark).filter(|word| !word.is_empty()).collect();
    let Some(place) = words.iter().position(|word| word.rsplit('/').next() == Some("gunicorn"))
    else {
        return false;
    };
    // `pip install gunicorn`, `which gunicorn`.
    let is_named = |word: &&str| ["install", "which", "pkill", "command"].contains(word);
    if words.iter().take(place).any(is_named) {
        return false;
    }
    let arguments = words.get(place + 1..).unwrap_or_default();
    let mut addresses = Vec::new();
    for (position, word) in arguments.iter().enumerate() {
        let next = arguments.get(position + 1).copied();
        match *word {
            "-b" | "--bind" => addresses.extend(next),
            _ => addresses.extend(
                word.strip_prefix("--bind=")
                    .or_else(|| word.strip_prefix("-b").filter(|rest| rest.contains(':'))),
            ),
        }
    }
    // Without one gunicorn takes PORT, which the platform sets.
    addresses.is_empty() || addresses.iter().any(|address| is_public(address, port))
}

fn is_public(address: &str, port: u16) -> bool {
    let Some((host, written)) = address.rsplit_once(':') else { return false };
    let is_port = written.starts_with("$PORT")
        || written.starts_with("${PORT")
        || written.trim_matches('"').parse() == Ok(port);
    host != "unix" && is_port && !address.starts_with("unix:")
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::machine::Listener;
    use super::*;

    #[test]
    fn where_a_line_binds_is_read() {
        for (line, expected) in [
            ("gunicorn --bind=0.0.0.0:8000 a.wsgi", true),
            ("exec gunicorn -b \"0.0.0.0:$PORT\" a.wsgi", true),
            ("gunicorn -b:8000 a.wsgi", true),
            ("python -m gunicorn a.wsgi", true),
            ("CMD [\"gunicorn\", \"--bind\", \":8000\", \"a.wsgi\"]", true),
            ("gunicorn --bind 127.0.0.1:8001 a.wsgi &", false),
            ("gunicorn --bind unix:/tmp/gunicorn.sock a.wsgi", false),
            ("pip install gunicorn", false),
            ("uvicorn a.asgi", false),
        ] {
            assert_eq!(binds(line, 8000), expected, "{line}");
        }
    }

    #[test]
    fn a_script_that_starts_it_at_the_public_port_is_found() {
        let old = "gunicorn --bind 0.0.0.0:8000 a.wsgi &\n";
        let beside = format!("{old}exec forebay proxy --upstream 127.0.0.1:8000\n");
        for (text, severity) in [(old, Severity::Warning), (beside.as_str(), Severity::Error)] {
            let mut patient = fixture::healthy();
            patient.scripts = vec![Script::new("startup.sh", text)];
            assert_eq!(fixture::found(&patient), [("FD-40", severity)], "{text}");
        }
        let mut patient = fixture::healthy();
        patient.scripts = vec![Script::new("Procfile", &format!("web: {old}"))];
        assert_eq!(fixture::found(&patient), [], "forebay run binds it itself");
    }

    #[test]
    fn a_gunicorn_that_has_the_port_is_found() {
        let mut patient = fixture::healthy();
        let program = Some("gunicorn".to_owned());
        patient.machine.listeners = Ok(vec![Listener { port: 8000, program }]);
        assert_eq!(fixture::found(&patient), [("FD-40", Severity::Error)]);
    }
}
