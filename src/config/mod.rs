//! Turns what was written into what was meant, and reports all faults at once.
//!
//! Owns: the settings, their sources and precedence, the platform's variables, the typed result.
//! Must not know: sockets, children, requests.

mod fault;
mod platform;
mod setting;
mod source;
mod value;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

pub use fault::{Fault, Faults, Trouble};
pub use setting::{SETTINGS, Setting};
pub use source::{Environment, Flags, Origin, Shown};

use crate::proxy::guard::{Deadlines, Limits};
use crate::proxy::normalise::{self, CanonicalHost, Edges, Forwarded, Platform, Scheme};
use crate::proxy::probe::Probes;
use crate::proxy::route::{self, AlwaysOn};
use crate::proxy::upstream::{self, Address, Questions};
use crate::proxy::{compress, connection, proxy_protocol, send_file};
use crate::telemetry::{self, Format};
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
    /// What the upstream leg obeys.
    pub upstream: upstream::Settings,
    /// The files that the application may name.
    pub send_file: send_file::Settings,
    /// What the compressor obeys.
    pub compress: compress::Settings,
    /// What the application is asked.
    pub questions: Questions,
    /// What the log obeys.
    pub log: telemetry::Settings,
    shown: Vec<Shown>,
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
        let mut sources = Sources::collect(flags, environment);
        if let Some((name, variable)) = platform::detect(environment) {
            sources.platform_default("platform", name.to_owned(), variable);
        }
        let platform = sources.read("platform", |text| platform::choose(text, environment));
        let platform = platform.unwrap_or(Platform::None);
        for (name, text, variable) in platform::defaults(platform, environment) {
            sources.platform_default(name, text, variable);
        }
        let config = Self::build(&mut sources, platform, need);
        match config {
            Some(config) if sources.faults.is_empty() => {
                Ok(Self { shown: sources.into_shown(), ..config })
            }
            _ => Err(Faults(sources.faults)),
        }
    }

    /// Reads every setting, also after a fault, so that all faults are found.
    fn build(sources: &mut Sources, platform: Platform, need: Need) -> Option<Self> {
        let listen = sources.read("listen", value::listen);
        let connection_limit = sources.read("connection-limit", value::count::<1, 1_000_000>);
        let threads = sources.read("threads", value::count::<1, 64>);
        let drain_deadline = sources.read("drain-deadline", value::deadline);
        let connection = read_connection(sources);
        let hosts = sources.read_all("host", CanonicalHost::parse);
        let canonical = hosts.iter().flatten().next().cloned();
        let normalise = read_normalise(sources, platform, canonical);
        let routes = read_routes(sources, platform);
        let start_limit = sources.read("start-limit", value::deadline);
        let client_idle = connection.map(|settings| settings.deadlines.body_idle);
        let upstream = read_upstream(sources, need, client_idle);
        let send_file = read_send_file(sources);
        let compress = read_compress(sources);
        let ready_interval = sources.read("ready-interval", value::deadline);
        let ready_deadline = sources.read("ready-deadline", value::deadline);
        let log = read_log(sources);
        let routes = routes?;
        let mut asked: Vec<_> = hosts?.iter().map(|host| host.value().clone()).collect();
        if asked.is_empty() {
            asked.push(HeaderValue::from_static("localhost"));
        }
        Some(Self {
            listen: listen?,
            connection_limit: connection_limit? as u64,
            threads: NonZeroUsize::new(threads?)?,
            drain_deadline: drain_deadline?,
            connection: connection?,
            normalise: normalise?,
            probes: Probes { start_limit: start_limit? },
            upstream: upstream?,
            send_file: send_file?,
            compress: compress?,
            questions: Questions {
                path: routes.health_path.clone(),
                hosts: asked,
                interval: ready_interval?,
                deadline: ready_deadline?,
            },
            routes,
            log: log?,
            shown: Vec::new(),
        })
    }

    /// Where a setting's value comes from, in words.
    pub fn origin_of(&self, name: &str) -> String {
        let shown = self.shown.iter().find(|shown| shown.name == name);
        shown.map_or_else(|| "default".to_owned(), |shown| shown.origin.to_string())
    }

    /// Whether the operator chose a setting, and not the platform or a default.
    fn is_chosen(&self, name: &str) -> bool {
        let shown = self.shown.iter().find(|shown| shown.name == name);
        shown.is_some_and(|shown| !matches!(shown.origin, Origin::Platform(_) | Origin::Default))
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

fn read_connection(sources: &mut Sources) -> Option<connection::Settings> {
    let header_bytes = sources.read("header-bytes-limit", value::bytes::<1024, 1_048_576>);
    let header_count = sources.read("header-count-limit", value::count::<10, 1000>);
    let field_bytes = sources.read("field-bytes-limit", value::bytes::<256, 1_048_576>);
    let request_line_bytes = sources.read("request-line-limit", value::bytes::<256, 65_536>);
    let header = sources.read("header-deadline", value::deadline);
    let idle = sources.read("idle-deadline", value::deadline);
    let body_idle = sources.read("body-idle-deadline", value::deadline);
    let accepts_proxy_protocol = sources.read("accept-proxy-protocol", value::switch);
    let limits = Limits {
        header_bytes: header_bytes?,
        header_count: header_count?,
        field_bytes: field_bytes?,
        request_line_bytes: request_line_bytes?,
    };
    let deadlines = Deadlines { header: header?, idle: idle?, body_idle: body_idle? };
    let accepts_proxy_protocol = accepts_proxy_protocol?;
    Some(connection::Settings { limits, deadlines, accepts_proxy_protocol })
}

fn read_normalise(
    sources: &mut Sources,
    platform: Platform,
    canonical_host: Option<CanonicalHost>,
) -> Option<normalise::Settings> {
    let ids = sources.read_all("front-door-id", value::front_door_id);
    let id = ids.into_iter().flatten().next_back();
    let edges = sources.read("edges", |text| value::edges(text, id.clone()));
    if let (Some(_), Some(edges)) = (&id, &edges)
        && !matches!(edges, Edges::FrontDoor(_))
    {
        sources.fault("front-door-id", "it has no effect without `--edges front-door`");
    }
    let trusted = sources.read_all("trusted", value::network);
    let forwarded = sources.read("forwarded", |text| match text {
        "client" => Ok(Forwarded::Client),
        "chain" => Ok(Forwarded::Chain),
        _ => Err("write `client` or `chain`".to_owned()),
    });
    let scheme = sources.read("scheme", |text| match text {
        "auto" => Ok(None),
        "http" => Ok(Some(Scheme::Http)),
        "https" => Ok(Some(Scheme::Https)),
        _ => Err("write `auto`, `http` or `https`".to_owned()),
    });
    let easy_auth = sources.read("easy-auth", value::switch);
    let kept: Option<Vec<HeaderName>> = sources.read_all("keep", value::kept_field);
    Some(normalise::Settings {
        platform,
        edges: edges?,
        trusted: trusted?,
        forwarded: forwarded?,
        scheme: scheme?,
        canonical_host,
        easy_auth: easy_auth?,
        kept: kept?,
    })
}

fn read_routes(sources: &mut Sources, platform: Platform) -> Option<route::Settings> {
    let health_path = sources.read("health-path", value::path);
    let warm_up_path = sources.read("warm-up-path", value::path);
    let always_on = sources.read("always-on", |text| match text {
        "application" => Ok(AlwaysOn::Application),
        "answer" => Ok(AlwaysOn::Forebay),
        _ => Err("write `application` or `answer`".to_owned()),
    });
    Some(route::Settings {
        platform,
        health_path: health_path?,
        warm_up_path: warm_up_path?,
        always_on: always_on?,
    })
}

fn read_upstream(
    sources: &mut Sources,
    need: Need,
    client_idle: Option<Duration>,
) -> Option<upstream::Settings> {
    let address = sources.read_all("upstream", value::upstream);
    let connect = sources.read("upstream-connect-deadline", value::deadline);
    let response = sources.read("upstream-response-deadline", value::deadline);
    let idle = sources.read("upstream-idle-deadline", value::deadline);
    let keep_alive = sources.read("upstream-keep-alive", value::deadline_or_off);
    let proxy_protocol = sources.read("proxy-protocol", |text| match text {
        "off" => Ok(None),
        "v1" => Ok(Some(proxy_protocol::Version::V1)),
        "v2" => Ok(Some(proxy_protocol::Version::V2)),
        _ => Err("write `off`, `v1` or `v2`".to_owned()),
    });
    let address = match address?.into_iter().next_back() {
        Some(address) => address,
        None if need == Need::NoUpstream => Address::Tcp { host: "127.0.0.1".to_owned(), port: 1 },
        None => {
            let why = "name where the application listens, such as `--upstream 127.0.0.1:8001` or \
                       `--upstream unix:/tmp/gunicorn.sock`";
            sources.fault("upstream", why);
            return None;
        }
    };
    Some(upstream::Settings {
        address,
        deadlines: upstream::Deadlines {
            connect: connect?,
            response: response?,
            idle: idle?,
            client_idle: client_idle?,
        },
        keep_alive: keep_alive?,
        proxy_protocol: proxy_protocol?,
    })
}

fn read_send_file(sources: &mut Sources) -> Option<send_file::Settings> {
    let places = sources.read_all("send-file", value::send_file)?;
    let mut prefixes: Vec<_> = places.iter().map(|place| &place.prefix).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    if prefixes.len() < places.len() {
        sources.fault("send-file", "give each prefix once");
    }
    Some(send_file::Settings { places })
}

fn read_compress(sources: &mut Sources) -> Option<compress::Settings> {
    let is_on = sources.read("compress", value::switch);
    let least = sources.read("compress-min", value::bytes::<1, 16_777_216>);
    let compresses_personal = sources.read("compress-personal", value::switch);
    let limit = sources.read("compress-limit", value::count::<1, 10_000>);
    Some(compress::Settings {
        is_on: is_on?,
        least: least? as u64,
        compresses_personal: compresses_personal?,
        limit: limit?,
    })
}

fn read_log(sources: &mut Sources) -> Option<telemetry::Settings> {
    let format = sources.read("log", |text| match text {
        "json" => Ok(Format::Json),
        "text" => Ok(Format::Text),
        _ => Err("write `json` or `text`".to_owned()),
    });
    let level = sources.read("log-level", |text| {
        let levels = ["error", "warn", "info", "debug"];
        let level = if levels.contains(&text) { text.parse().ok() } else { None };
        level.ok_or_else(|| "write `error`, `warn`, `info` or `debug`".to_owned())
    });
    let has_access_log = sources.read("access-log", value::switch);
    Some(telemetry::Settings { format: format?, level: level?, has_access_log: has_access_log? })
}

#[cfg(test)]
mod tests;
