//! What Azure really sends: the examples E1–E17 of the platform's facts.
//!
//! Owns: the raw requests, the settings each one is meant for, what is expected of each.
//! Must not know: how any of it is done.

use std::net::SocketAddr;

use crate::config::{Config, Environment, Faults, Flags, Need, SETTINGS};
use crate::explain::default_peer;

/// One example.
#[derive(Clone, Copy, Debug)]
pub struct Vector {
    /// Its name in the facts, in lower case.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What should come of it.
    pub expected: &'static str,
    /// The request, with line feeds for line ends.
    pub raw: &'static [u8],
    settings: &'static [(&'static str, &'static str)],
}

impl Vector {
    /// The settings that the example is meant for.
    ///
    /// # Errors
    ///
    /// Never: a test loads them all.
    pub fn config(&self) -> Result<Config, Faults> {
        let mut flags = Flags::default();
        for setting in SETTINGS.iter() {
            let texts = self.settings.iter().filter(|(name, _)| *name == setting.name);
            let texts: Vec<_> = texts.map(|(_, text)| (*text).to_owned()).collect();
            if !texts.is_empty() {
                flags.settings.insert(setting.name, texts);
            }
        }
        Config::load(flags, &Environment::new(), Need::NoUpstream)
    }

    /// Who holds the socket.
    pub fn peer(&self, config: &Config) -> SocketAddr {
        default_peer(config.normalise.platform)
    }
}

const APP_SERVICE: &[(&str, &str)] = &[("platform", "app-service"), ("host", "www.example.com")];
const CONTAINER_APPS: &[(&str, &str)] =
    &[("platform", "container-apps"), ("host", "www.example.com")];

/// Builds an example on App Service.
macro_rules! vector {
    ($id:literal, $title:literal, $expected:literal) => {
        vector!($id, $title, $expected, APP_SERVICE)
    };
    ($id:literal, $title:literal, $expected:literal, $settings:expr) => {
        Vector {
            id: $id,
            title: $title,
            expected: $expected,
            raw: include_bytes!(concat!("vectors/", $id, ".http")),
            settings: $settings,
        }
    };
}

/// All examples.
pub const VECTORS: &[Vector] = &[
    vector!(
        "e01",
        "A visitor, https, custom domain",
        "client 198.51.100.84 without its port, https"
    ),
    vector!("e02", "A visitor, https, default domain", "client 203.0.113.10, https"),
    vector!("e03", "A visitor, plain http", "client 203.0.113.45, http, since no field says https"),
    vector!("e04", "Private endpoint", "client 10.10.0.5: a private address, and genuine"),
    vector!(
        "e05",
        "A visitor who forges addresses",
        "client 203.0.113.10, whatever else is claimed"
    ),
    vector!("e06", "Container warm-up, older runtime", "held until ready, then 200 from forebay"),
    vector!("e07", "Container warm-up, present runtime", "held until ready, then 200 from forebay"),
    vector!("e08", "Health check", "200 or 503 from forebay; no ALLOWED_HOSTS, no redirect"),
    vector!("e09", "Always On", "goes to the application, to keep it warm"),
    vector!(
        "e10",
        "Through Front Door",
        "client 203.0.113.230: the edge, listed twice, is skipped",
        &[
            ("platform", "app-service"),
            ("host", "www.example.com"),
            ("edges", "front-door"),
            ("front-door-id", "00000000-1111-2222-3333-444444444444"),
        ]
    ),
    vector!(
        "e11",
        "Through Application Gateway",
        "client 203.0.113.7, Host www.example.com as the visitor asked",
        &[("platform", "app-service"), ("host", "www.example.com"), ("edges", "app-gateway")]
    ),
    vector!(
        "e12",
        "Through Static Web Apps",
        "client 203.0.113.42: one edge, with a bracketed IPv6 address, is skipped",
        &[("platform", "app-service"), ("host", "www.example.com"), ("edges", "1")]
    ),
    vector!("e13", "Container Apps, a visitor", "client 203.0.113.92, https", CONTAINER_APPS),
    vector!(
        "e14",
        "Container Apps, another app",
        "client is the peer, since no field names one",
        CONTAINER_APPS
    ),
    vector!("e15", "A Stripe webhook", "X-Forwarded-For: 54.187.205.235, content untouched"),
    vector!(
        "e16",
        "Easy Auth fields and junk",
        "client 22.222.222.22; identity removed: Easy Auth is off"
    ),
    vector!("e17", "Front Door's probe", "200 to HEAD from forebay"),
];
