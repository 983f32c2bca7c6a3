//! Step 2: makes a request arrive normal: one client address, one scheme, one host, no lies.
//!
//! Owns: whom we believe about the client, the scheme and the host; what strangers must not say.
//! Must not know: sockets, clocks, content, routes.

mod address;
mod fields;
mod host;
mod journal;

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use ipnet::IpNet;

pub use address::{Hop, is_internal};
pub use fields::may_be_kept;
pub use host::{CanonicalHost, HostKind, kind as host_kind};
pub use journal::{Change, Journal};

use super::code::Code;
use fields::{Rule, Rules};

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
    FrontDoor(Option<HeaderValue>),
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
    pub kept: Vec<HeaderName>,
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

/// Makes requests normal.
#[derive(Debug)]
pub struct Normaliser {
    settings: Settings,
    rules: Rules,
}

/// What one pass over the fields brought to light.
#[derive(Debug, Default)]
struct Evidence {
    has_front_end: bool,
    connection_upgrades: bool,
    upgrade: Option<HeaderValue>,
    original_host: Option<HeaderValue>,
    client_port: bool,
    /// Fields that end here, each with the reason.
    dropped: Vec<(HeaderName, &'static str)>,
    /// Fields that must agree with the client.
    agreeing: Vec<HeaderName>,
    /// Fields that stay if a trusted edge was passed.
    from_edge: Vec<HeaderName>,
    /// Fields that the client asked to have removed.
    options: Vec<HeaderName>,
}

/// The client and how it was found.
#[derive(Clone, Copy, Debug)]
struct Client {
    address: IpAddr,
    port: u16,
    /// Hops of the chain between the socket's peer and the client, the client included.
    depth: usize,
    passed_edge: bool,
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
        request: &mut Parts,
        peer: SocketAddr,
        journal: &mut Journal,
    ) -> Result<Seen, Error> {
        let evidence = self.gather(request);
        let client = self.client(&request.headers, peer);
        let scheme = self.scheme(&request.headers, client);
        let host = take_host(request)?;
        let seen = Seen {
            client: client.address,
            client_port: client.port,
            scheme,
            host: host.as_ref().map_or(HostKind::Literal, |(_, kind)| *kind),
            has_front_end: evidence.has_front_end,
            is_upgrade: is_upgrade(request, &evidence),
            is_disputed: self.is_disputed(&request.headers, client),
        };
        let headers = &mut request.headers;
        let (host, why) = self.host(host, &evidence, client);
        write(headers, HOST, host, why, journal);
        drop_fields(headers, &evidence, client.passed_edge, journal);
        write_upgrade(headers, &evidence, seen.is_upgrade, journal);
        self.write_client(headers, client, &evidence, journal);
        write(
            headers,
            X_FORWARDED_PROTO,
            HeaderValue::from_static(scheme.as_str()),
            "exactly one scheme, in lower case",
            journal,
        );
        Ok(seen)
    }

    /// Looks at every field once.
    fn gather(&self, request: &Parts) -> Evidence {
        let mut evidence = Evidence::default();
        for (name, value) in &request.headers {
            let text = name.as_str();
            if text.contains('_') {
                evidence.drop(name, "servers disagree whether `_` is `-`");
                continue;
            }
            let Some(rule) = self.rules.rule(text) else { continue };
            match rule {
                Rule::Chain => evidence.has_front_end = true,
                Rule::FrontEnd => {
                    evidence.has_front_end = true;
                    evidence.client_port |= text == "x-client-port";
                }
                Rule::Agrees => {
                    evidence.has_front_end |=
                        text.contains("client-ip") || text.ends_with("-address");
                    if !evidence.agreeing.contains(name) {
                        evidence.agreeing.push(name.clone());
                    }
                }
                Rule::Scheme | Rule::Host => {}
                Rule::OriginalHost => evidence.original_host = Some(value.clone()),
                Rule::Connection => self.read_connection(value, &mut evidence),
                Rule::Upgrade => evidence.upgrade = Some(value.clone()),
                Rule::Edge => evidence.from_edge.push(name.clone()),
                Rule::ContainerApps => {
                    if self.settings.platform != Platform::ContainerApps {
                        evidence.drop(name, "no trusted edge sets it here");
                    }
                }
                Rule::EasyAuth => {
                    if !self.settings.easy_auth {
                        evidence.drop(name, "Easy Auth is off, so anybody may have written it");
                    }
                }
                Rule::Hop => evidence.drop(name, "it ends at the next hop (RFC 9110, 7.6.1)"),
                Rule::Drop(why) => evidence.drop(name, why),
            }
        }
        evidence
    }

