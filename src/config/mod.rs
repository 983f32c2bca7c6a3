//! Turns what was written into what was meant, and reports all faults at once.
//!
//! Owns: the settings, their sources and precedence, the platform's variables, the typed result.
//! Must not know: sockets, children, requests.

mod fault;
mod platform;
mod postgres;
mod process;
mod read;
mod setting;
mod source;
mod value;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

pub use fault::{Fault, Faults, Trouble};
pub use postgres::past_the_leg;
pub use process::{Command, Process};
pub use setting::postgres::GROUP as POSTGRES;
pub use setting::{SETTINGS, Setting};
pub use source::{Derived, Environment, Flags, Origin, Shown};

use crate::admin;
use crate::postgres_tls;
use crate::proxy::fields::Value;
use crate::proxy::normalise::{self, CanonicalHost, Edges, Platform};
use crate::proxy::probe::Probes;
use crate::proxy::route;
use crate::proxy::upstream::{self, Questions, queue};
use crate::proxy::{assets, compress, connection, intake, send_file, spool, status};
use crate::release;
use crate::supervise;
use crate::telemetry;
use source::Sources;

/// Everything that `forebay proxy` obeys.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public address.
    pub listen: SocketAddr,
    /// The most connections at once.
    pub connection_limit: u64,
    /// Data threads.
    pub threads: NonZeroUsize,
    /// How long a stop may take.
    pub drain_deadline: Duration,
    /// What connections obey.
    pub connection: connection::Settings,
    /// What the normaliser obeys.
    pub normalise: normalise::Settings,
    /// What the routes obey.
    pub routes: route::Settings,
    /// What probers are told.
    pub probes: Probes,
    /// What a request's content obeys.
    pub intake: intake::Settings,
    /// What content that waits may take.
    pub spool: spool::Settings,
    /// What waiting for the application obeys.
    pub queue: queue::Settings,
    /// What the upstream leg obeys.
    pub upstream: upstream::Settings,
    /// The files that the application may name.
    pub send_file: send_file::Settings,
    /// What the assets obey.
    pub assets: assets::Settings,
    /// What the compressor obeys.
    pub compress: compress::Settings,
    /// What the application is asked.
    pub questions: Questions,
    /// What children obey.
    pub supervise: supervise::Settings,
    /// What the release lock obeys.
    pub release: release::Settings,
    /// The processes without which `forebay run` ends, beside the web process.
    pub essential: Vec<String>,
    /// The processes of `forebay run` that the file names.
    pub processes: Vec<Process>,
    /// Where forebay tells about itself.
    pub admin: admin::Settings,
    /// Who may read its status on the public port.
    pub status: status::Settings,
    /// What this instance is called among those of the site; nothing where nobody says.
    pub instance: Option<String>,
    /// What the leg to a PostgreSQL server obeys, if one is named.
    pub postgres: Option<postgres_tls::Settings>,
    /// What the log obeys.
    pub log: telemetry::Settings,
    shown: Vec<Shown>,
}

/// Reads a time as settings have it: `250ms`, `30s`, `4m` or `1h`.
///
/// # Errors
///
/// How to mend it.
pub fn time(text: &str) -> Result<Duration, String> {
    value::deadline(text)
}

/// Whether a command takes requests to a real application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Need {
    /// `--upstream` must be set.
    Upstream,
    /// There may be none.
    NoUpstream,
}

impl Config {
    /// Works out the settings in force: flag, variable, file, platform variable, default.
    ///
    /// # Errors
    ///
    /// [`Faults`], with every setting that cannot be obeyed.
    pub fn load(flags: Flags, environment: &Environment, need: Need) -> Result<Self, Faults> {
        Self::load_with(flags, environment, need, &[])
    }

    /// The same, with texts that hold where nobody wrote one.
    ///
    /// # Errors
    ///
    /// As [`Config::load`].
    pub fn load_with(
        flags: Flags,
        environment: &Environment,
        need: Need,
        derived: &[Derived],
    ) -> Result<Self, Faults> {
        let mut sources = Sources::collect(flags, environment);
        if let Some((name, variable)) = platform::detect(environment) {
            sources.platform_default("platform", name.to_owned(), variable);
        }
        let platform = sources.read("platform", |text| platform::choose(text, environment));
        let platform = platform.unwrap_or(Platform::None);
        for (name, text, variable) in platform::defaults(platform, environment) {
            sources.platform_default(name, text, variable);
        }
        for derived in derived {
            sources.default(derived.clone());
        }
        let database_url = environment.get("DATABASE_URL").map(String::as_str);
        let postgres = postgres::read(&mut sources, database_url);
        let config = Self::build(&mut sources, environment, platform, need);
        match config {
            Some(config) if sources.faults.is_empty() => {
                Ok(Self { postgres, shown: sources.into_shown(), ..config })
            }
            _ => Err(Faults(sources.faults)),
        }
    }

