//! HTTP/2 is held to the same rules as HTTP/1, and arrives as HTTP/1.1.

use crate::support::http2::{PREFACE, get, post};
use crate::support::wire::End;
use crate::support::{Application, Forebay, Gate, STREAMING, pattern, text};
use std::sync::Arc;

#[test]
fn a_request_arrives_as_http_1_1() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect_http2();
    let mut fields = post(b"/a?b=c");
    fields.push((b"x-forwarded-for", b"203.0.113.7"));
    fields.push((b"te", b"trailers"));
    let answer = wire.request(&fields, Some(b"hello"));
    assert_eq!((answer.status, answer.content.as_slice()), (Some(200), &b"ok"[..]));
    let heard = application.heard_text().concat();
    assert!(heard.starts_with("POST /a?b=c HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("\r\nhost: www.example.com\r\n"), "{heard}");
    assert!(!heard.contains("\r\nte:"), "{heard}");
    let chunked = heard.ends_with("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert!(chunked || heard.ends_with("content-length: 5\r\n\r\nhello"), "{heard}");
}

#[test]
fn cookie_crumbs_arrive_as_one_field() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let mut fields = get(b"/");
    fields.push((b"cookie", b"sessionid=1"));
    fields.push((b"cookie", b"csrftoken=2"));
    assert_eq!(forebay.connect_http2().request(&fields, None).status, Some(200));
    // RFC 9113 §8.2.3: joined, before they go into another context such as HTTP/1.1.
    let heard = application.heard_text().concat();
    assert!(heard.contains("\r\ncookie: sessionid=1; csrftoken=2\r\n"), "{heard}");
}

#[test]
fn streams_do_not_wait_for_one_another() {
    let gate = Arc::new(Gate::default());
    let slow = Arc::clone(&gate);
    let application = Application::playing(move |visit| {
        while let Some((head, _)) = visit.request() {
            if head.contains("/slow") {
                slow.wait();
            }
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect_http2();
    let held = wire.send(&get(b"/slow"), None);
    assert_eq!(wire.get("/fast").status, Some(200));
    gate.open();
    assert_eq!(wire.answer(held).status, Some(200));
}

#[test]
fn large_content_comes_whole_both_ways() {
    let content = pattern(3_000_000);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
    let application = Application::answering([head.as_bytes(), &content].concat());
    let forebay = Forebay::before(&application);
    let answer = forebay.connect_http2().get("/large");
    assert!(answer.content == content, "{} bytes", answer.content.len());
}

/// Sends each request on a connection of its own; it fails in one way or another, and the
/// application hears of nothing but a sound request at the end.
fn each_is_refused(cases: &[Vec<(&[u8], &[u8])>]) {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    for fields in cases {
        let answer = forebay.connect_http2().request(fields, None);
        let shown = fields.iter().map(|(name, value)| {
            let value = &value[..value.len().min(60)];
            format!("{}: {}", name.escape_ascii(), value.escape_ascii())
        });
        let shown: Vec<_> = shown.collect();
        let is_refused = match answer.status {
            Some(status) => (400..500).contains(&status) || status == 501,
            None => answer.reset.is_some() || answer.goodbye.is_some(),
        };
        assert!(is_refused, "{shown:?} got {answer:?}");
    }
    assert_eq!(forebay.get("/sentinel").text(), "ok");
    let heard = application.heard_text();
    assert_eq!(heard.len(), 1, "{heard:?}");
}

#[test]
fn what_http_1_could_not_say_never_reaches_the_application() {
    let with = |name: &'static [u8], value: &'static [u8]| {
        let mut fields = get(b"/evil");
        fields.push((name, value));
        fields
    };
    each_is_refused(&[
        with(b"x", b"a\r\nevil: b"),
        with(b"x", b"a\nevil: b"),
        with(b"x", b"a\0b"),
        with(b"x: y\r\nevil", b"a"),
        with(b"x y", b"a"),
        with(b"X-Upper", b"a"),
        with(b"connection", b"x-forwarded-for"),
        with(b"transfer-encoding", b"chunked"),
        with(b"host", b"other.example"),
        with(b"content-length", b"5"),
    ]);
}

#[test]
fn targets_that_http_1_may_not_have_never_reach_the_application() {
    each_is_refused(&[
        get(b"/\xc3\xa9"),
        get(b"/a b"),
        get(b"/a\r\nevil: b"),
        get(b"/a\\b"),
        get(b"/a`b"),
        get(b"/a\"b"),
        get(b"/a<b"),
        get(b"/a\x7fb"),
        get(b"*"),
        get(b""),
        get(b"evil"),
        get(b"http://www.example.com/"),
    ]);
}

#[test]
fn methods_that_no_gateway_serves_never_reach_the_application() {
    let method = |method: &'static [u8]| {
        let mut fields = get(b"/evil");
        fields[0].1 = method;
        fields
    };
    let connect: Vec<(&[u8], &[u8])> =
        vec![(b":method", b"CONNECT"), (b":authority", b"www.example.com:443")];
    each_is_refused(&[method(b"TRACE"), method(b"CONNECT"), connect]);
}

#[test]
fn the_limits_of_a_header_section_hold_for_http_2_as_well() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect_http2();
    assert_eq!(wire.get("/sound").status, Some(200));

    let path = [b"/", "x".repeat(4100).as_bytes()].concat();
    let answer = forebay.connect_http2().request(&get(&path), None);
    assert_eq!(answer.status, Some(414), "a long target: {}", text(&answer.content));

    let value = "x".repeat(8200);
    let mut fields = get(b"/field");
    fields.push((b"x", value.as_bytes()));
    let answer = forebay.connect_http2().request(&fields, None);
    assert_eq!(answer.status, Some(431), "a long field: {}", text(&answer.content));

    let names: Vec<_> = (0..101).map(|number| format!("x-{number}")).collect();
    let mut fields = get(b"/count");
    fields.extend(names.iter().map(|name| (name.as_bytes(), &b"a"[..])));
    let answer = forebay.connect_http2().request(&fields, None);
    assert_eq!(answer.status, Some(431), "many fields: {}", text(&answer.content));
    assert_eq!(application.heard().len(), 1);
}

#[test]
fn content_that_stops_coming_is_not_waited_for_for_ever() {
    let application = Application::ok();
    let flags = [STREAMING, &["--body-idle-deadline", "300ms"]].concat();
    let forebay = Forebay::with(&application, &flags);
    let mut wire = forebay.connect_http2();
    let stream = wire.begin_request(&post(b"/slow"));
    let answer = wire.answer(stream);
    assert!(answer.status == Some(408) || answer.reset.is_some(), "{answer:?}");
    application.wait_for_end(0);
    assert_eq!(forebay.line_of("/slow")["code"], "FB-15");
}

#[test]
fn a_client_that_stops_reading_is_not_waited_for_for_ever() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
            visit.send(pattern(3_000_000));
            visit.rest();
        }
    });
    let forebay = Forebay::with(&application, &["--body-idle-deadline", "300ms"]);
    let mut wire = forebay.connect_http2();
    // It answers pings and takes nothing.
    wire.stop_giving_way();
    let answer = wire.get("/large");
    assert!(answer.reset.or(answer.goodbye).is_some(), "{} bytes", answer.content.len());
    application.wait_for_end(0);
    assert_eq!(forebay.line_of("/large")["code"], "FB-40");
}

