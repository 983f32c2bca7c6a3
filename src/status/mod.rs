//! What forebay knows about itself and its site at one moment, and how that is told.
//!
//! Owns: the report and its forms: JSON, metrics, text for people, a page.
//! Must not know: where the numbers come from, who asks, how an answer is sent.
//!
//! Nothing in a report is secret: no field of a request, no address, no query, no environment.

mod json;
mod metrics;
mod page;
mod text;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub use json::json;
pub use metrics::metrics;
pub use page::{POLICY, page};
pub use text::{Paint, clean, span, text};

use crate::code::Code;
use crate::telemetry::Tallied;

/// The path on the public port, where there is a token.
pub const PATH: &str = "/.forebay/status";

/// Everything that is told.
#[derive(Clone, Debug)]
pub struct Report {
    /// The version of forebay.
    pub version: &'static str,
    /// What this instance is called among those of the site.
    pub instance: String,
    /// The fingerprint of the release, where one is known.
    pub release: Option<String>,
    /// forebay's own process.
    pub own: Own,
    /// The phases so far, the present one last.
    pub steps: Vec<Step>,
    /// How the start went.
    pub start: Start,
    /// The processes that forebay started.
    pub processes: Vec<Process>,
    /// Requests at this moment.
    pub traffic: Traffic,
    /// What waits in memory and in files.
    pub spool: Spool,
    /// The static files; nothing where none are served.
    pub assets: Option<Assets>,
    /// Requests so far.
    pub tallied: Tallied,
    /// How often each code was given.
    pub codes: Vec<(Code, u64)>,
    /// Log lines that standard output did not take.
    pub lost_lines: u64,
}

/// forebay's own process.
#[derive(Clone, Copy, Debug)]
pub struct Own {
    /// Its number.
    pub pid: i32,
    /// When it started.
    pub started: SystemTime,
    /// How long it runs, by a clock that nobody sets.
    pub uptime: Duration,
    /// Its memory, in bytes.
    pub memory: u64,
    /// Its address space, in bytes.
    pub address_space: u64,
    /// The time that processors worked for it.
    pub cpu: Duration,
    /// Its threads.
    pub threads: u64,
    /// Its open files.
    pub open_files: u64,
    /// The most that it may have open; nothing without a limit.
    pub open_files_limit: Option<u64>,
}

/// A phase of the site.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Step {
    /// Its name.
    pub phase: &'static str,
    /// What was last seen of an application that is not ready.
    pub reason: Option<String>,
    /// When it began.
    pub at: SystemTime,
    /// How long it lasted, or lasts.
    pub lasted: Duration,
    /// How long forebay ran when it began.
    pub begun_after: Duration,
}

/// How the start went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Start {
    /// How long the platform waits; nothing where it has no such limit.
    pub limit: Option<Duration>,
    /// How long it took until the application was ready; nothing if it never was.
    pub ready_after: Option<Duration>,
}

impl Start {
    /// The share of the limit that was used after a time; more than 1 beyond it.
    pub fn share(self, after: Duration) -> Option<f64> {
        self.limit.map(|limit| after.as_secs_f64() / limit.as_secs_f64())
    }
}

/// A process that forebay started.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its name.
    pub name: String,
    /// What depends on it.
    pub role: &'static str,
    /// What it does.
    pub state: &'static str,
    /// Whether it runs.
    pub is_up: bool,
    /// Its number, while it runs.
    pub pid: Option<i32>,
    /// How long it has been in this state.
    pub lasted: Duration,
    /// How often it was started again.
    pub restarts: u32,
    /// How its last life ended.
    pub last_exit: Option<String>,
    /// The memory of it and whatever it started, in bytes, while it runs. What several share is
    /// counted for each.
    pub memory: Option<u64>,
}

/// Requests and connections at this moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Requests that were answered.
    pub requests: u64,
    /// Requests whose answers have not ended.
    pub in_flight: u64,
    /// Requests that wait.
    pub waiting: u64,
    /// The most that may wait.
    pub waiting_limit: u64,
    /// Requests in the application.
    pub inside: u64,
    /// The most that may be in it.
    pub concurrency: u64,
    /// Requests that have waited for a place.
    pub queued: u64,
    /// Requests that have waited for the application to listen.
    pub held: u64,
    /// How often a request was sent again.
    pub repeated: u64,
    /// Open connections of clients.
    pub connections: u64,
    /// The most of them.
    pub connection_limit: u64,
    /// Those that have changed their protocol.
    pub tunnels: u64,
    /// The most of them.
    pub tunnel_limit: u64,
    /// Open connections to the application.
    pub upstream_open: u64,
    /// Those of them that wait to be used again.
    pub upstream_idle: u64,
}

