//! The orderly end.

use std::sync::Arc;

use crate::support::wire::End;
use crate::support::{
    APP_SERVICE, Application, Forebay, Gate, STREAMING, Wire, eventually, fresh_directory, text,
};

const GET: &str = "GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

/// An application that answers once the gate is open.
fn held(gate: &Arc<Gate>) -> Application {
    let gate = Arc::clone(gate);
    Application::playing(move |visit| {
        while visit.request().is_some() {
            gate.wait();
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole");
        }
    })
}

fn wait_for_visit(application: &Application) {
    application.wait_for("a visitor", |kept| (!kept.visits.is_empty()).then_some(()));
}

fn wait_until_refused(forebay: &Forebay) {
    eventually("new connections are refused", || Wire::try_connect(forebay.address()).err());
}

#[test]
fn an_answer_in_flight_is_finished_and_new_connections_are_refused() {
    let gate = Arc::new(Gate::default());
    let application = held(&gate);
    let mut forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    wire.send(GET);
    wait_for_visit(&application);
    forebay.terminate();
    wait_until_refused(&forebay);
    gate.open();
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "whole"));
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(wire.rest(), (vec![], End::Closed));
    assert_eq!(forebay.end().code(), Some(0));
    let last = forebay.lines().pop().unwrap();
    assert!(last.contains("stopped"), "{last}");
}

#[test]
fn an_answer_in_flight_over_http_2_is_finished() {
    let gate = Arc::new(Gate::default());
    let application = held(&gate);
    let mut forebay = Forebay::before(&application);
    let mut wire = forebay.connect_http2();
    let stream = wire.send(&crate::support::http2::get(b"/a"), None);
    wait_for_visit(&application);
    forebay.terminate();
    wait_until_refused(&forebay);
    gate.open();
    let answer = wire.answer(stream);
    assert_eq!((answer.status, answer.content.as_slice()), (Some(200), &b"whole"[..]));
    assert_eq!(forebay.end().code(), Some(0));
}

/// Waits until forebay has been told to stop; requests are taken for a moment longer.
fn wait_for_drain(forebay: &Forebay) {
    forebay.wait_for_line("the drain", |line| line.contains("told to stop"));
}

#[test]
fn a_client_that_goes_on_asking_does_not_hold_up_the_end() {
    // What concerns trailers is not plain.
    for says in ["", "TE: trailers\r\n"] {
        let application = Application::ok();
        let mut forebay = Forebay::with(&application, &["--drain-deadline", "1h"]);
        let mut wire = forebay.connect();
        let get = format!("GET /a HTTP/1.1\r\nHost: www.example.com\r\n{says}\r\n");
        let before = wire.exchange(&get);
        assert_eq!((before.text().as_str(), before.field("connection")), ("ok", None));
        forebay.terminate();
        wait_for_drain(&forebay);
        let last = wire.exchange(&get);
        assert_eq!((last.text().as_str(), last.field("connection")), ("ok", Some("close")));
        assert_eq!(wire.rest(), (vec![], End::Closed));
        drop(wire);
        assert_eq!(forebay.end().code(), Some(0));
    }
}

#[test]
fn an_asset_is_the_last_answer_of_its_connection_as_well() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = Application::playing(move |visit| {
        while visit.request().is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
            opened.wait();
            visit.send("other");
        }
    });
    let files = fresh_directory();
    std::fs::write(files.join("a.css"), "asset").unwrap();
    let place = format!("/static/={}", files.display());
    let flags = ["--static", &place, "--static-variants", "off", "--drain-deadline", "1h"];
    let mut forebay = Forebay::with(&application, &flags);
    assert_eq!(forebay.get("/static/a.css").text(), "asset");
    let mut wire = forebay.connect();
    // The header section of the first answer is out before the drain begins.
    wire.send(format!("{GET}{}{GET}", GET.replace("/a", "/static/a.css")));
    assert_eq!((wire.head().field("connection"), text(&wire.bytes(5))), (None, "first".to_owned()));
    forebay.terminate();
    wait_for_drain(&forebay);
    gate.open();
    assert_eq!(text(&wire.bytes(5)), "other");
    let asset = wire.answer();
    assert_eq!((asset.text().as_str(), asset.field("connection")), ("asset", Some("close")));
    assert_eq!(wire.rest(), (vec![], End::Closed));
    drop(wire);
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn content_on_its_way_in_both_directions_is_finished() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = Application::playing(move |visit| {
        let Some(_) = visit.head() else { return };
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        visit.bytes(10);
        opened.wait();
        visit.send("other");
        visit.rest();
    });
    let mut forebay = Forebay::with(&application, STREAMING);
    let mut wire = forebay.connect();
    wire.send("POST /a HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 10\r\n\r\nfirst");
    assert_eq!(wire.head().status, 200);
    forebay.terminate();
    wait_until_refused(&forebay);
    wire.send("other");
    gate.open();
    assert_eq!(text(&wire.bytes(10)), "firstother");
    assert_eq!(wire.rest(), (vec![], End::Closed));
    assert_eq!(forebay.end().code(), Some(0));
    let heard = application.heard_text();
    assert!(heard[0].ends_with("\r\n\r\nfirstother"), "{heard:?}");
}

