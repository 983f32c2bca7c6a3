//! WebSocket and other changes of protocol.

use crate::support::wire::End;
use crate::support::{Application, Forebay, OK, Wire, text};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                      Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const ASK: &str = "GET /ws HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive, Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Switches, says hello together with the answer, and echoes what comes.
fn echo() -> Application {
    Application::playing(|visit| {
        if visit.head().is_none() {
            return;
        }
        visit.send(format!("{SWITCH}hello"));
        loop {
            let bytes = visit.bytes(5);
            if bytes.is_empty() || bytes == b"leave" {
                return;
            }
            visit.send(&bytes);
        }
    })
}

fn opened(forebay: &Forebay, ask: &str) -> Wire {
    let mut wire = forebay.connect();
    wire.send(ask);
    let answer = wire.head();
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.field("upgrade"), Some("websocket"));
    assert!(answer.field("connection").unwrap().eq_ignore_ascii_case("upgrade"));
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(text(&wire.bytes(5)), "hello", "what came together with the answer");
    wire
}

#[test]
fn a_web_socket_carries_raw_bytes_both_ways() {
    let application = echo();
    let forebay = Forebay::before(&application);
    let mut wire = opened(&forebay, ASK);
    wire.send(b"\0\xff\r\n\x80");
    assert_eq!(wire.bytes(5), b"\0\xff\r\n\x80");
    let heard = application.heard_text()[0].to_ascii_lowercase();
    assert!(heard.contains("\r\nconnection: upgrade\r\n"), "{heard}");
    assert!(heard.contains("\r\nupgrade: websocket\r\n"), "{heard}");
    wire.send("leave");
    assert_eq!(wire.rest(), (vec![], End::Closed), "the application's end is the client's");
    assert_eq!(forebay.line_of("/ws")["status"], 101);
}

#[test]
fn bytes_sent_together_with_the_request_reach_the_application() {
    let application = echo();
    let forebay = Forebay::before(&application);
    let mut wire = opened(&forebay, &format!("{ASK}early"));
    assert_eq!(text(&wire.bytes(5)), "early");
    // A tunnel's bytes look like anything, also like a bad request.
    let mut wire = opened(&forebay, &format!("{ASK}\n\0\x01 \n"));
    assert_eq!(wire.bytes(5), b"\n\0\x01 \n");
}

#[test]
fn the_clients_end_of_a_tunnel_is_the_applications() {
    let application = echo();
    let forebay = Forebay::before(&application);
    drop(opened(&forebay, ASK));
    application.wait_for_end(0);
}

#[test]
fn an_upgrade_that_is_refused_is_a_normal_answer() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    assert_eq!(wire.exchange(ASK).text(), "ok");
    assert_eq!(wire.exchange(ASK).text(), "ok", "the connection is kept");
}

#[test]
fn a_half_asked_upgrade_is_not_passed_on() {
    let application = Application::answering(OK);
    let forebay = Forebay::before(&application);
    let host = "Host: www.example.com\r\n";
    for request in [
        format!("GET /ws HTTP/1.1\r\n{host}Upgrade: websocket\r\n\r\n"),
        format!("GET /ws HTTP/1.1\r\n{host}Connection: upgrade\r\n\r\n"),
        format!(
            "GET /ws HTTP/1.1\r\n{host}Connection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n\r\n"
        ),
        format!("GET /ws HTTP/1.0\r\n{host}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        format!(
            "POST /ws HTTP/1.1\r\n{host}Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx"
        ),
    ] {
        assert_eq!(forebay.exchange(&request).text(), "ok", "{request}");
    }
    let heard = application.heard_text().concat().to_ascii_lowercase();
    assert!(!heard.contains("upgrade") && !heard.contains("http2-settings"), "{heard}");
}

#[test]
fn a_change_of_protocol_that_nobody_asked_for_is_no_answer() {
    let application = Application::playing(|visit| {
        if visit.head().is_some() {
            visit.send(SWITCH);
            visit.rest();
        }
    });
    let forebay = Forebay::before(&application);
    for request in [
        "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: www.example.com\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let answer = forebay.exchange(request);
        assert_eq!((answer.status, answer.code()), (502, Some("FB-34")));
    }
    let answer = forebay.connect_http2().get("/");
    assert_eq!(answer.status, Some(502));
}

#[test]
fn a_tunnel_outlives_the_deadlines_of_requests() {
    let application = echo();
    let flags = ["--header-deadline", "200ms", "--body-idle-deadline", "200ms"];
    let more = ["--upstream-idle-deadline", "200ms", "--upstream-response-deadline", "200ms"];
    let forebay = Forebay::with(&application, &[flags, more].concat());
    let mut wire = opened(&forebay, ASK);
    wire.set_patience(std::time::Duration::from_millis(1500));
    assert_eq!(wire.rest(), (vec![], End::Open));
    wire.send("still");
    assert_eq!(text(&wire.bytes(5)), "still");
}

#[test]
fn a_change_to_another_protocol_than_the_one_asked_for_is_refused() {
    let application = Application::playing(|visit| {
        if visit.head().is_some() {
            visit.send(SWITCH.replace("websocket", "h2c"));
            visit.rest();
        }
    });
    let forebay = Forebay::before(&application);
    let answer = forebay.connect().exchange(ASK);
    assert_eq!((answer.status, answer.code()), (502, Some("FB-34")));
}
