//! Finds out whether the application is ready by asking it.
//!
//! Owns: the question, when it is asked, what each answer means for readiness.
//! Must not know: probes, visitors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::{Method, Version};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::exchange::{Exchange, Source};
use super::head::{Length, write_request};
use super::{Error, Pulse, Settings, connect};
use crate::proxy::fields::{self, Fields, Value, names};
use crate::proxy::proxy_protocol;
use crate::readiness::{Liveness, Phase, Readiness, Reason};

/// What is asked, and how often.
#[derive(Clone, Debug)]
pub struct Questions {
    /// The path; also one that the site does not know shows that Django answers.
    pub path: String,
    /// The hosts to ask with, in order, until one is accepted. Never empty.
    pub hosts: Vec<Value>,
    /// Between two questions once the application is ready.
    pub interval: Duration,
    /// How long one answer may take.
    pub deadline: Duration,
}

/// What one round of questions showed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Finding {
    /// An answer below 500 to a host that is accepted.
    Accepted,
    /// 400 to every host: Django is up and refuses them.
    HostRefused,
    /// Not ready.
    Not(Reason),
}

/// Asks the application and keeps readiness up to date.
#[derive(Debug)]
pub struct Asker {
    questions: Questions,
    upstream: Settings,
    pulse: Arc<Pulse>,
    process: Option<watch::Receiver<Liveness>>,
    has_warned: bool,
    silences: u32,
}

/// Between two questions while the application is not ready: short at first.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// So many questions in a row may stay without an answer while nothing else is answered either.
const SILENCES_ALLOWED: u32 = 3;

impl Asker {
    /// Builds an asker; [`Asker::run`] asks.
    pub fn new(questions: Questions, upstream: Settings, pulse: Arc<Pulse>) -> Self {
        Self { questions, upstream, pulse, process: None, has_warned: false, silences: 0 }
    }

    /// Beside a process of which is known whether it runs: one that does and does not listen yet is
    /// at work, one that keeps ending is not waited for.
    #[must_use]
    pub fn beside(self, process: watch::Receiver<Liveness>) -> Self {
        Self { process: Some(process), ..self }
    }

