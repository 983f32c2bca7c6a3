//! Asks for gunicorn's configuration: its own code reads its options, its file and its variables.
//!
//! Owns: what the answer means.
//! Must not know: how it is started, what follows for the proxy.

use std::ffi::OsString;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde_json::Value;

use super::{Failure, Interpreter, child};

/// What gunicorn would be started with.
#[derive(Clone, Debug, Default)]
pub struct Question {
    /// The Python that runs it, and where.
    pub interpreter: Interpreter,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What is added to the environment.
    pub variables: Vec<(OsString, OsString)>,
}

/// What gunicorn's configuration says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Configuration {
    /// Worker processes.
    pub workers: u32,
    /// Threads of each.
    pub threads: u32,
    /// The class of the workers.
    pub class: Class,
    /// A worker that is silent for so long is killed; zero for never.
    pub timeout: Duration,
    /// How long workers may take to end.
    pub graceful_timeout: Duration,
    /// How long an idle connection is kept.
    pub keep_alive: Duration,
    /// What it expects at the beginning of a connection.
    pub proxy_protocol: ProxyProtocol,
}

/// The classes of workers, by how they take requests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Class {
    /// One request at a time, each on a connection of its own.
    Sync,
    /// One request at a time in each thread.
    Threads,
    /// Many at a time; its name.
    Other(String),
}

/// Whether gunicorn expects the PROXY protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ProxyProtocol {
    /// It does not.
    Off,
    /// It does not, and knows version 1 only, without a value behind the option.
    OffAndOld,
    /// Version 1.
    V1,
    /// Version 2, or both.
    V2,
}

impl Configuration {
    /// The most requests at once, where there is such a number.
    pub fn concurrency(&self) -> Option<u32> {
        let each = match self.class {
            Class::Sync => 1,
            Class::Threads => self.threads,
            Class::Other(_) => return None,
        };
        self.workers.checked_mul(each).filter(|most| *most > 0)
    }

    /// Reads what `gunicorn.py` prints; nothing where a number is missing.
    fn read(answer: &Value) -> Option<Self> {
        let number = |name: &str| u32::try_from(answer[name].as_u64()?).ok();
        let seconds = |name: &str| number(name).map(|count| Duration::from_secs(count.into()));
        Some(Self {
            workers: number("workers")?,
            threads: number("threads")?,
            class: match answer["worker_class"].as_str()? {
                "sync" => Class::Sync,
                "gthread" => Class::Threads,
                other => Class::Other(other.to_owned()),
            },
            timeout: seconds("timeout")?,
            graceful_timeout: seconds("graceful_timeout")?,
            keep_alive: seconds("keepalive")?,
            proxy_protocol: match (
                answer["proxy_protocol"].as_bool(),
                answer["proxy_protocol"].as_str(),
            ) {
                (Some(false), _) => ProxyProtocol::OffAndOld,
                (Some(true), _) | (_, Some("v1")) => ProxyProtocol::V1,
                (_, Some("v2" | "auto")) => ProxyProtocol::V2,
                (None, _) => ProxyProtocol::Off,
            },
        })
    }
}

/// Asks gunicorn for its configuration; what was started for that has ended afterwards, within a
/// second of `deadline`, or when `is_given_up` is set. The application is not loaded.
///
/// # Errors
///
/// [`Failure`].
pub fn ask(
    question: &Question,
    deadline: Duration,
    is_given_up: &AtomicBool,
) -> Result<Configuration, Failure> {
    let Question { interpreter, arguments, variables } = question;
    let script = child::Script { text: ASK, arguments, variables };
    let answer = child::ask(interpreter, script, deadline, is_given_up)?;
    let why = "gunicorn's numbers are no numbers".to_owned();
    Configuration::read(&answer).ok_or(Failure::Ended { why })
}

const ASK: &str = include_str!("gunicorn.py");

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(class: &str, workers: i32, proxy_protocol: &Value) -> Option<Configuration> {
        Configuration::read(&json!({
            "workers": workers, "threads": 8, "worker_class": class, "timeout": 30,
            "graceful_timeout": 25, "keepalive": 2, "proxy_protocol": proxy_protocol,
        }))
    }

    #[test]
    fn concurrency_follows_from_the_class() {
        let most = |class| read(class, 3, &json!("off")).unwrap().concurrency();
        assert_eq!(most("sync"), Some(3));
        assert_eq!(most("gthread"), Some(24));
        assert_eq!(most("gevent"), None);
        assert_eq!(read("sync", 0, &json!("off")).unwrap().concurrency(), None);
        assert_eq!(read("sync", -1, &json!("off")), None);
    }

    #[test]
    fn the_proxy_protocol_is_a_switch_in_older_releases() {
        for (answer, expected) in [
            (json!(false), ProxyProtocol::OffAndOld),
            (json!(true), ProxyProtocol::V1),
            (json!("off"), ProxyProtocol::Off),
            (json!("v1"), ProxyProtocol::V1),
            (json!("auto"), ProxyProtocol::V2),
        ] {
            let read = read("sync", 1, &answer).unwrap();
            assert_eq!(read.proxy_protocol, expected, "{answer}");
        }
    }
}