    /// Reads the options of a Connection field; those that name other fields remove them.
    ///
    /// A field that has a rule here is not the client's to remove: `Connection: X-Forwarded-For`
    /// would hide who asks. Nor are the fields that say what the content is.
    fn read_connection(&self, value: &HeaderValue, evidence: &mut Evidence) {
        for option in value.as_bytes().split(|&byte| byte == b',') {
            let option = option.trim_ascii();
            if option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close") {
                continue;
            }
            if option.eq_ignore_ascii_case(b"upgrade") {
                evidence.connection_upgrades = true;
            } else if let Ok(name) = HeaderName::from_bytes(option)
                && self.rules.rule(name.as_str()).is_none()
                && !END_TO_END.contains(&name.as_str())
            {
                evidence.options.push(name);
            }
        }
    }

    /// Finds the client: the first hop, counted from the socket's peer, that nobody vouches for
    /// (facts, 1.6; RFC 7239 §5.2).
    fn client(&self, headers: &HeaderMap, peer: SocketAddr) -> Client {
        let peer_address = address::unmapped(peer.ip());
        let mut walk = Walk {
            hops: address::nearest_first(headers.get_all(X_FORWARDED_FOR)),
            client: Client {
                address: peer_address,
                port: peer.port(),
                depth: 0,
                passed_edge: false,
            },
            depth: 0,
        };
        let has_front_end = self.settings.platform.has_front_end();
        if has_front_end && !walk.step() {
            return self.without_chain(headers, walk.client);
        }
        walk.client.passed_edge = match &self.settings.edges {
            Edges::Count(count) => (0..*count).filter(|_| walk.step()).count() > 0,
            Edges::FrontDoor(id) => {
                is_from_front_door(headers, id.as_ref()) && walk.step_over_repeats()
            }
            Edges::AppGateway => {
                headers.contains_key(X_APPGW_TRACE_ID)
                    && is_internal(walk.client.address)
                    && walk.step()
            }
        };
        while self.settings.trusted.iter().any(|network| network.contains(&walk.client.address)) {
            // The edge is passed even if it names nobody.
            walk.client.passed_edge = true;
            if !walk.step() {
                break;
            }
        }
        walk.client
    }

    /// Behind App Service's front end `Client-IP` is its own word, also without a chain.
    fn without_chain(&self, headers: &HeaderMap, peer: Client) -> Client {
        if self.settings.platform != Platform::AppService {
            return peer;
        }
        match headers.get(CLIENT_IP).map(|value| Hop::parse(value.as_bytes())) {
            Some(Hop::Address(address, port)) => {
                Client { address, port: port.unwrap_or_default(), ..peer }
            }
            _ => peer,
        }
    }

    /// Decides the scheme: the token that the nearest trusted hop wrote (facts, 3).
    fn scheme(&self, headers: &HeaderMap, client: Client) -> Scheme {
        if let Some(scheme) = self.settings.scheme {
            return scheme;
        }
        if !self.settings.platform.has_front_end() && !client.passed_edge {
            return Scheme::Http;
        }
        let tokens = headers
            .get_all(X_FORWARDED_PROTO)
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|token| !token.is_empty());
        // As many hops as name the client may name the scheme; the furthest of them met the visitor.
        match tokens.take(client.depth.max(1)).last() {
            Some(token) if token.eq_ignore_ascii_case(b"https") => Scheme::Https,
            Some(token) if token.eq_ignore_ascii_case(b"wss") => Scheme::Https,
            // Facts, 3: Container Apps' literal `true`.
            None if self.settings.platform == Platform::ContainerApps
                && headers.get(X_ARR_SSL).is_some_and(|value| value == "true") =>
            {
                Scheme::Https
            }
            _ => Scheme::Http,
        }
    }

    /// Compares the chain with `Client-IP` and `X-Client-IP`, which name the front end's peer.
    ///
    /// On a private endpoint `Client-IP` is an address of the tunnel and only `X-Client-IP` agrees.
    fn is_disputed(&self, headers: &HeaderMap, client: Client) -> bool {
        if self.settings.platform != Platform::AppService || client.passed_edge {
            return false;
        }
        let says = |name| {
            headers
                .get(name)
                .map(|value| Hop::parse(value.as_bytes()).address() == Some(client.address))
        };
        let (client_ip, x_client_ip) = (says(&CLIENT_IP), says(&X_CLIENT_IP));
        client_ip.or(x_client_ip).is_some() && ![client_ip, x_client_ip].contains(&Some(true))
    }

    /// Decides the host that goes on, and why.
    fn host(
        &self,
        host: Option<(HeaderValue, HostKind)>,
        evidence: &Evidence,
        client: Client,
    ) -> (HeaderValue, &'static str) {
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
        let host = host.map_or(HeaderValue::from_static("localhost"), |(value, _)| value);
        (host, "the target's authority is the host")
    }

    fn write_client(
        &self,
        headers: &mut HeaderMap,
        client: Client,
        evidence: &Evidence,
        journal: &mut Journal,
    ) {
        let mut text = String::with_capacity(40);
        // Writing to a string cannot fail.
        write!(text, "{}", client.address).unwrap_or_default();
        let Ok(bare) = HeaderValue::from_str(&text) else { return };
        if self.settings.forwarded == Forwarded::Chain {
            let trusted: Vec<_> = address::nearest_first(headers.get_all(X_FORWARDED_FOR))
                .take(client.depth.saturating_sub(1))
                .filter_map(Hop::address)
                .collect();
            for hop in trusted.iter().rev() {
                write!(text, ", {hop}").unwrap_or_default();
            }
        }
        for name in &evidence.agreeing {
            write(headers, name.clone(), bare.clone(), "it agrees with the client", journal);
        }
        let Ok(chain) = HeaderValue::from_str(&text) else { return };
        write(headers, X_FORWARDED_FOR, chain, "the client as the trusted hops name it", journal);
    }
}

