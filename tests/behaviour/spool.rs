//! An answer is read as fast as the application writes it.

use std::sync::Arc;

use crate::support::{Application, Forebay, Gate, pattern};

const GET: &str = "GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

/// More than the sockets and hyper hold on the way.
const LARGE: usize = 24 * 1024 * 1024;

/// Answers with `content` and opens the gate when all of it is written.
fn writing(content: &[u8], framing: &'static str, gate: &Arc<Gate>) -> Application {
    let (content, gate) = (content.to_vec(), Arc::clone(gate));
    Application::playing(move |visit| {
        while visit.request().is_some() {
            if framing == "chunked" {
                visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                for piece in content.chunks(100_000) {
                    visit.send(format!("{:x}\r\n", piece.len()));
                    visit.send(piece);
                    visit.send("\r\n");
                }
                visit.send("0\r\n\r\n");
            } else if framing == "close" {
                visit.send("HTTP/1.1 200 OK\r\n\r\n");
                visit.send(&content);
                gate.open();
                return;
            } else {
                visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()));
                visit.send(&content);
            }
            gate.open();
        }
    })
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_the_application() {
    let content = pattern(LARGE);
    for framing in ["sized", "chunked", "close"] {
        let gate = Arc::new(Gate::default());
        let application = writing(&content, framing, &gate);
        let forebay = Forebay::with(&application, &["--concurrency", "1"]).ready();
        let mut slow = forebay.connect();
        slow.send(GET);
        gate.wait();
        // The only place in the application is free again.
        let mut other = forebay.connect();
        other.send("HEAD /b HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
        assert_eq!(other.head().status, 200, "{framing}");
        let answer = slow.answer();
        assert!(answer.content == content, "{framing}: {} bytes", answer.content.len());
        assert!(answer.is_whole || framing == "close");
    }
}

#[test]
fn a_client_of_http_2_that_reads_nothing_does_not_hold_the_application() {
    let content = pattern(LARGE);
    let gate = Arc::new(Gate::default());
    let application = writing(&content, "sized", &gate);
    let forebay = Forebay::before(&application).ready();
    let mut wire = forebay.connect_http2();
    let stream = wire.send(&crate::support::http2::get(b"/a"), None);
    gate.wait();
    let answer = wire.answer(stream);
    assert!(answer.content == content, "{} bytes", answer.content.len());
}

#[test]
fn without_room_the_application_waits_and_nothing_is_lost() {
    let content = pattern(LARGE);
    for flags in [
        ["--spool-memory", "0B", "--spool-disk", "0B"],
        ["--spool-memory", "64MiB", "--answer-spool-disk", "0B"],
        ["--spool-memory", "300KiB", "--spool-disk", "2MiB"],
        ["--spool-memory", "0B", "--answer-spool-disk", "1MiB"],
    ] {
        let gate = Arc::new(Gate::default());
        let application = writing(&content, "sized", &gate);
        let forebay = Forebay::with(&application, &flags).ready();
        let mut slow = forebay.connect();
        slow.send(GET);
        assert_eq!(slow.head().status, 200);
        assert!(slow.bytes(1_000_000) == content[..1_000_000]);
        assert!(!gate.is_open(), "{flags:?}: somebody took it all");
        assert!(slow.bytes(LARGE - 1_000_000) == content[1_000_000..], "{flags:?}");
        gate.wait();
    }
}

#[test]
fn a_directory_that_vanishes_slows_the_application_and_loses_nothing() {
    let directory = crate::support::fresh_directory();
    let content = pattern(LARGE);
    let gate = Arc::new(Gate::default());
    let application = writing(&content, "sized", &gate);
    let flags = ["--spool-dir", directory.to_str().unwrap()];
    let forebay = Forebay::with(&application, &flags).ready();
    std::fs::remove_dir(&directory).unwrap();
    let mut slow = forebay.connect();
    slow.send(GET);
    forebay.wait_for_line("the warning", |line| line.contains("the spool's file failed"));
    let answer = slow.answer();
    assert!(answer.content == content, "{} bytes", answer.content.len());
}

#[test]
fn an_answer_that_breaks_off_while_its_client_reads_nothing_breaks_off_for_it() {
    let content = pattern(LARGE);
    let gate = Arc::new(Gate::default());
    let (sent, opened) = (content.clone(), Arc::clone(&gate));
    let application = Application::playing(move |visit| {
        if visit.request().is_some() {
            let promised = sent.len() + 1;
            visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\n\r\n"));
            visit.send(&sent);
            opened.open();
        }
    });
    let forebay = Forebay::before(&application).ready();
    let mut slow = forebay.connect();
    slow.send(GET);
    gate.wait();
    let answer = slow.answer();
    assert!(!answer.is_whole && answer.content == content, "{} bytes", answer.content.len());
    assert_eq!(forebay.line_of("/a")["code"], "FB-35");
}
