//! The trouble, shown to be real: the site alone gets what Azure sends.

use crate::every_server::{Event, fresh_event, post_event, post_in_chunks, quote};
use crate::support::database::query;
use crate::support::front_end::over_http;
use crate::support::site::{SYNC, Site, THREADS, UVICORN};
use crate::support::{fresh_address, wire::Wire};

#[test]
fn a_port_in_the_address_loses_the_webhook() {
    for site in [&*SYNC, &*UVICORN] {
        let Event { id, body, signature } = fresh_event();
        let head = post_event("54.187.205.235:46066", &signature);
        let mut wire = Wire::connect(site.address()).unwrap();
        wire.send_with_body(&head, body.as_bytes());
        assert_eq!(wire.response().status, 500);
        let rows = "select count(*) from djstripe_webhookeventtrigger";
        assert_eq!(query(&format!("{rows} where body like '%{id}%'")), "0");
    }
}

#[test]
fn the_warm_up_is_refused() {
    for site in [&*SYNC, &*UVICORN] {
        let answer = site.exchange(
            "GET /robots933456.txt HTTP/1.1
             Host: 169.254.130.4:8000
             User-Agent: HealthCheck/1.0",
        );
        assert_eq!(answer.status, 400);
    }
}

#[test]
fn the_health_check_fails_under_either_name() {
    let check = |site: &Site, host| {
        site.exchange(&format!(
            "GET /healthz HTTP/1.1
             Host: {host}
             User-Agent: HealthCheck/1.0"
        ))
    };
    for site in [&*SYNC, &*UVICORN] {
        assert_eq!(check(site, "169.254.130.4:8000").status, 400);
        let redirect = check(site, "www.example.com");
        assert_eq!(redirect.status, 301);
        assert_eq!(redirect.field("location"), Some("https://www.example.com/healthz"));
    }
}

#[test]
fn a_throttle_never_strikes() {
    let address = fresh_address();
    for port in 50_001..50_007 {
        let answer = THREADS.exchange(&quote(&format!("{address}:{port}")));
        assert_eq!(answer.status, 200);
    }
}

#[test]
fn a_field_from_a_stranger_breaks_any_page() {
    // gunicorn believes its peer, whoever the peer speaks for.
    let head = over_http("GET /echo/", "203.0.113.10:64769", "SCRIPT_NAME: /mallory");
    assert_eq!(THREADS.exchange(&head).status, 500);
}

#[test]
fn a_body_without_a_length_is_lost() {
    let mut wire = Wire::connect(THREADS.address()).unwrap();
    let seen = post_in_chunks(&mut wire, b"not one byte of this is seen").json();
    assert_eq!(seen["body_bytes"], 0);
}