#[test]
fn at_the_drain_deadline_what_is_left_is_cut() {
    let gate = Arc::new(Gate::default());
    let application = held(&gate);
    let mut forebay = Forebay::with(&application, &["--drain-deadline", "600ms"]);
    let mut wire = forebay.connect();
    wire.send(GET);
    wait_for_visit(&application);
    forebay.terminate();
    assert_eq!(forebay.end().code(), Some(1));
    assert_ne!(wire.rest().1, End::Open);
    let last = forebay.lines().pop().unwrap();
    assert!(last.contains("stopped before all had ended"), "{last}");
    assert!(last.contains("\"cut_connections\":1"), "{last}");
    gate.open();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for signal in ["TERM", "INT"] {
        let gate = Arc::new(Gate::default());
        let application = held(&gate);
        let mut forebay = Forebay::with(&application, &["--drain-deadline", "1h"]);
        let mut wire = forebay.connect();
        wire.send(GET);
        wait_for_visit(&application);
        forebay.terminate();
        forebay.signal(signal);
        assert_eq!(forebay.end().code(), Some(1));
        assert_ne!(wire.rest().1, End::Open);
        gate.open();
    }
}

#[test]
fn an_interrupt_drains_as_well() {
    let application = Application::ok();
    let mut forebay = Forebay::before(&application);
    forebay.signal("INT");
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn idle_connections_are_closed_in_order() {
    let application = Application::ok();
    let mut forebay = Forebay::with(&application, &["--drain-deadline", "1h"]);
    let mut fresh = forebay.connect();
    let mut used = forebay.connect();
    assert_eq!(used.exchange(GET).text(), "ok");
    let mut parked = forebay.connect();
    assert_eq!(parked.exchange(GET).text(), "ok");
    parked.set_patience(std::time::Duration::from_millis(1300));
    assert_eq!(parked.rest().1, End::Open, "only its buffers are gone");
    parked.set_patience(crate::support::PATIENCE);
    let mut new = forebay.connect_http2();
    assert_eq!(new.get("/new").status, Some(200));
    forebay.terminate();
    assert_eq!(fresh.rest(), (vec![], End::Closed));
    assert_eq!(used.rest(), (vec![], End::Closed));
    assert_eq!(parked.rest(), (vec![], End::Closed));
    assert_eq!(new.rest(), (true, End::Closed));
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn health_says_503_while_forebay_drains() {
    let application = Application::ok();
    let mut forebay = Forebay::before(&application).ready();
    let mut wire = forebay.connect();
    // The header section is on its way when the signal comes.
    wire.send("GET /healthz HTTP/1.1\r\nHost: 10.0.0.1");
    // Another connection, answered later, shows that these bytes have been read.
    assert_eq!(forebay.get("/a").text(), "ok");
    forebay.terminate();
    wire.send("\r\n\r\n");
    let answer = wire.answer();
    assert_eq!((answer.status, answer.code()), (503, Some("FB-21")));
    drop(wire);
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn a_warm_up_that_is_held_is_let_go_with_503() {
    let path = Application::fresh_path();
    let upstream = format!("unix:{}", path.display());
    let flags = ["--drain-deadline", "1h", "--hold-deadline", "1ms"];
    let mut forebay = Forebay::started(&upstream, &flags, APP_SERVICE);
    let mut wire = forebay.connect();
    wire.send("GET /robots933456.txt HTTP/1.1\r\nHost: 169.254.130.4:8000\r\n\r\n");
    assert_eq!(forebay.get("/a").status, 503, "the warm-up has been read");
    forebay.terminate();
    let answer = wire.answer();
    assert_eq!((answer.status, answer.code()), (503, Some("FB-21")));
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn a_tunnel_does_not_hold_up_the_end() {
    let application = Application::playing(|visit| {
        if visit.head().is_some() {
            visit.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            );
            visit.rest();
        }
    });
    let mut forebay = Forebay::with(&application, &["--drain-deadline", "1h"]);
    let mut wire = forebay.connect();
    wire.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(wire.head().status, 101);
    forebay.terminate();
    assert_ne!(wire.rest().1, End::Open);
    assert_eq!(forebay.end().code(), Some(0));
    application.wait_for_end(0);
}