impl Evidence {
    fn drop(&mut self, name: &HeaderName, why: &'static str) {
        if self.dropped.last().is_none_or(|(last, _)| last != name) {
            self.dropped.push((name.clone(), why));
        }
    }
}

/// A walk along the hops, away from the socket's peer.
struct Walk<I> {
    hops: I,
    client: Client,
    depth: usize,
}

impl<I: Iterator<Item = Hop>> Walk<I> {
    /// Goes one hop further. Junk takes a step and is not believed: the nearer hop stays.
    fn step(&mut self) -> bool {
        let Some(hop) = self.hops.next() else { return false };
        self.stand_at(hop);
        true
    }

    /// Goes on until the address changes: Front Door's edge is listed twice (facts, E10).
    fn step_over_repeats(&mut self) -> bool {
        let edge = self.client.address;
        while self.step() {
            if self.client.address != edge {
                return true;
            }
        }
        false
    }

    fn stand_at(&mut self, hop: Hop) {
        self.depth += 1;
        if let Hop::Address(address, port) = hop {
            self.client = Client {
                address,
                port: port.unwrap_or_default(),
                depth: self.depth,
                ..self.client
            };
        }
    }
}

/// Whether a request shows that Front Door passed it on; its id is the only proof of whose it is.
fn is_from_front_door(headers: &HeaderMap, id: Option<&HeaderValue>) -> bool {
    match id {
        Some(id) => headers
            .get(X_AZURE_FDID)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(id.as_bytes())),
        None => headers.contains_key(X_AZURE_REF),
    }
}

/// Finds the one host of a request, from the target (HTTP/2, absolute form) or the Host field, and
/// leaves the target in origin form.
fn take_host(request: &mut Parts) -> Result<Option<(HeaderValue, HostKind)>, Error> {
    let field = request.headers.get(HOST);
    let host = match request.uri.authority() {
        Some(authority) => {
            if let Some(field) = field
                && !field.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
            {
                return Err(Error::HostsDiffer {
                    target: authority.to_string(),
                    host: lossy(field.as_bytes()),
                });
            }
            HeaderValue::from_str(authority.as_str())
                .map_err(|_| Error::BadHost(authority.to_string()))?
        }
        None => match field {
            Some(field) => field.clone(),
            None if request.version == Version::HTTP_10 => return Ok(None),
            None => return Err(Error::MissingHost),
        },
    };
    match host::kind(host.as_bytes()) {
        Some(kind) => Ok(Some((host, kind))),
        None => Err(Error::BadHost(lossy(host.as_bytes()))),
    }
}

