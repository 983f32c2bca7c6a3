//! The platform's probers, E6 to E9 and E17: each with its row.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use crate::support::forebay::{APP_SERVICE, Forebay};
use crate::support::front_end::{over_http, over_tls};
use crate::support::site::{SYNC, Site};
use crate::support::wire::{Response, message};
use crate::support::{DEADLINE, eventually, free_port};

#[test]
fn the_warm_up_is_held_until_the_application_answers() {
    let upstream = format!("127.0.0.1:{}", free_port());
    let forebay = Forebay::started(&upstream, &[], APP_SERVICE);
    let (answered, answer) = channel();
    let mut wire = forebay.connect();
    thread::spawn(move || answered.send(wire.exchange(WARM_UP).status));

    let held = answer.recv_timeout(Duration::from_millis(500));
    assert_eq!(held, Err(RecvTimeoutError::Timeout), "nothing listens at {upstream} yet");
    let _site = Site::gunicorn_at(&upstream, &[]);
    assert_eq!(answer.recv_timeout(DEADLINE), Ok(200));
}

#[test]
fn the_health_check_says_503_until_the_application_answers() {
    let upstream = format!("127.0.0.1:{}", free_port());
    let forebay = Forebay::started(&upstream, &[], APP_SERVICE);
    let health = forebay.health();
    assert_eq!(health.status, 503);
    assert!(health.field("x-forebay-error").is_some(), "{health:?}");
    let _site = Site::gunicorn_at(&upstream, &[]);
    forebay.ready();
}

#[test]
fn a_visitor_of_the_health_path_gets_the_page_of_the_site() {
    let forebay = Forebay::before(SYNC.address());
    let page = forebay.exchange(&over_tls("GET /healthz", "203.0.113.10:64769", ""));
    assert_eq!((page.status, page.text()), (200, "ok\n"));
}

#[test]
fn the_health_check_through_the_front_end_is_not_redirected() {
    let forebay = Forebay::before(SYNC.address());
    let agent = "User-Agent: HealthCheck/1.0";
    let answer = forebay.exchange(&over_http("GET /healthz", "203.0.113.10:64769", agent));
    assert_eq!(answer.status, 200);
}

#[test]
fn the_health_path_can_be_another() {
    let forebay = Forebay::started(SYNC.address(), &["--health-path", "/up"], APP_SERVICE);
    eventually("the health check is content", || {
        let answer = forebay.exchange("GET /up HTTP/1.1\nHost: 169.254.130.4:8000");
        (answer.status == 200).then_some(())
    });
}

#[test]
fn always_on_goes_to_the_application() {
    let forebay = Forebay::before(SYNC.address());
    let answer = forebay.exchange(ALWAYS_ON);
    assert_eq!(answer.status, 301);
    assert_eq!(answer.field("location"), Some("https://www.example.com/"), "Django's own answer");
}

#[test]
fn always_on_is_answered_when_that_is_wanted() {
    let forebay = Forebay::with(SYNC.address(), &["--always-on", "answer"]);
    assert_eq!(forebay.exchange(ALWAYS_ON).status, 200);
}

#[test]
fn front_doors_head_gets_200() {
    let forebay = Forebay::before(SYNC.address());
    let agent = "User-Agent: Edge Health Probe\nX-FD-HealthProbe: 1";
    let bare = format!("HEAD / HTTP/1.1\nHost: example-app.azurewebsites.net\n{agent}");
    let through_front_end = over_http("HEAD /", "147.243.18.238:45498", agent);
    for head in [bare, through_front_end] {
        assert_eq!(head_only(&forebay, &head).status, 200, "{head}");
    }
}

#[test]
fn app_gateways_default_probe_gets_200() {
    for platform in ["app-service", "container-apps", "kubernetes"] {
        let forebay = Forebay::started(SYNC.address(), &["--platform", platform], &[]).ready();
        let answer = forebay.exchange("GET / HTTP/1.1\nHost: 127.0.0.1:8000");
        assert_eq!(answer.status, 200, "{platform}");
    }
}

#[test]
fn kubernetes_and_container_apps_probes_get_200() {
    let platforms = [("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("CONTAINER_APP_NAME", "example")];
    for platform in platforms {
        let forebay = Forebay::started(SYNC.address(), &[], &[platform]).ready();
        let answer = forebay.exchange(
            "GET /healthz HTTP/1.1
             Host: 10.244.1.17:8000
             User-Agent: kube-probe/1.30",
        );
        assert_eq!(answer.status, 200, "{platform:?}");
    }
}

#[test]
fn a_probe_through_the_front_end_is_a_visit() {
    let forebay = Forebay::before(SYNC.address());
    let agent = "User-Agent: HealthCheck/1.0";
    let line = "GET /robots933456.txt";
    let answer = forebay.exchange(&over_tls(line, "203.0.113.10:64769", agent));
    assert_eq!(answer.status, 404, "Django has no such page");
}

const WARM_UP: &str = "GET /robots933456.txt HTTP/1.1
    host: 169.254.130.4:8000
    user-agent: HealthCheck/1.0";

const ALWAYS_ON: &str = "GET / HTTP/1.1
    Host: www.example.com
    User-Agent: AlwaysOn";

fn head_only(forebay: &Forebay, head: &str) -> Response {
    let mut wire = forebay.connect();
    wire.send(&message(head));
    wire.head()
}