    /// Reads every setting, also after a fault, so that all faults are found.
    fn build(
        sources: &mut Sources,
        environment: &Environment,
        platform: Platform,
        need: Need,
    ) -> Option<Self> {
        let listen = sources.read("listen", value::listen);
        let connection_limit = sources.read("connection-limit", value::count::<1, 1_000_000>);
        let threads = sources.read("threads", value::count::<1, 64>);
        let drain_deadline = sources.read("drain-deadline", value::deadline);
        let connection = read::connection(sources);
        let hosts = sources.read_all("host", CanonicalHost::parse);
        let canonical = hosts.iter().flatten().next().cloned();
        let normalise = read::normalise(sources, platform, canonical);
        let status = read::status(sources, environment);
        let has_status = status.as_ref().is_some_and(|(_, status)| status.token.is_some());
        let routes = read::routes(sources, platform);
        let routes = routes.map(|routes| route::Settings { has_status, ..routes });
        let start_limit = sources.read("start-limit", value::deadline);
        let client_idle = connection.map(|settings| settings.deadlines.body_idle);
        let upstream = read::upstream(sources, need, client_idle);
        let intake = read::intake(sources, client_idle);
        let spool = read::spool(sources);
        let queue = read::queue(sources);
        let send_file = read::send_file(sources);
        let assets = read::assets(sources, routes.as_ref());
        let compress = read::compress(sources);
        let supervise = read::supervise(sources);
        let release = read::release(sources);
        let essential = sources.read_all("essential", |text| Ok(text.to_owned()));
        let ready_interval = sources.read("ready-interval", value::deadline);
        let ready_deadline = sources.read("ready-deadline", value::deadline);
        let log = read::log(sources);
        let routes = routes?;
        let (admin, status) = status?;
        let mut asked: Vec<_> = hosts?.iter().map(|host| host.value().clone()).collect();
        if asked.is_empty() {
            asked.push(Value::from_static("localhost"));
        }
        Some(Self {
            listen: listen?,
            connection_limit: connection_limit? as u64,
            threads: NonZeroUsize::new(threads?)?,
            drain_deadline: drain_deadline?,
            connection: connection?,
            normalise: normalise?,
            probes: Probes { start_limit: start_limit? },
            intake: intake?,
            spool: spool?,
            queue: queue?,
            upstream: upstream?,
            send_file: send_file?,
            assets: assets?,
            compress: compress?,
            questions: Questions {
                path: routes.health_path.clone(),
                hosts: asked,
                interval: ready_interval?,
                deadline: ready_deadline?,
            },
            routes,
            supervise: supervise?,
            release: release?,
            essential: essential?,
            processes: sources.processes.clone(),
            admin,
            status,
            instance: platform::instance(environment),
            postgres: None,
            log: log?,
            shown: Vec::new(),
        })
    }

    /// Where a setting's value comes from, in words.
    pub fn origin_of(&self, name: &str) -> String {
        let shown = self.shown.iter().find(|shown| shown.name == name);
        shown.map_or_else(|| "default".to_owned(), |shown| shown.origin.to_string())
    }

    /// Whether the operator chose a setting, and not the platform, the site or a default.
    pub fn is_chosen(&self, name: &str) -> bool {
        let shown = self.shown.iter().find(|shown| shown.name == name);
        shown.is_some_and(|shown| {
            matches!(shown.origin, Origin::Flag(_) | Origin::Variable(_) | Origin::File(_))
        })
    }

    /// Every setting, its value and where it comes from.
    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// The settings as a table for people.
    pub fn table(&self) -> String {
        let width = |of: fn(&Shown) -> usize| self.shown.iter().map(of).max().unwrap_or_default();
        let (names, values) = (width(|shown| shown.name.len()), width(|shown| shown.value().len()));
        let mut table = String::new();
        for shown in &self.shown {
            let (name, value) = (shown.name, shown.value());
            // Writing to a string cannot fail.
            writeln!(table, "{name:names$}  {value:values$}  {}", shown.origin).unwrap_or_default();
        }
        table
    }

    /// The settings as JSON.
    pub fn json(&self) -> serde_json::Value {
        let entry = |shown: &Shown| {
            let value = serde_json::json!({
                "value": shown.value(),
                "origin": shown.origin.to_string(),
            });
            (shown.name.to_owned(), value)
        };
        self.shown.iter().map(entry).collect::<serde_json::Map<_, _>>().into()
    }

    /// Says at start what was detected and derived.
    pub fn announce(&self, listening: SocketAddr) {
        let normalise = &self.normalise;
        let host = normalise.canonical_host.as_ref().map_or("none", CanonicalHost::as_str);
        tracing::info!(
            address = %listening,
            set_by = self.origin_of("listen"),
            upstream = %self.upstream.address,
            threads = self.threads,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        tracing::info!(
            platform = ?normalise.platform,
            detected_by = self.origin_of("platform"),
            host,
            host_set_by = self.origin_of("host"),
            easy_auth = normalise.easy_auth,
            start_limit_seconds = self.probes.start_limit.as_secs(),
            "platform"
        );
        if normalise.canonical_host.is_none() && normalise.platform.has_front_end() {
            tracing::warn!(
                mend = "set --host to a name that is in ALLOWED_HOSTS",
                "no canonical host: requests to an IP address reach Django as they are"
            );
        }
        if normalise.platform == Platform::Kubernetes && !self.is_chosen("platform") {
            tracing::warn!(
                mend =
                    "say --platform kubernetes if an ingress stands in front, else --platform none",
                "Kubernetes: X-Forwarded-For is believed as an ingress writes it; without an ingress \
                 anybody can write it"
            );
        }
        if normalise.edges == Edges::FrontDoor(None) {
            tracing::warn!(
                mend = "set --front-door-id to the profile's id (X-Azure-FDID)",
                "without Front Door's id anybody who reaches the site directly can name any client"
            );
        }
    }
}

#[cfg(test)]
mod tests;
