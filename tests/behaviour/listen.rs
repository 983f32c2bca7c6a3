//! Connections: what they may speak, how many there may be, how long and how much they may take.

use crate::support::wire::End;
use crate::support::{Application, Forebay, STREAMING, Wire, eventually, find, pattern, text};
use std::sync::Arc;

const GET: &str = "GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

#[test]
fn one_port_speaks_three_versions() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let old = forebay.exchange("GET /old HTTP/1.0\r\nHost: www.example.com\r\n\r\n");
    assert_eq!((old.status, old.text().as_str()), (200, "ok"));
    assert_eq!(forebay.exchange(GET).text(), "ok");
    let new = forebay.connect_http2().get("/new");
    assert_eq!((new.status, new.content.as_slice()), (Some(200), &b"ok"[..]));
    let heard = application.heard_text().concat();
    for path in ["/old", "/a", "/new"] {
        assert!(heard.contains(&format!("GET {path} HTTP/1.1\r\n")), "{heard}");
    }
}

#[test]
fn a_connection_of_http_1_0_is_kept_only_when_asked_for() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    let answer = wire.exchange("GET / HTTP/1.0\r\nHost: www.example.com\r\n\r\n");
    assert!(answer.is_whole);
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!(wire.rest(), (vec![], End::Closed));

    let kept = "GET / HTTP/1.0\r\nHost: www.example.com\r\nConnection: keep-alive\r\n\r\n";
    let mut wire = forebay.connect();
    for _ in 0..3 {
        let answer = wire.exchange(kept);
        assert_eq!(answer.text(), "ok");
        assert_eq!(answer.field("connection"), Some("keep-alive"));
    }
}

#[test]
fn a_client_of_http_1_0_gets_chunked_content_until_the_end() {
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
    );
    let forebay = Forebay::before(&application);
    let kept = "GET / HTTP/1.0\r\nHost: www.example.com\r\nConnection: keep-alive\r\n\r\n";
    let mut wire = forebay.connect();
    let answer = wire.exchange(kept);
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!(answer.text(), "hello world");
    assert_eq!(wire.rest(), (vec![], End::Closed));
}

#[test]
fn http_1_0_needs_no_host() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    assert_eq!(forebay.exchange("GET /a HTTP/1.0\r\n\r\n").text(), "ok");
    let heard = application.heard_text();
    assert!(heard[0].contains("host: www.example.com\r\n"), "the canonical one: {heard:?}");
}

#[test]
fn a_connection_of_http_1_1_is_kept_unless_told_otherwise() {
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nKeep-Alive: timeout=5\r\n\r\nok",
    );
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    for _ in 0..3 {
        let answer = wire.exchange(GET);
        assert_eq!(answer.text(), "ok");
        assert_eq!(answer.field("connection"), None, "the application's ends at forebay");
        assert_eq!(answer.field("keep-alive"), None);
    }
    let answer = wire.exchange("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(wire.rest(), (vec![], End::Closed));
}

#[test]
fn a_connection_that_was_idle_for_a_while_serves_on() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--header-deadline", "300ms"]);
    let mut wire = forebay.connect();
    assert_eq!(wire.exchange(GET).text(), "ok");
    // Beyond the moment after which forebay frees an idle connection's buffers.
    let (bytes, end) = patient_rest(&mut wire, 1400);
    assert_eq!((bytes.as_slice(), end), (&b""[..], End::Open));
    assert_eq!(wire.exchange(GET).text(), "ok");
    let (_, end) = patient_rest(&mut wire, 1400);
    assert_eq!(end, End::Open);
    wire.send("GET /a HT");
    wire.send("TP/1.1\r\nHost: www.example.com\r\n\r\nGET");
    assert_eq!(wire.answer().text(), "ok");
    assert_eq!(wire.exchange(" /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n").text(), "ok");
}

/// What comes within so many milliseconds.
fn patient_rest(wire: &mut Wire, milliseconds: u64) -> (Vec<u8>, End) {
    wire.set_patience(std::time::Duration::from_millis(milliseconds));
    let rest = wire.rest();
    wire.set_patience(crate::support::PATIENCE);
    rest
}

