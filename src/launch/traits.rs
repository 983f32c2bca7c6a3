//! What the application server's own settings say of how it takes requests.
//!
//! Owns: how the answer of gunicorn and the command lines of the others are read.
//! Must not know: what follows for the proxy.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use super::Variables;
use super::server::{self, Server, value_of};
use crate::python::gunicorn::{Class, Configuration, ProxyProtocol};

/// How the application server takes requests; what is not known is nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Traits {
    /// The server, for the log.
    pub server: Option<&'static str>,
    /// Its worker class, where it has any.
    pub class: Option<String>,
    /// The most requests that it does at once.
    pub concurrency: Option<u32>,
    /// How long it keeps an idle connection; zero for not at all.
    pub keep_alive: Option<Duration>,
    /// A worker that is silent for so long is killed; zero for never.
    pub timeout: Option<Duration>,
    /// How long its workers may take to end.
    pub graceful_timeout: Option<Duration>,
    /// What it expects at the beginning of a connection.
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Whether each request comes on a connection of its own (gunicorn's sync workers).
    pub connects_for_each: bool,
}

impl Traits {
    /// What gunicorn says of itself.
    pub(super) fn of_gunicorn(answer: &Configuration) -> Self {
        let class = match &answer.class {
            Class::Sync => "sync",
            Class::Threads => "gthread",
            Class::Other(name) => name,
        };
        Self {
            server: Some("gunicorn"),
            class: Some(class.to_owned()),
            concurrency: answer.concurrency(),
            keep_alive: Some(answer.keep_alive),
            timeout: Some(answer.timeout),
            graceful_timeout: Some(answer.graceful_timeout),
            proxy_protocol: Some(answer.proxy_protocol),
            connects_for_each: answer.class == Class::Sync,
        }
    }

    /// What the command line and the variables of uvicorn and granian say, and those of a gunicorn
    /// that could not be asked.
    pub(super) fn of_words(words: &[OsString], variables: &Variables) -> Self {
        let Some((server, name)) = Server::find(words) else { return Self::default() };
        let arguments = words.get(name + 1..).unwrap_or_default();
        let look_up = |prefix: &str, option: &str| {
            let variable = option.trim_start_matches('-').to_ascii_uppercase().replace('-', "_");
            value_of(arguments, "", option).or_else(|| {
                let value =
                    variables.get(OsString::from(format!("{prefix}_{variable}")).as_os_str());
                value.map(|text| text.to_string_lossy().into_owned())
            })
        };
        let number = |text: String| text.trim().parse::<u32>().ok().filter(|count| *count > 0);
        match server {
            Server::Gunicorn => {
                let workers = variables.get(OsStr::new("WEB_CONCURRENCY"));
                let workers = workers.map(|text| text.to_string_lossy());
                Self {
                    server: Some("gunicorn"),
                    concurrency: server::concurrency(words, workers.as_deref()),
                    ..Self::default()
                }
            }
            Server::Uvicorn => {
                let keep_alive = look_up("UVICORN", "--timeout-keep-alive");
                let keep_alive = keep_alive.map_or(Some(5), |text| text.trim().parse().ok());
                let limit = look_up("UVICORN", "--limit-concurrency").and_then(number);
                Self {
                    server: Some("uvicorn"),
                    // Each process turns away what is beyond it, idle connections count, and a new
                    // one may reach any process.
                    concurrency: limit.map(|limit| (limit / 2).max(1)),
                    keep_alive: keep_alive.map(Duration::from_secs),
                    ..Self::default()
                }
            }
            Server::Granian => {
                let workers = look_up("GRANIAN", "--workers").map_or(Some(1), number);
                let threads = look_up("GRANIAN", "--blocking-threads").and_then(number);
                let is_wsgi = look_up("GRANIAN", "--interface").as_deref() == Some("wsgi");
                let most = workers.zip(threads).and_then(|(each, of)| each.checked_mul(of));
                Self {
                    server: Some("granian"),
                    concurrency: most.filter(|_| is_wsgi),
                    ..Self::default()
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traits(line: &str, variables: &[(&str, &str)]) -> Traits {
        let words: Vec<_> = line.split(' ').map(OsString::from).collect();
        let variables = variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Traits::of_words(&words, &variables)
    }

    #[test]
    fn what_uvicorn_and_granian_do_is_told_by_their_options_and_variables() {
        let seconds = |count| Some(Duration::from_secs(count));
        for (line, variables, concurrency, keep_alive) in [
            ("uvicorn a.asgi", &[][..], None, seconds(5)),
            ("uvicorn a.asgi --timeout-keep-alive 65", &[], None, seconds(65)),
            ("uvicorn a.asgi", &[("UVICORN_TIMEOUT_KEEP_ALIVE", "0")], None, seconds(0)),
            ("uvicorn --limit-concurrency=40 a.asgi", &[], Some(20), seconds(5)),
            ("uvicorn a.asgi --timeout-keep-alive x", &[], None, None),
            ("granian --interface wsgi a:b --workers 2 --blocking-threads 4", &[], Some(8), None),
            ("granian --interface asgi a:b --blocking-threads 4", &[], None, None),
            ("granian --interface wsgi a:b", &[("GRANIAN_BLOCKING_THREADS", "3")], Some(3), None),
            ("./start.sh", &[], None, None),
        ] {
            let traits = traits(line, variables);
            assert_eq!(
                (traits.concurrency, traits.keep_alive),
                (concurrency, keep_alive),
                "{line}"
            );
        }
    }
}