#[test]
fn a_stream_that_is_cancelled_is_logged_and_leaves_the_connection_able_to_be_idle() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.rest();
        }
    });
    let forebay = Forebay::with(&application, &["--idle-deadline", "300ms"]);
    let mut wire = forebay.connect_http2();
    let stream = wire.send(&get(b"/cancelled"), None);
    application.wait_for("the request", |kept| (!kept.visits.is_empty()).then_some(()));
    wire.cancel(stream);
    application.wait_for_end(0);
    assert_eq!(forebay.line_of("/cancelled")["code"], "FB-40");
    assert_eq!(wire.rest(), (true, End::Closed));
}

#[test]
fn frames_that_break_the_protocol_end_the_connection_and_nothing_else() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    for junk in [
        &b"junk that is no frame at all, and long enough to be read as one"[..],
        b"\0\0\x01\0\0\0\0\0\0x",
        b"\xff\xff\xff\x01\x05\0\0\0\x01",
        b"\0\0\0\x04\0\0\0\0\0\0\0\x04\x01\x05\0\0\0\x01\xff\xff\xff\xff",
    ] {
        let mut wire = forebay.connect();
        wire.send(PREFACE);
        drop(wire.try_send(junk));
        wire.end_sending();
        assert_ne!(wire.rest().1, End::Open, "{}", junk.escape_ascii());
    }
    assert_eq!(forebay.get("/sentinel").text(), "ok");
    assert_eq!(application.heard().len(), 1);
}