#[test]
fn a_header_section_may_come_byte_by_byte() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    // It begins like the preface of HTTP/2.
    let request = "PROPFIND /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    for byte in request.bytes() {
        wire.send([byte]);
    }
    assert_eq!(wire.answer().text(), "ok");
    assert!(application.heard_text()[0].starts_with("PROPFIND /a HTTP/1.1\r\n"));
}

#[test]
fn over_the_connection_limit_a_connection_gets_503_and_its_place_is_free_again() {
    let application = Application::ok();
    let mut forebay = Forebay::with(&application, &["--connection-limit", "2"]);
    let mut first = forebay.connect();
    let mut second = forebay.connect();
    assert_eq!(first.exchange(GET).text(), "ok");
    assert_eq!(second.exchange(GET).text(), "ok");
    let mut third = forebay.connect();
    let refused = third.answer();
    assert_eq!((refused.status, refused.code()), (503, Some("FB-18")));
    assert_eq!(refused.field("connection"), Some("close"));
    assert!(refused.field("retry-after").is_some());
    assert_eq!(third.rest(), (vec![], End::Closed));
    let line = forebay.wait_for_request("the refusal", |line| line["code"] == "FB-18");
    assert_eq!(line["status"], 503);
    drop(second);
    eventually("the place is free", || {
        let mut wire = forebay.connect();
        drop(wire.try_send(GET));
        (wire.head().status == 200).then_some(())
    });
    assert_eq!(first.exchange(GET).text(), "ok", "the one that was there is not harmed");
    forebay.signal("TERM");
    forebay.end();
    let last = forebay.lines().pop().unwrap();
    assert!(last.contains("FB-18 "), "it is counted: {last}");
}

#[test]
fn who_is_turned_away_with_a_request_on_its_way_can_still_read_why() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--connection-limit", "1"]);
    let mut first = forebay.connect();
    assert_eq!(first.exchange(GET).text(), "ok");
    for _ in 0..20 {
        let mut wire = forebay.connect();
        drop(wire.try_send(GET));
        let answer = wire.answer();
        assert_eq!((answer.status, answer.is_whole), (503, true));
        // A reset may destroy the answer on its way (RFC 9112 §9.6).
        assert_eq!(wire.rest(), (vec![], End::Closed));
    }
}

#[test]
fn a_header_section_that_takes_too_long_gets_408() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--header-deadline", "300ms"]);
    for start in
        ["G", "P", "PRI * HTTP/2", "GET /a HTTP/1.1\r\n", "GET /a HTTP/1.1\r\nHost: a\r\nX: "]
    {
        let mut wire = forebay.connect();
        let answer = wire.exchange(start);
        assert_eq!((answer.status, answer.code()), (408, Some("FB-14")), "{start:?}");
        assert_eq!(wire.rest(), (vec![], End::Closed), "{start:?}");
    }
    assert_eq!(application.heard_text(), [""; 0]);
}

#[test]
fn dribbling_does_not_extend_the_header_deadline() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--header-deadline", "300ms"]);
    for start in ["GET / HTTP/1.1\r\nX: ", "PRI * HTTP/2.0\r\n\r\nS"] {
        let mut wire = forebay.connect();
        let mut sender = wire.sender();
        wire.set_patience(std::time::Duration::from_millis(100));
        wire.send(&start[..1]);
        let begun = tokio::time::Instant::now();
        let mut bytes = Vec::new();
        for byte in start.bytes().skip(1).chain(std::iter::repeat_n(b'x', 60)) {
            let (more, end) = wire.rest();
            bytes.extend(more);
            if end != End::Open {
                break;
            }
            drop(std::io::Write::write_all(&mut sender, &[byte]));
        }
        let taken = begun.elapsed().as_millis();
        assert!(taken < 1500, "{start:?}: {taken} ms");
        assert!(text(&bytes).contains("FB-14"), "{start:?}: {}", text(&bytes));
    }
}