    /// Asks until the runtime ends. Whoever finds that nothing listens makes it ask at once.
    pub async fn run(mut self, readiness: &Readiness) {
        let mut pause = FIRST_PAUSE;
        let mut told = readiness.phase();
        loop {
            let asked = Instant::now();
            let liveness = self.process.as_mut().map(|it| *it.borrow_and_update());
            let present = readiness.phase();
            let finding = beside(liveness, &present, self.ask_all().await);
            let phase = self.judge(finding, asked, &present);
            readiness.set(phase.clone());
            if phase == Phase::Ready {
                pause = FIRST_PAUSE;
            }
            if std::mem::replace(&mut told, phase.clone()) != phase {
                self.tell(&phase, readiness);
            }
            if phase == Phase::Ready {
                let changed = readiness.wait_for(|phase| *phase != Phase::Ready);
                drop(timeout(self.questions.interval, changed).await);
            } else {
                self.rest(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Waits, but no longer than until the process starts or ends.
    async fn rest(&mut self, pause: Duration) {
        let changes = async {
            let Some(process) = &mut self.process else { return std::future::pending().await };
            if process.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        // Either is a reason to ask again.
        drop(timeout(pause, changes).await);
    }

    /// Decides the phase. A worker that is busy is no reason to take an instance out.
    fn judge(&mut self, finding: Finding, asked: Instant, present: &Phase) -> Phase {
        let was_ready = *present == Phase::Ready;
        let is_busy = self.pulse.has_answered_since(asked);
        let reason = match finding {
            Finding::Accepted => {
                self.silences = 0;
                return Phase::Ready;
            }
            Finding::HostRefused => {
                self.silences = 0;
                self.warn_about_hosts();
                return Phase::Ready;
            }
            // It is busy; or what is missing is missing here, files or ports.
            Finding::Not(reason @ (Reason::Silent | Reason::Unreachable)) if was_ready => {
                self.silences = if is_busy { 0 } else { self.silences + 1 };
                if self.silences < SILENCES_ALLOWED {
                    return Phase::Ready;
                }
                reason
            }
            Finding::Not(reason) => reason,
        };
        match present {
            Phase::Starting(_) => Phase::Starting(reason),
            // It is on its way back: its workers start behind an open door.
            Phase::Failed(Reason::Loading | Reason::NotListening | Reason::Returning)
                if matches!(reason, Reason::Silent | Reason::NotHttp) =>
            {
                Phase::Failed(Reason::Returning)
            }
            Phase::Ready | Phase::Failed(_) | Phase::Draining => Phase::Failed(reason),
        }
    }

    /// Asks with one host after the other until one is accepted.
    async fn ask_all(&self) -> Finding {
        for host in &self.questions.hosts {
            match timeout(self.questions.deadline, self.ask(host)).await {
                Ok(Ok(400)) => {}
                Ok(Ok(status)) if status < 500 => return Finding::Accepted,
                Ok(Ok(status)) => return Finding::Not(Reason::Answered(status)),
                Ok(Err(why)) if why.is_absence() => return Finding::Not(Reason::NotListening),
                Ok(Err(Error::Connect { source, .. })) => {
                    tracing::warn!(%source, "the application cannot be asked whether it is ready");
                    return Finding::Not(Reason::Unreachable);
                }
                Ok(Err(Error::ConnectDeadline { .. } | Error::ResponseDeadline)) | Err(_) => {
                    return Finding::Not(Reason::Silent);
                }
                Ok(Err(_)) => return Finding::Not(Reason::NotHttp),
            }
        }
        Finding::HostRefused
    }

    /// Asks once; returns the status of the answer.
    async fn ask(&self, host: &Value) -> Result<u16, Error> {
        let connection =
            connect(&self.upstream.address, self.upstream.deadlines.connect, &self.pulse).await?;
        let mut text = BytesMut::with_capacity(512);
        if let Some(version) = self.upstream.proxy_protocol {
            let this = SocketAddr::from(([127, 0, 0, 1], 0));
            proxy_protocol::write(&mut text, version, this, this);
        }
        write_request(&mut text, &self.question(host), Length::None);
        let deadlines = self.upstream.deadlines;
        let text = (text.freeze(), Source::None);
        let mut exchange = Exchange::new(connection, Method::GET, text, Instant::now(), deadlines);
        exchange.head().await.map(|head| head.status.as_u16())
    }

    /// A request as a visitor's would arrive: over https, so that no redirect is the answer.
    fn question(&self, host: &Value) -> fields::Head {
        let mut fields = Fields::new();
        fields.append(names::HOST, host);
        for (name, text) in [
            (names::USER_AGENT, USER_AGENT),
            (names::ACCEPT, "*/*"),
            (names::X_FORWARDED_FOR, "127.0.0.1"),
            (names::X_FORWARDED_PROTO, "https"),
            (names::CONNECTION, "close"),
        ] {
            fields.append(name, &Value::from_static(text));
        }
        let uri = self.questions.path.parse().unwrap_or_default();
        fields::Head { method: Method::GET, uri, version: Version::HTTP_11, fields }
    }

    fn warn_about_hosts(&mut self) {
        if !std::mem::replace(&mut self.has_warned, true) {
            let hosts: Vec<_> =
                self.questions.hosts.iter().filter_map(|host| host.to_str()).collect();
            tracing::warn!(
                hosts = hosts.join(","),
                mend = "add one of these to ALLOWED_HOSTS, or name one that is there with --host",
                "the application answers 400 to every host that forebay asks with"
            );
        }
    }

    fn tell(&self, phase: &Phase, readiness: &Readiness) {
        let elapsed_ms = readiness.since().elapsed().as_millis();
        match phase {
            Phase::Ready => tracing::info!(elapsed_ms, "the application is ready"),
            Phase::Starting(reason) => {
                tracing::info!(elapsed_ms, last_seen = %reason, "waiting for the application");
            }
            Phase::Failed(reason) => {
                let address = self.upstream.address.to_string();
                tracing::error!(address, last_seen = %reason, "the application does not answer");
            }
            Phase::Draining => {}
        }
    }
}

/// What a finding means beside a process of which more is known.
fn beside(process: Option<Liveness>, present: &Phase, finding: Finding) -> Finding {
    let Some(Liveness { is_running, short_lives }) = process else { return finding };
    // What has answered before may end by chance, twice even; at the start there is no chance.
    let bearable = if matches!(present, Phase::Starting(_)) { 0 } else { 2 };
    match finding {
        Finding::Not(Reason::NotListening | Reason::Silent | Reason::NotHttp)
            if short_lives > bearable =>
        {
            Finding::Not(Reason::Dying)
        }
        Finding::Not(Reason::NotListening) if is_running => Finding::Not(Reason::Loading),
        finding @ (Finding::Accepted | Finding::HostRefused | Finding::Not(_)) => finding,
    }
}

/// How forebay names itself to the application.
const USER_AGENT: &str = concat!("forebay/", env!("CARGO_PKG_VERSION"), " (readiness)");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::upstream::{Address, Deadlines};

    fn asker() -> Asker {
        let second = Duration::from_secs(1);
        let upstream = Settings {
            address: Address::Tcp { host: "127.0.0.1".to_owned(), port: 1 },
            deadlines: Deadlines {
                connect: second,
                response: second,
                idle: second,
                client_idle: second,
            },
            keep_alive: Duration::ZERO,
            reuses_for_effects: false,
            proxy_protocol: None,
        };
        let questions = Questions {
            path: "/".to_owned(),
            hosts: vec![Value::from_static("www.example.com")],
            interval: second,
            deadline: second,
        };
        Asker::new(questions, upstream, Arc::new(Pulse::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_application_stays_ready_and_a_silent_one_does_not() {
        let mut asker = asker();
        let mut judge = |finding, phase: &Phase| {
            let asked = Instant::now();
            asker.judge(finding, asked, phase)
        };
        let silent = Finding::Not(Reason::Silent);
        assert_eq!(judge(silent, &Phase::Ready), Phase::Ready);
        assert_eq!(judge(silent, &Phase::Ready), Phase::Ready);
        assert_eq!(judge(silent, &Phase::Ready), Phase::Failed(Reason::Silent));
        assert_eq!(judge(Finding::Accepted, &Phase::Failed(Reason::Silent)), Phase::Ready);
        let gone = Phase::Failed(Reason::NotListening);
        assert_eq!(judge(silent, &gone), Phase::Failed(Reason::Returning));

        asker.pulse.answered(Instant::now());
        let asked = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        asker.pulse.answered(Instant::now());
        for _ in 0..9 {
            assert_eq!(asker.judge(silent, asked, &Phase::Ready), Phase::Ready, "busy, not silent");
        }
    }

    #[test]
    fn what_ends_at_its_start_or_again_and_again_is_not_waited_for() {
        let (starting, failed) =
            (Phase::Starting(Reason::Loading), Phase::Failed(Reason::NotListening));
        for (is_running, short_lives, present, seen, meant) in [
            (false, 0, &starting, Reason::NotListening, Reason::NotListening),
            (true, 0, &starting, Reason::NotListening, Reason::Loading),
            (false, 1, &starting, Reason::NotListening, Reason::Dying),
            (true, 1, &starting, Reason::Silent, Reason::Dying),
            (true, 1, &starting, Reason::Answered(500), Reason::Answered(500)),
            (false, 1, &failed, Reason::NotListening, Reason::NotListening),
            (true, 1, &failed, Reason::NotListening, Reason::Loading),
            (true, 2, &failed, Reason::NotListening, Reason::Loading),
            (true, 3, &failed, Reason::NotListening, Reason::Dying),
        ] {
            let process = Some(Liveness { is_running, short_lives });
            let finding = beside(process, present, Finding::Not(seen));
            assert_eq!(finding, Finding::Not(meant), "{is_running} {short_lives} {seen}");
        }
        assert_eq!(beside(None, &failed, Finding::Accepted), Finding::Accepted);
    }

    #[tokio::test]
    async fn a_closed_port_is_no_readiness_but_a_refused_host_is() {
        let mut asker = asker();
        let now = Instant::now();
        let start = Phase::Starting(Reason::NotAsked);
        for reason in [Reason::NotListening, Reason::Answered(500), Reason::NotHttp, Reason::Silent]
        {
            assert_eq!(asker.judge(Finding::Not(reason), now, &start), Phase::Starting(reason));
        }
        assert_eq!(asker.judge(Finding::HostRefused, now, &start), Phase::Ready);
        let gone = Finding::Not(Reason::NotListening);
        assert_eq!(asker.judge(gone, now, &Phase::Ready), Phase::Failed(Reason::NotListening));
    }
}
