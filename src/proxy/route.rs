//! Step 3: decides who answers a request.
//!
//! Owns: the marks by which each prober of Azure is told from a visitor (facts, 4).
//! Must not know: how an answer is made, whether the application is ready.

use http::Method;

use super::assets::{Asset, Assets, Match};
use super::fields::{Fields, Head, names};
use super::normalise::{HostKind, Platform, Seen};
use super::status;

/// Who answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Route {
    /// forebay, from readiness.
    Probe(Probe),
    /// forebay, with a static file.
    Asset(Asset),
    /// forebay, with its own status.
    Status,
    /// forebay, with 404: a static file that is not there.
    NoAsset,
    /// The application.
    Upstream,
}

/// Which prober asks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probe {
    /// App Service, until the container has started (facts, 4.1). Any answer ends its patience.
    WarmUp,
    /// Somebody who asks the health path: App Service, Kubernetes, Container Apps, Traffic Manager.
    Health,
    /// Front Door: only 200 is healthy, also for HEAD (facts, 4.5).
    FrontDoor,
    /// Somebody inside who asks `/` of an address: Application Gateway's default, a load balancer.
    Address,
    /// App Service's Always On, where the operator wants it answered here (facts, 4.2).
    AlwaysOn,
}

impl Probe {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm_up",
            Self::Health => "health",
            Self::FrontDoor => "front_door",
            Self::Address => "address",
            Self::AlwaysOn => "always_on",
        }
    }
}

/// Who answers Always On.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AlwaysOn {
    /// The application: it keeps its caches and connections warm.
    Application,
    /// forebay.
    Forebay,
}

/// What the routes obey.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where forebay runs.
    pub platform: Platform,
    /// The path that is answered from readiness.
    pub health_path: String,
    /// The path of App Service's warm-up.
    pub warm_up_path: String,
    /// Who answers Always On.
    pub always_on: AlwaysOn,
    /// Whether forebay's own status is answered on the public port.
    pub has_status: bool,
}

impl Settings {
    /// The paths that no static file may take.
    pub fn reserved(&self) -> Vec<String> {
        let mut paths = vec![self.warm_up_path.clone(), self.health_path.clone()];
        paths.extend(self.has_status.then(|| status::PATH.to_owned()));
        paths
    }
}

/// Chooses who answers.
///
/// A probe is a path with an internal Host and without a sign of the front end, which adds its
/// fields to everything from outside: no visitor can produce their absence (facts, 4.1). A
/// User-Agent only picks an answer that tells a stranger nothing but whether the site is up.
///
/// What is no probe is an asset's if the table has its path, and else the application's.
pub fn choose(settings: &Settings, assets: &Assets, request: &Head, seen: &Seen) -> Route {
    match probe(settings, request, seen) {
        Some(probe) => Route::Probe(probe),
        None if settings.has_status && status::is_asked(request) => Route::Status,
        None => match assets.find(request.uri.path()) {
            Match::Asset(asset) => Route::Asset(asset),
            Match::Missing => Route::NoAsset,
            Match::Nobodys => Route::Upstream,
        },
    }
}

fn probe(settings: &Settings, request: &Head, seen: &Seen) -> Option<Probe> {
    if request.method != Method::GET && request.method != Method::HEAD {
        return None;
    }
    let path = request.uri.path();
    let fields = &request.fields;
    let is_inside = seen.host.is_internal() && !seen.has_front_end;
    let probe = if path == settings.warm_up_path && is_inside {
        Probe::WarmUp
    } else if path == settings.health_path && (!seen.has_front_end || is_platform_agent(fields)) {
        Probe::Health
    } else if is_front_door_probe(fields) && (path == "/" || path == settings.health_path) {
        Probe::FrontDoor
    } else if path == "/" && is_inside && is_address_probe(settings.platform, seen, fields) {
        Probe::Address
    } else if path == "/" && settings.always_on == AlwaysOn::Forebay && agent(fields) == b"AlwaysOn"
    {
        Probe::AlwaysOn
    } else {
        return None;
    };
    Some(probe)
}

/// Facts, 4.3–4.5: agents of probers that come through the front end under the site's own name.
fn is_platform_agent(fields: &Fields) -> bool {
    const AGENTS: [&[u8]; 5] = [
        b"HealthCheck/1.0",
        b"ReadyForRequest/1.0 (HealthCheck)",
        b"Edge Health Probe",
        b"Azure Traffic Manager Endpoint Monitor",
        b"kube-probe/",
    ];
    let agent = agent(fields);
    AGENTS.iter().any(|known| agent.starts_with(known))
}

/// Front Door marks its probes and removes the mark from everything else (facts, 1.4).
fn is_front_door_probe(fields: &Fields) -> bool {
    fields.get(&names::X_FD_HEALTHPROBE).is_some_and(|value| value == b"1")
}