/// What waits in memory and in files, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spool {
    /// In memory.
    pub memory: u64,
    /// The most of it.
    pub memory_limit: u64,
    /// In files.
    pub disk: u64,
    /// The most of it.
    pub disk_limit: u64,
}

/// The static files.
#[derive(Clone, Copy, Debug)]
pub struct Assets {
    /// How many there are, without their variants.
    pub files: u64,
    /// Their bytes, with all variants.
    pub bytes: u64,
    /// Those of them that are in memory.
    pub memory: u64,
    /// How long ago the table was laid.
    pub age: Duration,
}

/// Makes a report of this moment. It may read `/proc`, so that it belongs on a thread that may wait.
#[derive(Clone)]
pub struct Look(Arc<dyn Fn() -> Report + Send + Sync>);

impl Look {
    /// By this function.
    pub fn by(look: impl Fn() -> Report + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }

    /// Now, on a thread that may wait. Nothing if the runtime ends.
    pub async fn now(&self) -> Option<Report> {
        let look = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || look()).await.ok()
    }
}

impl fmt::Debug for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Look")
    }
}

/// What a client wants to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// A page, for a browser.
    Page,
    /// JSON, for everybody else.
    Json,
}

impl Form {
    /// By the Accept field.
    pub fn wanted(accept: Option<&[u8]>) -> Self {
        let wants_page = |accept: &[u8]| memchr::memmem::find(accept, b"text/html").is_some();
        if accept.is_some_and(wants_page) { Self::Page } else { Self::Json }
    }

    /// The content type, and the content.
    pub fn write(self, report: &Report) -> (&'static str, String) {
        let report = json(report);
        match self {
            Self::Page => ("text/html; charset=utf-8", page(&report)),
            Self::Json => ("application/json", format!("{report:#}\n")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::telemetry::{Counters, Mishap};

    /// A report with something in every part.
    pub(crate) fn report() -> Report {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        let second = Duration::from_secs(1);
        let mut tallied = Counters::new().tally.look();
        let mishap = |path: &str, code: Option<Code>, status| Mishap {
            at,
            code,
            status,
            method: Some("GET".to_owned()),
            path: path.to_owned(),
        };
        tallied.mishaps = vec![
            mishap("/<script>alert(1)</script>", Some(Code::Refused), 502),
            mishap("/b", None, 500),
        ];
        let step = |phase, reason: Option<&str>, begun: u64, lasted: u64| Step {
            phase,
            reason: reason.map(str::to_owned),
            at,
            lasted: second * u32::try_from(lasted).unwrap(),
            begun_after: Duration::from_secs(begun),
        };
        let process = |name: &str, role, is_up: bool| Process {
            name: name.to_owned(),
            role,
            state: if is_up { "running" } else { "restarting" },
            is_up,
            pid: is_up.then_some(42),
            lasted: second * 90,
            restarts: 3,
            last_exit: Some("exit code 1".to_owned()),
            memory: is_up.then_some(123 << 20),
        };
        Report {
            version: "0.1.0",
            instance: "1a2b3c4d".to_owned(),
            release: Some("abc123".to_owned()),
            own: Own {
                pid: 7,
                started: at,
                uptime: second * 4000,
                memory: 9 << 20,
                address_space: 90 << 20,
                cpu: second * 3,
                threads: 4,
                open_files: 20,
                open_files_limit: Some(1024),
            },
            steps: vec![
                step("starting", Some("the release command runs"), 0, 8),
                step("ready", None, 8, 3992),
            ],
            start: Start { limit: Some(second * 230), ready_after: Some(second * 8) },
            processes: vec![process("web", "web", true), process("worker", "other", false)],
            traffic: Traffic { requests: 12, in_flight: 2, concurrency: 8, ..Traffic::default() },
            spool: Spool { memory: 1024, memory_limit: 1 << 20, disk: 0, disk_limit: 1 << 30 },
            assets: Some(Assets { files: 3, bytes: 3000, memory: 1000, age: second }),
            tallied,
            codes: vec![(Code::Refused, 1)],
            lost_lines: 5,
        }
    }

    #[test]
    fn a_browser_gets_a_page_and_everybody_else_json() {
        assert_eq!(Form::wanted(Some(b"text/html,application/xhtml+xml")), Form::Page);
        assert_eq!(Form::wanted(Some(b"*/*")), Form::Json);
        assert_eq!(Form::wanted(None), Form::Json);
    }
}
