//! Finds out who asks, and how: the first hop that nobody vouches for, and its scheme.
//!
//! Owns: which hops are trusted, the walk along them, the comparison with the front end's fields.
//! Must not know: hosts, what is written afterwards.

use std::net::{IpAddr, SocketAddr};

use super::address::{self, Hop, is_internal};
use super::{Edges, Platform, Scheme, Settings};
use crate::proxy::fields::{Fields, Value, names};

/// The client and how it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// 0 where no hop gave it.
    pub(super) port: u16,
    /// Hops of the chain between the socket's peer and the client, the client included.
    pub(super) depth: usize,
    /// Whether a trusted edge was passed.
    pub(super) passed_edge: bool,
}

impl Client {
    /// Finds the client: the first hop, counted from the socket's peer, that nobody vouches for
    /// (facts, 1.6; RFC 7239 §5.2).
    pub(super) fn find(settings: &Settings, fields: &Fields, peer: SocketAddr) -> Self {
        let peer_address = address::unmapped(peer.ip());
        let mut walk = Walk {
            hops: address::nearest_first(fields.get_all(&names::X_FORWARDED_FOR)),
            client: Self { address: peer_address, port: peer.port(), depth: 0, passed_edge: false },
            depth: 0,
        };
        let has_front_end = settings.platform.has_front_end();
        if has_front_end && !walk.step() {
            return walk.client.without_chain(settings, fields);
        }
        walk.client.passed_edge = match &settings.edges {
            Edges::Count(count) => (0..*count).filter(|_| walk.step()).count() > 0,
            Edges::FrontDoor(id) => {
                is_from_front_door(fields, id.as_ref()) && walk.step_over_repeats()
            }
            Edges::AppGateway => {
                fields.contains(&names::X_APPGW_TRACE_ID)
                    && is_internal(walk.client.address)
                    && walk.step()
            }
        };
        while settings.trusted.iter().any(|network| network.contains(&walk.client.address)) {
            // The edge is passed even if it names nobody. What is behind junk is not believed: the
            // junk's writer is not known to be trusted.
            walk.client.passed_edge = true;
            if !walk.step_to_address() {
                break;
            }
        }
        walk.client
    }

    /// Behind App Service's front end `Client-IP` is its own word, also without a chain.
    fn without_chain(self, settings: &Settings, fields: &Fields) -> Self {
        if settings.platform != Platform::AppService {
            return self;
        }
        match fields.get(&names::CLIENT_IP).map(Hop::parse) {
            Some(Hop::Address(address, port)) => {
                Self { address, port: port.unwrap_or_default(), ..self }
            }
            _ => self,
        }
    }

    /// Decides the scheme: the token that the nearest trusted hop wrote (facts, 3).
    pub(super) fn scheme(self, settings: &Settings, fields: &Fields) -> Scheme {
        if let Some(scheme) = settings.scheme {
            return scheme;
        }
        if !settings.platform.has_front_end() && !self.passed_edge {
            return Scheme::Http;
        }
        let tokens = fields
            .get_all(&names::X_FORWARDED_PROTO)
            .rev()
            .flat_map(|line| line.rsplit(|&byte| byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|token| !token.is_empty());
        // As many hops as name the client may name the scheme; the furthest of them met the visitor.
        match tokens.take(self.depth.max(1)).last() {
            Some(token) if token.eq_ignore_ascii_case(b"https") => Scheme::Https,
            Some(token) if token.eq_ignore_ascii_case(b"wss") => Scheme::Https,
            // Facts, 3: Container Apps' literal `true`.
            None if settings.platform == Platform::ContainerApps
                && fields.get(&names::X_ARR_SSL).is_some_and(|value| value == b"true") =>
            {
                Scheme::Https
            }
            _ => Scheme::Http,
        }
    }

    /// Compares the chain with `Client-IP` and `X-Client-IP`, which name the front end's peer.
    ///
    /// On a private endpoint `Client-IP` is an address of the tunnel and only `X-Client-IP` agrees.
    pub(super) fn is_disputed(self, settings: &Settings, fields: &Fields) -> bool {
        if settings.platform != Platform::AppService || self.passed_edge {
            return false;
        }
        let mut is_named = false;
        let agrees = [names::CLIENT_IP, names::X_CLIENT_IP].iter().any(|name| {
            let Some(value) = fields.get(name) else { return false };
            is_named = true;
            Hop::parse(value).address() == Some(self.address)
        });
        is_named && !agrees
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

    /// Goes one hop further, if it is an address.
    fn step_to_address(&mut self) -> bool {
        let Some(hop) = self.hops.next() else { return false };
        self.stand_at(hop);
        hop.address().is_some()
    }

    /// Goes on until the address changes: Front Door's edge is listed twice (facts, E10).
    fn step_over_repeats(&mut self) -> bool {
        let edge = self.client.address;
        while self.step_to_address() {
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
fn is_from_front_door(fields: &Fields, id: Option<&Value>) -> bool {
    match id {
        Some(id) => fields
            .get(&names::X_AZURE_FDID)
            .is_some_and(|value| value.eq_ignore_ascii_case(id.as_bytes())),
        None => fields.contains(&names::X_AZURE_REF),
    }
}