#[test]
fn an_idle_connection_is_closed_silently() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--idle-deadline", "200ms"]);
    let mut fresh = forebay.connect();
    assert_eq!(fresh.rest(), (vec![], End::Closed));
    let mut used = forebay.connect();
    assert_eq!(used.exchange(GET).text(), "ok");
    assert_eq!(used.rest(), (vec![], End::Closed));
    let mut new = forebay.connect_http2();
    assert_eq!(new.get("/new").status, Some(200));
    assert_eq!(new.rest(), (true, End::Closed), "HTTP/2 says goodbye");
    forebay.line_of("/new");
    assert_eq!(forebay.requests().len(), 2, "{:?}", forebay.lines());
}

#[test]
fn content_that_stops_coming_gets_408_and_the_application_is_let_go() {
    let application = Application::ok();
    let flags = [STREAMING, &["--body-idle-deadline", "300ms"]].concat();
    let forebay = Forebay::with(&application, &flags);
    let shapes = [
        "Content-Length: 10\r\n\r\nhello",
        "Content-Length: 10\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: ",
    ];
    for (number, shape) in shapes.iter().enumerate() {
        let mut wire = forebay.connect();
        let request = format!("POST /slow HTTP/1.1\r\nHost: www.example.com\r\n{shape}");
        let answer = wire.exchange(request);
        assert_eq!((answer.status, answer.code()), (408, Some("FB-15")), "{shape:?}");
        assert_eq!(wire.rest(), (vec![], End::Closed), "{shape:?}");
        let heard = application.wait_for_end(number).bytes;
        assert_eq!(find(&heard, b"\r\n0\r\n"), None, "{shape:?}");
    }
}

#[test]
fn content_that_stops_coming_after_100_is_told_and_logged() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--body-idle-deadline", "300ms"]);
    let mut wire = forebay.connect();
    wire.send(
        "POST /slow HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\
         Expect: 100-continue\r\n\r\n",
    );
    assert_eq!(wire.head().status, 100);
    let (bytes, _) = wire.rest();
    forebay.wait_for_request("the slow client", |line| line["code"] == "FB-15");
    assert!(text(&bytes).starts_with("HTTP/1.1 408 "), "{}", text(&bytes));
}

#[test]
fn a_client_that_stops_reading_is_cut() {
    // More than all buffers on the way hold.
    let content = Arc::new(pattern(16 * 1024 * 1024));
    let sent = Arc::clone(&content);
    let application = Application::playing(move |visit| {
        if visit.request().is_some() {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len());
            visit.send(head);
            visit.send(&*sent);
            visit.rest();
        }
    });
    let forebay = Forebay::with(&application, &["--body-idle-deadline", "300ms"]);
    let mut wire = forebay.connect();
    wire.send("GET /large HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert_eq!(wire.head().status, 200);
    let line = forebay.line_of("/large");
    assert_eq!(line["code"], "FB-40", "{line}");
    application.wait_for_end(0);
}

#[test]
fn a_slow_client_that_keeps_moving_is_not_cut() {
    let application = Application::ok();
    let deadlines = ["--body-idle-deadline", "400ms", "--header-deadline", "300ms"];
    let forebay = Forebay::with(&application, &deadlines);
    let mut wire = forebay.connect();
    wire.send("POST /slow HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 12\r\n\r\n");
    for _ in 0..12 {
        // The wait is part of what is tested: twelve pauses are longer than any deadline.
        assert_eq!(patient_rest(&mut wire, 100), (vec![], End::Open));
        wire.send("x");
    }
    assert_eq!(wire.answer().text(), "ok");
    assert!(application.heard_text()[0].ends_with("\r\n\r\nxxxxxxxxxxxx"));
}

