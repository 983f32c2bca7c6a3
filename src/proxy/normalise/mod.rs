//! Step 2: makes a request arrive normal: one client address, one scheme, one host, no lies.
//!
//! Owns: whom we believe about the client, the scheme and the host; what strangers must not say.
//! Must not know: sockets, clocks, content, routes.

mod address;
mod rules;
mod evidence;
mod client;
mod host;
mod rewrite;
mod journal;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

pub use address::{Hop, is_internal};
pub use host::{CanonicalHost, HostKind, kind as host_kind};
pub use journal::{Change, Journal};
pub use rules::may_be_kept;

use super::fields::{Head, Name, Value, names};
use crate::code::Code;
use client::Client;
use evidence::Evidence;
use rewrite::{drop_fields, join_cookies, write, write_client, write_upgrade};
use rules::Rules;

/// Where forebay runs, and so whose fields describe the visitor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Platform {
    /// Azure App Service for Linux: its front end appends the visitor to `X-Forwarded-For`.
    AppService,
    /// Azure Container Apps: its ingress replaces `X-Forwarded-For`.
    ContainerApps,
    /// Kubernetes behind an ingress controller.
    Kubernetes,
    /// Nothing in front but what `--trusted` or `--edges` name.
    None,
}

impl Platform {
    /// Whether the socket's peer is a front end that names the visitor.
    pub fn has_front_end(self) -> bool {
        self != Self::None
    }
}

/// The trusted edges in front of the platform's front end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Edges {
    /// So many hops are skipped.
    Count(usize),
    /// Azure Front Door. With its id, only requests that carry the id count as having passed it.
    FrontDoor(Option<Value>),
    /// Azure Application Gateway, reaching the site over a private address.
    AppGateway,
}

/// What the application is told in `X-Forwarded-For`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forwarded {
    /// The client's address alone.
    Client,
    /// The client's address and the trusted hops behind it, bare.
    Chain,
}

/// The scheme a visitor used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Under TLS, which ended at the front end.
    Https,
}

impl Scheme {
    /// The lower-case token that goes into `X-Forwarded-Proto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What the normaliser obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where forebay runs.
    pub platform: Platform,
    /// The edges in front of the platform's front end.
    pub edges: Edges,
    /// Networks whose hops are skipped.
    pub trusted: Vec<IpNet>,
    /// What goes into `X-Forwarded-For`.
    pub forwarded: Forwarded,
    /// The scheme, where the operator knows better than any field.
    pub scheme: Option<Scheme>,
    /// What replaces an internal Host.
    pub canonical_host: Option<CanonicalHost>,
    /// Whether Easy Auth vouches for the identity fields.
    pub easy_auth: bool,
    /// Fields that are left alone.
    pub kept: Vec<Name>,
}

/// What is known about a request after step 2.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// Who asks.
    pub client: IpAddr,
    /// The client's port where a hop gave it, else 0.
    pub client_port: u16,
    /// How the client asks.
    pub scheme: Scheme,
    /// What the Host was as it arrived.
    pub host: HostKind,
    /// Whether a field says that the front end passed the request on. Outsiders cannot prevent it.
    pub has_front_end: bool,
    /// Whether the request asks to change the protocol, soundly.
    pub is_upgrade: bool,
    /// Whether the front end's fields name different clients.
    pub is_disputed: bool,
}

/// Why a request cannot be made normal.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The Host field is no host.
    #[error("Host `{0}` is not a host")]
    BadHost(String),
    /// The target's authority and the Host field differ (RFC 9112 §3.2.2).
    #[error("the target names `{target}` and Host names `{host}`")]
    HostsDiffer {
        /// What the target names.
        target: String,
        /// What the Host field names.
        host: String,
    },
    /// HTTP/2 without `:authority` and Host.
    #[error("there is neither an authority nor a Host field")]
    MissingHost,
}

