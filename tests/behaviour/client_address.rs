//! Who asks, as the application learns it.

use crate::support::wire::End;
use crate::support::{Application, Forebay};

/// Sends `fields` on App Service; returns the header section that the application got.
fn arrives(flags: &[&str], fields: &str) -> String {
    let application = Application::ok();
    let forebay = Forebay::on_app_service(&application, flags);
    let request = format!("GET /a HTTP/1.1\r\nHost: www.example.com\r\n{fields}\r\n");
    assert_eq!(forebay.exchange(request).status, 200);
    application.heard_text().concat().to_ascii_lowercase()
}

/// The values of a field in a header section.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.split("\r\n").filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[test]
fn the_client_is_the_last_hop_without_its_port() {
    for (field, client) in [
        ("203.0.113.10:64769", "203.0.113.10"),
        ("127.0.0.1, 10.0.0.1:99, 203.0.113.10:64769", "203.0.113.10"),
        ("1.1.1.1\r\nX-Forwarded-For: 203.0.113.10:1", "203.0.113.10"),
        ("[2001:db8::7]:61981", "2001:db8::7"),
        ("::ffff:203.0.113.10", "203.0.113.10"),
        ("10.10.0.5", "10.10.0.5"),
    ] {
        let head = arrives(&[], &format!("X-Forwarded-For: {field}\r\n"));
        assert_eq!(values(&head, "x-forwarded-for"), [client], "{field}: {head}");
    }
}

#[test]
fn without_a_platform_nobody_is_believed() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    forebay.exchange(
        "GET / HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 1.1.1.1\r\n\
         X-Real-IP: 1.1.1.1\r\nForwarded: for=1.1.1.1\r\nClient-IP: 1.1.1.1\r\n\r\n",
    );
    let head = application.heard_text().concat();
    assert_eq!(values(&head, "x-forwarded-for"), ["127.0.0.1"]);
    assert!(!head.contains("1.1.1.1"), "{head}");
}

#[test]
fn every_field_that_names_a_client_agrees_or_goes() {
    let head = arrives(
        &[],
        "X-Forwarded-For: 6.6.6.6, 203.0.113.10:64769\r\nClient-IP: 203.0.113.10:64769\r\n\
         X-Client-IP: 203.0.113.10\r\nX-Real-IP: 6.6.6.6\r\nTrue-Client-IP: 6.6.6.6\r\n\
         Forwarded: for=6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\nX-Original-For: 6.6.6.6\r\n\
         Connection: X-Forwarded-For, X-Real-IP\r\n",
    );
    assert!(!head.contains("6.6.6.6") && !head.contains("x_forwarded"), "{head}");
    for name in ["x-forwarded-for", "client-ip", "x-client-ip", "x-real-ip"] {
        assert_eq!(values(&head, name), ["203.0.113.10"], "{name}: {head}");
    }
}

#[test]
fn trusted_edges_are_skipped() {
    let chain = "X-Forwarded-For: 203.0.113.7:59633, 10.0.0.4\r\n";
    for (flags, client) in [
        (&[][..], "10.0.0.4"),
        (&["--edges", "1"], "203.0.113.7"),
        (&["--trusted", "10.0.0.0/8"], "203.0.113.7"),
        (&["--edges", "1", "--forwarded", "chain"], "203.0.113.7, 10.0.0.4"),
    ] {
        let head = arrives(flags, chain);
        assert_eq!(values(&head, "x-forwarded-for"), [client], "{flags:?}: {head}");
    }
    let flags =
        ["--edges", "front-door", "--front-door-id", "00000000-1111-2222-3333-444444444444"];
    let chain = "X-Forwarded-For: 203.0.113.230,147.243.18.238:45498,147.243.18.238\r\n";
    let id = "X-Azure-FDID: 00000000-1111-2222-3333-444444444444\r\n";
    let head = arrives(&flags, &format!("{chain}{id}"));
    assert_eq!(values(&head, "x-forwarded-for"), ["203.0.113.230"]);
    let head = arrives(&flags, chain);
    assert_eq!(values(&head, "x-forwarded-for"), ["147.243.18.238"], "anybody could say so");
}

