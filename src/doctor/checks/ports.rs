//! FD-44: forebay does not listen where the platform asks.
//!
//! Owns: this rule.
//! Must not know: how listeners are found.

use super::super::{Finding, Patient, Rule, Severity, Verdict};
use crate::proxy::upstream::Address;

pub(super) const RULE: Rule = Rule {
    id: "FD-44",
    title: "The public port is not the one that the platform asks",
    why: "the platform asks one port (PORT; WEBSITES_PORT for a custom container; the target port on \
          Container Apps), and a container that does not answer there is killed",
    mend: "leave --listen out, so that PORT counts, and give the application another port",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let mut found = Vec::new();
    let config = &patient.config;
    let (listen, origin) = (config.listen, config.origin_of("listen"));
    let evidence = format!("--listen is {listen}, set by {origin}");
    if patient.platform().has_front_end() {
        let wanted = ["PORT", "WEBSITES_PORT", "CONTAINER_APP_PORT"]
            .into_iter()
            .find_map(|name| Some((name, patient.variable(name)?)));
        if let Some((name, port)) = wanted.filter(|(_, port)| port.parse() != Ok(listen.port())) {
            let what = format!("forebay would listen at {}, and {name} is {port}", listen.port());
            found.push(Finding::new(Severity::Error, what, &evidence));
        }
        if listen.ip().is_loopback() {
            let what = "forebay would listen at a loopback address, where no platform reaches it";
            found.push(Finding::new(Severity::Error, what, &evidence));
        }
    }
    if let Address::Tcp { host, port } = &config.upstream.address
        && config.is_chosen("upstream")
        && *port == listen.port()
        && ["127.0.0.1", "localhost", "::1", "0.0.0.0"].contains(&host.as_str())
    {
        let what = "--upstream is forebay's own public port";
        found.push(Finding::new(
            Severity::Error,
            what,
            format!("{evidence}; --upstream {host}:{port}"),
        ));
    }
    if let Ok(listeners) = &patient.machine.listeners {
        let holders = listeners.iter().filter(|it| it.port == listen.port());
        let mut programs = holders.filter_map(|it| it.program.as_deref());
        if let Some(program) = programs.find(|name| !is_expected(name)) {
            let what = format!("{program} listens at forebay's public port");
            found.push(Finding::new(Severity::Error, what, &evidence));
        }
    }
    match &patient.machine.listeners {
        Err(why) if found.is_empty() => Err(why.clone()),
        Ok(_) | Err(_) => Ok(found),
    }
}

/// forebay itself, or a server that FD-40 tells.
fn is_expected(program: &str) -> bool {
    program.starts_with("forebay")
        || ["gunicorn", "uvicorn", "granian", "hypercorn", "daphne"].contains(&program)
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::machine::Listener;
    use super::*;

    const FOUND: &[(&str, Severity)] = &[("FD-44", Severity::Error)];

    #[test]
    fn another_port_or_address_than_the_platforms_is_found() {
        for listen in ["0.0.0.0:8080", "127.0.0.1:8000"] {
            let mut patient = fixture::with_flags(&[("listen", listen)]);
            patient.machine.listeners = Ok(vec![]);
            assert_eq!(fixture::found(&patient), FOUND, "{listen}");
        }
        let upstream = fixture::with_flags(&[("upstream", "127.0.0.1:8000")]);
        assert_eq!(fixture::found(&upstream), FOUND);
    }

    #[test]
    fn a_port_that_a_stranger_has_is_found() {
        let mut patient = fixture::healthy();
        let program = Some("nginx".to_owned());
        patient.machine.listeners = Ok(vec![Listener { port: 8000, program }]);
        assert_eq!(fixture::found(&patient), FOUND);
    }
}
