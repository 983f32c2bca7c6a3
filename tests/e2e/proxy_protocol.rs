//! `REMOTE_ADDR` is the client, for what reads nothing else.

use crate::support::forebay::Forebay;
use crate::support::front_end::over_tls;
use crate::support::site::{Site, THREADS};

#[test]
fn switched_off_the_peer_is_forebay() {
    let forebay = Forebay::before(THREADS.address());
    assert_eq!(remote_addr(&forebay, "203.0.113.10:64769"), "127.0.0.1");
}

#[test]
fn version_1_over_tcp() {
    clients_are_told_apart(&Site::gunicorn(&["--proxy-protocol", "v1"]), "v1");
}

#[test]
fn version_2_over_tcp() {
    clients_are_told_apart(&Site::gunicorn(&["--proxy-protocol", "v2"]), "v2");
}

#[test]
fn version_1_over_a_unix_socket() {
    clients_are_told_apart(&Site::gunicorn_on_unix_socket(&["--proxy-protocol", "v1"]), "v1");
}

#[test]
fn version_2_over_a_unix_socket() {
    clients_are_told_apart(&Site::gunicorn_on_unix_socket(&["--proxy-protocol", "v2"]), "v2");
}

#[test]
fn a_server_that_keeps_connections_alive_never_mixes_clients_up() {
    let flags = ["-k", "gthread", "--threads", "4", "--proxy-protocol", "v2"];
    clients_are_told_apart(&Site::gunicorn(&flags), "v2");
}

/// Several clients, one after another on one connection, as the front end reuses its own.
fn clients_are_told_apart(site: &Site, version: &str) {
    let forebay = Forebay::with(site.address(), &["--proxy-protocol", version]);
    let mut wire = forebay.connect();
    for (client, address) in [
        ("203.0.113.10:64769", "203.0.113.10"),
        ("198.51.100.84:65078", "198.51.100.84"),
        ("[2001:db8::4711]:443", "2001:db8::4711"),
        ("203.0.113.10:64770", "203.0.113.10"),
    ] {
        let seen = wire.exchange(&over_tls("GET /echo/", client, "")).json();
        assert_eq!(seen["remote_addr"], address);
        assert_eq!(seen["meta"]["HTTP_X_FORWARDED_FOR"], address);
    }
}

fn remote_addr(forebay: &Forebay, client: &str) -> String {
    let seen = forebay.exchange(&over_tls("GET /echo/", client, "")).json();
    seen["remote_addr"].as_str().unwrap().to_owned()
}
