//! A client that leaves before its answer.

use std::sync::Arc;

use crate::support::http2::post;
use crate::support::{Application, Forebay, Gate, Visit};

const POST: &str = "POST /a HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\nhello";

/// Begins its answer with `start`, and ends it when the gate is open; the second gate opens when
/// forebay has taken all of it without ending the connection before.
fn working(start: &'static str, gates: &(Arc<Gate>, Arc<Gate>)) -> Application {
    let (gate, done) = (Arc::clone(&gates.0), Arc::clone(&gates.1));
    Application::playing(move |visit| {
        if visit.request().is_some() {
            visit.send(start);
            gate.wait();
            if visit.try_send(&vec![b'x'; 10_000_000]) {
                done.open();
            }
        }
    })
}

fn gates() -> (Arc<Gate>, Arc<Gate>) {
    (Arc::default(), Arc::default())
}

const HEAD: &str = "HTTP/1.1 201 Created\r\nContent-Length: 10000000\r\n\r\n";

fn arrived(application: &Application) {
    application.wait_for("the request", |kept| {
        kept.visits.first().is_some_and(|visit| visit.bytes.ends_with(b"hello")).then_some(())
    });
}

#[test]
fn what_has_an_effect_is_finished_before_its_answer_began() {
    let gates = gates();
    let application = Application::playing({
        let (gate, done) = gates.clone();
        move |visit| {
            if visit.request().is_some() {
                gate.wait();
                if visit.try_send(HEAD.as_bytes()) && visit.try_send(&vec![b'x'; 10_000_000]) {
                    done.open();
                }
            }
        }
    });
    let flags = ["--concurrency", "1", "--queue-deadline", "100ms"];
    let mut forebay = Forebay::with(&application, &flags).ready();
    let mut wire = forebay.connect();
    wire.send(POST);
    arrived(&application);
    drop(wire);
    assert_eq!(forebay.line_of("/a")["code"], "FB-40");
    assert_eq!(forebay.get("/b").code(), Some("FB-24"), "it still has its place");
    // An end in order waits for it.
    forebay.terminate();
    gates.0.open();
    gates.1.wait();
    let line = forebay.wait_for_line("its end", |line| line.contains("finished after its client"));
    assert!(line.contains(r#""method":"POST""#) && line.contains(r#""path":"/a""#), "{line}");
    assert!(line.contains(r#""status":201"#), "{line}");
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn what_has_an_effect_is_finished_after_its_answer_began() {
    let gates = gates();
    let application = working(HEAD, &gates);
    let forebay = Forebay::before(&application).ready();
    let mut wire = forebay.connect();
    wire.send(POST);
    assert_eq!(wire.head().status, 201);
    drop(wire);
    forebay.line_of("/a");
    gates.0.open();
    gates.1.wait();
    forebay.wait_for_line("its end", |line| line.contains("finished after its client"));
}

#[test]
fn over_http_2_the_same_holds_for_a_stream_that_is_reset() {
    let gates = gates();
    let application = working(HEAD, &gates);
    let forebay = Forebay::before(&application).ready();
    let mut wire = forebay.connect_http2();
    let fields = post(b"/a");
    let stream = wire.send(&fields, Some(b"hello"));
    arrived(&application);
    wire.cancel(stream);
    forebay.line_of("/a");
    gates.0.open();
    gates.1.wait();
    forebay.wait_for_line("its end", |line| line.contains("finished after its client"));
}

#[test]
fn one_that_fails_after_its_client_has_left_is_told() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            // Until the client has left; then the worker dies.
            visit.rest();
        }
    });
    let flags = ["--upstream-response-deadline", "300ms"];
    let forebay = Forebay::with(&application, &flags).ready();
    let mut wire = forebay.connect();
    wire.send(POST);
    arrived(&application);
    drop(wire);
    let line = forebay.wait_for_line("its end", |line| line.contains("failed after its client"));
    assert!(line.contains("FB-33"), "{line}");
}

#[test]
fn what_is_safe_is_given_up_and_its_place_is_free_when_the_application_has_noticed() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = Application::playing(move |visit| {
        while visit.request().is_some() {
            // A sync worker does not look at its connection until it has an answer.
            opened.wait();
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let flags = ["--concurrency", "1", "--queue-deadline", "300ms"];
    let forebay = Forebay::with(&application, &flags).ready();
    let mut wire = forebay.connect();
    wire.send(POST.replace("POST", "GET"));
    arrived(&application);
    drop(wire);
    assert_eq!(forebay.line_of("/a")["code"], "FB-40");
    assert_eq!(forebay.get("/b").code(), Some("FB-24"), "the worker is still at it");
    gate.open();
    // Its connection was ended, so that it sees that nobody waits.
    application.wait_for_end(0);
    assert_eq!(forebay.get("/c").text(), "ok");
}

#[test]
fn a_stream_that_never_ends_is_given_up_whatever_began_it() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            while visit.try_send(b"data: tick\n\n") {
                Visit::pause();
            }
            visit.rest();
        }
    });
    let forebay = Forebay::with(&application, &["--concurrency", "1"]).ready();
    let mut wire = forebay.connect();
    wire.send(POST);
    assert_eq!(wire.head().status, 200);
    drop(wire);
    application.wait_for_end(0);
    assert_eq!(forebay.line_of("/a")["code"], "FB-40");
}
