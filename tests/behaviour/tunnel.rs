//! WebSocket and other changes of protocol.

use std::sync::Arc;
use std::time::Duration;

use crate::support::application::Visit;
use crate::support::wire::End;
use crate::support::{Application, Forebay, Gate, OK, PATIENCE, Wire, eventually, pattern, text};

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
    wire.set_patience(Duration::from_millis(1500));
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

/// A WebSocket that says hello in a frame, then does what `script` says.
fn websocket(script: impl Fn(&mut Visit) + Send + Sync + 'static) -> Application {
    Application::playing(move |visit| {
        if visit.head().is_some() {
            visit.send(SWITCH);
            visit.send(HELLO);
            script(visit);
        }
    })
}

const HELLO: &[u8] = b"\x81\x05hello";

/// The status code 1012, service restart.
const RESTART: &[u8] = &[0x88, 2, 0x03, 0xf4];

/// The status code 1001, going away.
const AWAY: &[u8] = &[0x88, 2, 0x03, 0xe9];

/// Opens a WebSocket and hears its hello.
fn greeted(forebay: &Forebay) -> Wire {
    let mut wire = forebay.connect();
    wire.send(ASK);
    assert_eq!(wire.head().status, 101);
    assert_eq!(wire.bytes(HELLO.len()), HELLO);
    wire
}

/// A short frame as a client sends it, its mask all zeros.
fn masked(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = 0x80 | u8::try_from(payload.len()).unwrap();
    [&[kind, length, 0, 0, 0, 0], payload].concat()
}

/// What the application got behind the request, the last frame with its mask taken off.
fn last_frame(application: &Application) -> Vec<u8> {
    let heard = application.wait_for_end(0).bytes;
    let frame = &heard[heard.len() - 8..];
    assert_eq!(frame[..2], [0x88, 0x82], "{:?}", text(&heard));
    vec![0x88, 2, frame[6] ^ frame[2], frame[7] ^ frame[3]]
}

#[test]
fn at_a_stop_both_ends_of_a_websocket_are_told_to_come_back() {
    let application = websocket(|visit| {
        // The client's frame, then forebay's Close, which is answered.
        visit.bytes(masked(0x81, b"hi").len() + 8);
        visit.send([0x88, 2, 0x03, 0xf4]);
        visit.rest();
    });
    let mut forebay = Forebay::with(&application, &["--drain-deadline", "1h"]);
    let mut wire = greeted(&forebay);
    wire.send(masked(0x81, b"hi"));
    application.wait_for("the frame", |kept| kept.visits[0].bytes.ends_with(b"hi").then_some(()));
    forebay.terminate();
    assert_eq!(wire.bytes(4), RESTART);
    wire.send(masked(0x88, &[0x03, 0xf4]));
    assert_eq!(wire.rest(), (vec![], End::Closed));
    assert_eq!(last_frame(&application), RESTART);
    assert_eq!(forebay.end().code(), Some(0));
    let line = forebay.end_of_tunnel("/ws");
    assert_eq!((&line["ended_by"], &line["upgrade"]), (&"drain".into(), &"websocket".into()));
    assert_eq!((&line["bytes"], &line["received_bytes"]), (&11.into(), &16.into()), "{line}");
    assert_eq!(forebay.requests().len(), 1, "a tunnel's end is no request");
}