#[test]
fn what_strangers_must_not_say_never_arrives() {
    let head = arrives(
        &[],
        "X-Forwarded-For: 203.0.113.10\r\nX-MS-CLIENT-PRINCIPAL: evil\r\nX-MS-TOKEN-AAD-ID-TOKEN: evil\r\n\
         SCRIPT_NAME: /evil\r\nScript-Name: /evil\r\nRemote-User: evil\r\nProxy: http://evil\r\n\
         X-Accel-Redirect: /evil\r\nX-Sendfile: /evil\r\nX-Forwarded-Host: evil\r\nX-Original-URL: /evil\r\n\
         X-Forebay-Sighting: evil\r\nKeep-Alive: evil\r\nProxy-Authorization: evil\r\n\
         Connection: close, X-Private\r\nX-Private: evil\r\n",
    );
    assert!(!head.contains("evil"), "{head}");
}

/// Sends `opening` and then a request to a listener that accepts the PROXY protocol.
fn proxied(opening: &[u8]) -> (Application, Forebay, crate::support::Wire) {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--accept-proxy-protocol", "on"]);
    let mut wire = forebay.connect();
    let request = b"GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    // Byte by byte, since a header may be cut anywhere.
    for byte in [opening, request].concat() {
        if wire.try_send([byte]).is_err() {
            break;
        }
    }
    (application, forebay, wire)
}

fn v2(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
    let length = u8::try_from(addresses.len()).unwrap();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family, 0, length][..], addresses].concat()
}

#[test]
fn proxy_protocol_on_the_listener_names_the_client() {
    let four = [203, 0, 113, 7, 10, 0, 0, 4, 0, 80, 0, 90];
    let mut six = [0_u8; 36];
    six[..16].copy_from_slice(&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    let with_extension = [&four[..], &[4, 0, 1, 7]].concat();
    for (opening, client) in [
        (b"PROXY TCP4 203.0.113.7 10.0.0.4 59633 8000\r\n".to_vec(), "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 59633 8000\r\n".to_vec(), "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (v2(0x21, 0x11, &four), "203.0.113.7"),
        (v2(0x21, 0x11, &with_extension), "203.0.113.7"),
        (v2(0x21, 0x21, &six), "2001:db8::7"),
        (v2(0x20, 0, &[]), "127.0.0.1"),
        (v2(0x20, 0x11, &four), "127.0.0.1"),
    ] {
        let (application, _forebay, mut wire) = proxied(&opening);
        assert_eq!(wire.answer().text(), "ok", "{}", opening.escape_ascii());
        let head = application.heard_text().concat();
        assert_eq!(values(&head, "x-forwarded-for"), [client], "{}", opening.escape_ascii());
    }
}

#[test]
fn a_listener_for_the_proxy_protocol_takes_nothing_else() {
    for opening in [
        &b""[..],
        b"PROXY TCP4 203.0.113.7 10.0.0.4 59633\r\n",
        b"PROXY TCP4 203.0.113.7 10.0.0.4 59633 8000\n",
        b"PROXY TCP4 2001:db8::7 ::1 59633 8000\r\n",
        &v2(0x11, 0x11, &[0; 12]),
        &v2(0x21, 0x11, &[0; 4]),
        b"\x16\x03\x01\x02\0",
    ] {
        let (application, forebay, mut wire) = proxied(opening);
        assert_ne!(wire.rest().1, End::Open, "{}", opening.escape_ascii());
        let line = forebay.wait_for_request("the refusal", |line| line["code"] == "FB-10");
        assert_eq!(line["status"], 400, "{}", opening.escape_ascii());
        assert_eq!(application.heard_text(), [""; 0], "{}", opening.escape_ascii());
    }
}

#[test]
fn proxy_protocol_is_junk_where_it_is_not_accepted() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let answer = forebay.exchange("PROXY TCP4 203.0.113.7 10.0.0.4 59633 8000\r\n\r\n");
    assert_eq!((answer.status, answer.code()), (400, Some("FB-10")));
}

#[test]
fn http_2_works_behind_the_proxy_protocol() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--accept-proxy-protocol", "on"]);
    let mut wire = forebay.connect();
    wire.send("PROXY TCP4 203.0.113.7 10.0.0.4 59633 8000\r\n");
    assert_eq!(crate::support::Http2::begin(wire).get("/a").status, Some(200));
    let head = application.heard_text().concat();
    assert_eq!(values(&head, "x-forwarded-for"), ["203.0.113.7"]);
}