/// Whether a request may change the protocol (RFC 9110 §7.8): asked for in both fields, a GET of
/// HTTP/1.1, and not to clear-text HTTP/2, which would carry requests past every check.
fn is_upgrade(request: &Parts, evidence: &Evidence) -> bool {
    request.version == Version::HTTP_11
        && request.method == Method::GET
        && evidence.connection_upgrades
        && evidence.upgrade.as_ref().is_some_and(|protocol| {
            let protocol = protocol.as_bytes();
            !protocol.is_empty()
                && !protocol.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
                && !protocol.contains(&b',')
        })
}

/// Connection describes one hop: it ends here, and is written anew for an upgrade.
fn write_upgrade(
    headers: &mut HeaderMap,
    evidence: &Evidence,
    is_upgrade: bool,
    journal: &mut Journal,
) {
    if is_upgrade {
        let value = HeaderValue::from_static("upgrade");
        return write(headers, CONNECTION, value, "the upgrade goes on, nothing else", journal);
    }
    if evidence.upgrade.is_some() {
        remove(headers, &UPGRADE, "it is no sound upgrade (RFC 9110, 7.8)", journal);
    }
    if headers.contains_key(CONNECTION) {
        remove(headers, &CONNECTION, "it ends at the next hop (RFC 9110, 7.6.1)", journal);
    }
}

fn drop_fields(
    headers: &mut HeaderMap,
    evidence: &Evidence,
    passed_edge: bool,
    journal: &mut Journal,
) {
    for (name, why) in &evidence.dropped {
        remove(headers, name, why, journal);
    }
    for name in &evidence.options {
        remove(headers, name, "the client's Connection field says so", journal);
    }
    if evidence.original_host.is_some() {
        remove(headers, &X_ORIGINAL_HOST, "Host says it", journal);
    }
    if passed_edge {
        if evidence.client_port {
            remove(headers, &X_CLIENT_PORT, "it is the edge's port", journal);
        }
    } else {
        for name in &evidence.from_edge {
            remove(headers, name, "no trusted edge was passed", journal);
        }
    }
}

fn remove(headers: &mut HeaderMap, name: &HeaderName, why: &'static str, journal: &mut Journal) {
    journal.note(|| Change {
        subject: name.to_string(),
        before: text_of(headers, name),
        after: None,
        why,
    });
    headers.remove(name);
}

/// Writes a field exactly once, unless that is what it is already.
fn write(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
    why: &'static str,
    journal: &mut Journal,
) {
    let mut present = headers.get_all(&name).iter();
    if present.next() == Some(&value) && present.next().is_none() {
        return;
    }
    journal.note(|| Change {
        subject: name.to_string(),
        before: text_of(headers, &name),
        after: Some(lossy(value.as_bytes())),
        why,
    });
    headers.insert(name, value);
}

/// All values of a field as one text, as the RFC would join them.
fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| lossy(value.as_bytes())).collect();
    if values.is_empty() { None } else { Some(values.join(" | ")) }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_ORIGINAL_HOST: HeaderName = HeaderName::from_static("x-original-host");
const X_CLIENT_PORT: HeaderName = HeaderName::from_static("x-client-port");
const X_CLIENT_IP: HeaderName = HeaderName::from_static("x-client-ip");
const CLIENT_IP: HeaderName = HeaderName::from_static("client-ip");
const X_ARR_SSL: HeaderName = HeaderName::from_static("x-arr-ssl");
const X_APPGW_TRACE_ID: HeaderName = HeaderName::from_static("x-appgw-trace-id");
const X_AZURE_FDID: HeaderName = HeaderName::from_static("x-azure-fdid");
const X_AZURE_REF: HeaderName = HeaderName::from_static("x-azure-ref");

/// Fields that no connection option may remove: without them the content means something else.
const END_TO_END: &[&str] = &[
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "content-disposition",
    "origin",
    "referer",
    "transfer-encoding",
    "content-length",
];

#[cfg(test)]
mod tests;