/// On a platform nobody but a prober asks `/` of an IP address, with neither cookies nor a browser.
fn is_address_probe(platform: Platform, seen: &Seen, fields: &Fields) -> bool {
    let wants_page = fields
        .get(&names::ACCEPT)
        .is_some_and(|value| memchr::memmem::find(value, b"text/html").is_some());
    platform != Platform::None
        && seen.host == HostKind::Literal
        && !wants_page
        && !fields.contains(&names::COOKIE)
}

fn agent(fields: &Fields) -> &[u8] {
    fields.get(&names::USER_AGENT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::normalise::Scheme;
    use http::Request;

    /// Who answers `line`, with `fields`, on App Service.
    fn route(line: &str, fields: &str) -> Route {
        route_with(line, fields, Platform::AppService, AlwaysOn::Application)
    }

    fn route_with(line: &str, fields: &str, platform: Platform, always_on: AlwaysOn) -> Route {
        let (method, path) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(path);
        let mut host = HostKind::Name;
        let mut has_front_end = false;
        for (name, value) in fields.lines().filter_map(|line| line.split_once(": ")) {
            match name.trim() {
                "Host" => host = crate::proxy::normalise::host_kind(value.as_bytes()).unwrap(),
                "X-Forwarded-For" => has_front_end = true,
                name => request = request.header(name, value),
            }
        }
        let seen = Seen {
            client: [127, 0, 0, 1].into(),
            client_port: 0,
            scheme: Scheme::Http,
            host,
            has_front_end,
            is_upgrade: false,
            is_disputed: false,
        };
        let settings = Settings {
            platform,
            health_path: "/healthz".to_owned(),
            warm_up_path: "/robots933456.txt".to_owned(),
            always_on,
            has_status: false,
        };
        let assets = crate::proxy::assets::tests::none();
        let head = request.body(()).unwrap().into_parts().0.into();
        choose(&settings, &assets, &head, &seen)
    }

    #[test]
    fn each_prober_of_the_platform_is_recognised() {
        for (line, fields, probe) in [
            (
                "GET /robots933456.txt",
                "Host: 127.0.0.1:8020\nUser-Agent: HealthCheck/1.0",
                Probe::WarmUp,
            ),
            ("GET /robots933456.txt", "Host: 169.254.130.4:8000", Probe::WarmUp),
            (
                "GET /healthz",
                "Host: 169.254.130.4:8000\nUser-Agent: HealthCheck/1.0",
                Probe::Health,
            ),
            ("GET /healthz", "Host: example-app.azurewebsites.net", Probe::Health),
            (
                "GET /healthz",
                "Host: www.example.com\nX-Forwarded-For: 10.0.0.1\nUser-Agent: HealthCheck/1.0",
                Probe::Health,
            ),
            (
                "HEAD /",
                "Host: www.example.com\nX-Forwarded-For: 147.243.1.1\nX-FD-HealthProbe: 1",
                Probe::FrontDoor,
            ),
            ("GET /", "Host: 127.0.0.1:8000", Probe::Address),
            ("GET /healthz", "Host: 10.244.1.17:8000\nUser-Agent: kube-probe/1.30", Probe::Health),
        ] {
            assert_eq!(route(line, fields), Route::Probe(probe), "{line} {fields}");
        }
    }

    #[test]
    fn a_visitor_never_gets_a_probes_answer() {
        for (line, fields) in [
            ("GET /robots933456.txt", "Host: www.example.com\nX-Forwarded-For: 203.0.113.9"),
            ("GET /robots933456.txt", "Host: 127.0.0.1\nX-Forwarded-For: 203.0.113.9"),
            ("GET /robots933456.txt", "Host: www.example.com"),
            ("POST /robots933456.txt", "Host: 127.0.0.1"),
            ("GET /healthz", "Host: www.example.com\nX-Forwarded-For: 203.0.113.9"),
            ("GET /healthz/", "Host: 127.0.0.1"),
            ("GET /", "Host: www.example.com\nX-Forwarded-For: 203.0.113.9"),
            ("GET /", "Host: www.example.com"),
            ("GET /", "Host: localhost:8000"),
            ("GET /", "Host: 127.0.0.1:8000\nAccept: text/html,*/*"),
            ("GET /", "Host: 127.0.0.1:8000\nCookie: sessionid=1"),
            ("GET /shop", "Host: 127.0.0.1:8000"),
            ("GET /", "Host: www.example.com\nUser-Agent: AlwaysOn"),
            ("GET /shop", "Host: www.example.com\nX-FD-HealthProbe: 1"),
        ] {
            assert_eq!(route(line, fields), Route::Upstream, "{line} {fields}");
        }
    }

    #[test]
    fn without_a_platform_an_address_is_only_where_a_developer_is() {
        let route =
            route_with("GET /", "Host: 127.0.0.1:8000", Platform::None, AlwaysOn::Application);
        assert_eq!(route, Route::Upstream);
    }

    #[test]
    fn always_on_is_answered_here_only_when_told_so() {
        let fields = "Host: example-app.azurewebsites.net\nUser-Agent: AlwaysOn";
        let route = route_with("GET /", fields, Platform::AppService, AlwaysOn::Forebay);
        assert_eq!(route, Route::Probe(Probe::AlwaysOn));
    }
}