#[test]
fn every_limit_of_a_header_section_holds_at_its_edge() {
    let application = Application::ok();
    let limits = [
        ["--request-line-limit", "300B"],
        ["--field-bytes-limit", "400B"],
        ["--header-count-limit", "12"],
        ["--header-bytes-limit", "2000B"],
    ];
    let forebay = Forebay::with(&application, limits.as_flattened());
    let host = "Host: www.example.com\r\n";
    let line = |length: usize| {
        format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(length - "GET / HTTP/1.1".len()))
    };
    let field =
        |length: usize| format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", "x".repeat(length - 3));
    let fields =
        |count: usize| format!("GET / HTTP/1.1\r\n{host}{}\r\n", "X: y\r\n".repeat(count - 1));
    let total = |length: usize| {
        let start =
            format!("GET / HTTP/1.1\r\n{host}{}", format!("X: {}\r\n", "x".repeat(350)).repeat(5));
        let rest = length - start.len() - "Y: \r\n\r\n".len();
        format!("{start}Y: {}\r\n\r\n", "y".repeat(rest))
    };
    assert_eq!((total(2000).len(), total(1999).len()), (2000, 1999));
    for (limit, request, status, code) in [
        (300, &line as &dyn Fn(usize) -> String, 414, "FB-13"),
        (400, &field, 431, "FB-12"),
        (12, &fields, 431, "FB-12"),
        (2000, &total, 431, "FB-12"),
    ] {
        for sound in [limit - 1, limit] {
            assert_eq!(forebay.exchange(request(sound)).status, 200, "{sound} of {limit}");
        }
        let mut wire = forebay.connect();
        let answer = wire.exchange(request(limit + 1));
        assert_eq!((answer.status, answer.code()), (status, Some(code)), "{limit} and one");
        assert_eq!(wire.rest(), (vec![], End::Closed), "{limit} and one");
    }
}

#[test]
fn an_endless_header_section_is_refused_while_it_comes() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    for (start, more, code) in [
        ("GET /", "x", "FB-13"),
        ("GET / HTTP/1.1\r\nX: ", "x", "FB-12"),
        ("GET / HTTP/1.1\r\n", "X: y\r\n", "FB-12"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            "X: y\r\n",
            "FB-12",
        ),
    ] {
        let mut wire = forebay.connect();
        wire.send(start);
        // 200 KB, none of which ends anything.
        drop(wire.try_send(more.repeat(200_000 / more.len())));
        let (bytes, _) = wire.rest();
        assert!(text(&bytes).contains(code), "{start:?}: {}", text(&bytes));
    }
}

#[test]
fn the_largest_limits_that_can_be_set_hold_too() {
    let application = Application::ok();
    let limits = ["--header-bytes-limit", "1MiB", "--field-bytes-limit", "1MiB"];
    let forebay = Forebay::with(&application, &limits);
    for length in [300_000, 500_000, 1_000_000] {
        let mut wire = forebay.connect();
        let field = "x".repeat(length);
        wire.send(format!("GET / HTTP/1.1\r\nHost: www.example.com\r\nX: {field}\r\n\r\n"));
        let answer = wire.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{length}: {answer:?}");
    }
}

#[test]
fn a_connection_that_comes_and_goes_leaves_no_line() {
    let application = Application::ok();
    let forebay = Forebay::before(&application).ready();
    for _ in 0..5 {
        drop(forebay.connect());
        forebay.connect().reset();
    }
    // A connection between two requests that is reset is no news either.
    let mut used = forebay.connect();
    assert_eq!(used.exchange(GET).text(), "ok");
    used.reset();
    assert_eq!(forebay.get("/sentinel").text(), "ok");
    forebay.line_of("/sentinel");
    assert_eq!(forebay.requests().len(), 2, "{:#?}", forebay.lines());
    for line in forebay.lines() {
        assert!(!line.contains("\"ERROR\"") && !line.contains("\"WARN\""), "{line}");
    }
}

#[test]
fn too_many_open_files_do_not_stop_the_accepting() {
    let application = Application::ok();
    let mut forebay = Forebay::with_few_files(application.address(), 30).ready();
    let crowd: Vec<_> = (0..60).map(|_| forebay.connect()).collect();
    forebay.wait_for_line("the failure", |line| line.contains("could not be accepted"));
    drop(crowd);
    eventually("visitors are served again", || {
        let mut wire = forebay.connect();
        drop(wire.try_send(GET));
        (wire.head().status == 200).then_some(())
    });
    assert!(forebay.is_running());
}

#[test]
fn many_connections_are_served_by_several_threads() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--threads", "3"]);
    let mut wires: Vec<_> = (0..300).map(|_| forebay.connect()).collect();
    for wire in &mut wires {
        wire.send(GET);
    }
    for wire in &mut wires {
        assert_eq!(wire.answer().text(), "ok");
    }
}