impl Error {
    /// The code to answer with.
    pub fn code(&self) -> Code {
        match self {
            Self::BadHost(_) | Self::HostsDiffer { .. } | Self::MissingHost => Code::BadHost,
        }
    }
}

/// What is known of a request before anything is changed.
struct Observed {
    seen: Seen,
    evidence: Evidence,
    client: Client,
    host: Option<(Value, HostKind)>,
}

/// Makes requests normal.
#[derive(Debug)]
pub struct Normaliser {
    settings: Settings,
    rules: Rules,
}

impl Normaliser {
    /// Builds a normaliser.
    pub fn new(settings: Settings) -> Self {
        let rules = Rules::new(&settings.kept);
        Self { settings, rules }
    }

    /// What this normaliser obeys.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Makes a request normal; afterwards its fields agree with what is returned.
    ///
    /// Doing it twice with the same peer equals doing it once on a platform without front end.
    ///
    /// # Errors
    ///
    /// [`Error`] when there is no one host to hand on; the client sees 400.
    pub fn normalise(
        &self,
        request: &mut Head,
        peer: SocketAddr,
        journal: &mut Journal,
    ) -> Result<Seen, Error> {
        let Observed { seen, evidence, client, host } = self.observe(request, peer)?;
        let fields = &mut request.fields;
        let (host, why) = self.host(host, &evidence, client);
        write(fields, names::HOST, &host, why, journal);
        drop_fields(fields, &evidence, client.passed_edge, journal);
        write_upgrade(fields, &evidence, seen.is_upgrade, journal);
        if evidence.cookies > 1 {
            join_cookies(fields, journal);
        }
        write_client(fields, client, self.settings.forwarded, &evidence, journal);
        write(
            fields,
            names::X_FORWARDED_PROTO,
            &Value::from_static(seen.scheme.as_str()),
            "exactly one scheme, in lower case",
            journal,
        );
        Ok(seen)
    }

    /// What is known of a request that goes no further and so stays as it is.
    ///
    /// # Errors
    ///
    /// As [`Normaliser::normalise`].
    pub fn see(&self, request: &Head, peer: SocketAddr) -> Result<Seen, Error> {
        self.observe(request, peer).map(|observed| observed.seen)
    }

    fn observe(&self, request: &Head, peer: SocketAddr) -> Result<Observed, Error> {
        let evidence = Evidence::gather(&self.settings, &self.rules, request);
        let client = Client::find(&self.settings, &request.fields, peer);
        let host = host::of(request)?;
        let seen = Seen {
            client: client.address,
            client_port: client.port,
            scheme: client.scheme(&self.settings, &request.fields),
            host: host.as_ref().map_or(HostKind::Literal, |(_, kind)| *kind),
            has_front_end: evidence.has_front_end,
            is_upgrade: evidence.is_upgrade(request),
            is_disputed: client.is_disputed(&self.settings, &request.fields),
        };
        Ok(Observed { seen, evidence, client, host })
    }

    /// Decides the host that goes on, and why.
    fn host(
        &self,
        host: Option<(Value, HostKind)>,
        evidence: &Evidence,
        client: Client,
    ) -> (Value, &'static str) {
        if self.settings.edges == Edges::AppGateway
            && client.passed_edge
            && let Some(original) = &evidence.original_host
            && host::kind(original.as_bytes()).is_some()
        {
            return (original.clone(), "Application Gateway says what the visitor asked for");
        }
        let is_internal = host.as_ref().is_none_or(|(_, kind)| kind.is_internal());
        if is_internal
            && !evidence.has_front_end
            && let Some(canonical) = &self.settings.canonical_host
        {
            let why = "no visitor asked for an internal address: it bears no sign of the front end";
            return (canonical.value().clone(), why);
        }
        let host = host.map_or(Value::from_static("localhost"), |(value, _)| value);
        (host, "the target's authority is the host")
    }
}

#[cfg(test)]
mod tests;