#[test]
fn a_large_frame_on_its_way_is_finished_before_the_close_frame() {
    const LENGTH: usize = 3_000_000;
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = websocket(move |visit| {
        visit.send([&[0x82, 127][..], &(LENGTH as u64).to_be_bytes()].concat());
        let payload = pattern(LENGTH);
        visit.send(&payload[..1000]);
        opened.wait();
        visit.send(&payload[1000..]);
        visit.send(HELLO);
        visit.rest();
    });
    let mut forebay = Forebay::with(&application, &["--drain-deadline", "1h"]);
    let mut wire = greeted(&forebay);
    assert_eq!(wire.bytes(1010).len(), 1010);
    forebay.terminate();
    gate.open();
    let (rest, _) = wire.rest();
    let (frame, close) = rest.split_at(LENGTH - 1000);
    assert!(frame == &pattern(LENGTH)[1000..]);
    assert_eq!(close, RESTART, "and nothing else");
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn a_frame_that_stops_is_cut_at_a_stop_without_a_close_frame_inside() {
    let application = websocket(|visit| {
        visit.send([0x82, 100, b'a']);
        visit.rest();
    });
    let mut forebay = Forebay::with(&application, &["--drain-deadline", "1h"]);
    let mut wire = greeted(&forebay);
    assert_eq!(wire.bytes(3).len(), 3);
    forebay.terminate();
    assert!(wire.rest().0.is_empty());
    assert_eq!(last_frame(&application), RESTART, "the other end is told all the same");
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn a_websocket_that_passes_nothing_is_closed() {
    let application = websocket(|visit| drop(visit.rest()));
    let forebay = Forebay::with(&application, &["--tunnel-idle-deadline", "300ms"]);
    let mut wire = greeted(&forebay);
    assert_eq!(wire.bytes(4), AWAY);
    wire.send(masked(0x88, &[0x03, 0xe9]));
    assert_eq!(wire.rest().0, b"");
    assert_eq!(last_frame(&application), AWAY);
    assert_eq!(forebay.end_of_tunnel("/ws")["ended_by"], "idle");
}

#[test]
fn pings_keep_a_websocket_alive() {
    const PING: &[u8] = &[0x89, 0];
    let application = websocket(|visit| {
        // Each pong brings the next ping, so that no clock is needed.
        while visit.bytes(6) == masked(0x8a, b"") {
            visit.send(PING);
        }
    });
    let forebay = Forebay::with(&application, &["--tunnel-idle-deadline", "500ms"]);
    let mut wire = greeted(&forebay);
    wire.set_patience(Duration::from_millis(100));
    for _ in 0..8 {
        wire.send(masked(0x8a, b""));
        assert_eq!(wire.bytes(2), PING);
        // A tenth of a second without a byte.
        assert!(wire.bytes(1).is_empty());
    }
    wire.set_patience(PATIENCE);
    assert_eq!(wire.bytes(4), AWAY, "and then silence");
}

#[test]
fn one_websocket_too_many_is_refused_before_the_application_is_asked() {
    let application = websocket(|visit| drop(visit.rest()));
    let forebay = Forebay::with(&application, &["--tunnel-limit", "2", "--threads", "2"]);
    let first = greeted(&forebay);
    let second = greeted(&forebay);
    let answer = forebay.connect().exchange(ASK);
    assert_eq!((answer.status, answer.code()), (503, Some("FB-27")));
    assert!(answer.field("retry-after").is_some());
    assert_eq!(application.heard().len(), 2);
    let line = forebay.wait_for_request("the refusal", |line| line["code"] == "FB-27");
    assert_eq!(line["cause"], "--tunnel-limit is reached");
    drop(first);
    application.wait_for_end(0);
    let third = eventually("a place is free", || {
        let mut wire = forebay.connect();
        wire.send(ASK);
        (wire.head().status == 101).then_some(wire)
    });
    drop((second, third));
}

#[test]
fn an_upgrade_that_is_refused_takes_no_place() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--tunnel-limit", "1"]);
    let mut wire = forebay.connect();
    for _ in 0..3 {
        assert_eq!(wire.exchange(ASK).text(), "ok");
    }
}

#[test]
fn the_log_says_who_ended_a_tunnel_and_what_it_carried() {
    let application = websocket(|visit| {
        if visit.bytes(8) == masked(0x81, b"go") {
            visit.send([0x88, 2, 0x03, 0xe8]);
            visit.bytes(8);
        }
    });
    let ask = ASK.replace("Host:", "X-Forwarded-For: 203.0.113.7:4444\r\nHost:");
    let open = |path: &str| {
        let forebay = Forebay::on_app_service(&application, &[]);
        let mut wire = forebay.connect();
        wire.send(ask.replace("/ws", path));
        assert_eq!(wire.head().status, 101);
        assert_eq!(wire.bytes(HELLO.len()), HELLO);
        (forebay, wire)
    };
    let (forebay, mut wire) = open("/by-application");
    wire.send(masked(0x81, b"go"));
    assert_eq!(wire.bytes(4), [0x88, 2, 0x03, 0xe8]);
    wire.send(masked(0x88, &[0x03, 0xe8]));
    assert_eq!(wire.rest(), (vec![], End::Closed));
    drop(wire);
    let line = forebay.end_of_tunnel("/by-application");
    assert_eq!(line["ended_by"], "application", "{line}");
    assert_eq!((&line["bytes"], &line["received_bytes"]), (&11.into(), &16.into()), "{line}");
    for (name, value) in [("level", "INFO"), ("client", "203.0.113.7"), ("host", "www.example.com")]
    {
        assert_eq!(line[name], value, "{line}");
    }
    assert!(line["total_us"].as_u64().unwrap() > 0, "{line}");

    let (forebay, wire) = open("/left");
    drop(wire);
    assert_eq!(forebay.end_of_tunnel("/left")["ended_by"], "client");

    let (forebay, wire) = open("/reset");
    wire.reset();
    assert_eq!(forebay.end_of_tunnel("/reset")["ended_by"], "client");
}

#[test]
fn a_tunnels_end_is_one_line_of_text_too() {
    let application = websocket(|_| ());
    let forebay = Forebay::with(&application, &["--log", "text"]);
    // Until the application has closed.
    greeted(&forebay).rest();
    let line = forebay.wait_for_line("its end", |line| line.contains("tunnel ended"));
    let rest = "www.example.com/ws websocket tunnel ended by application: 7B sent, 0B received, ";
    assert!(line.contains(rest), "{line}");
}

#[test]
fn a_half_closed_tunnel_goes_on_in_the_other_direction() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = websocket(move |visit| {
        visit.rest();
        opened.wait();
        visit.send(HELLO);
    });
    let forebay = Forebay::before(&application);
    let mut wire = greeted(&forebay);
    wire.send(masked(0x81, b"last"));
    wire.end_sending();
    let heard = application.wait_for_end(0);
    assert!(heard.bytes.ends_with(b"last"));
    gate.open();
    assert_eq!(wire.rest(), (HELLO.to_vec(), End::Closed));
    assert_eq!(forebay.end_of_tunnel("/ws")["ended_by"], "client");
}
