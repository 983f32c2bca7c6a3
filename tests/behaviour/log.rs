//! One line a request.

use crate::support::{APP_SERVICE, Application, Forebay};

const REQUEST: &str = "POST /shop/%22a?token=secret HTTP/1.1\r\nHost: www.example.com\r\n\
                       X-Forwarded-For: 203.0.113.7:59633\r\nX-Forwarded-Proto: https\r\n\
                       X-ARR-LOG-ID: 4e939686-fa43-4b14-b1c8-1316b943d77c\r\nContent-Length: 2\r\n\
                       traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\nhi";

#[test]
fn a_request_leaves_one_json_line_with_everything_but_its_query() {
    let application = Application::ok();
    let forebay = Forebay::on_app_service(&application, &[]);
    let mut wire = forebay.connect();
    let peer = wire.local().to_string();
    assert_eq!(wire.exchange(REQUEST).text(), "ok");
    let line = forebay.line_of("/shop/%22a");
    for (name, value) in [
        ("level", "INFO"),
        ("client", "203.0.113.7"),
        ("peer", &peer),
        ("host", "www.example.com"),
        ("method", "POST"),
        ("path", "/shop/%22a"),
        ("scheme", "https"),
        ("protocol", "HTTP/1.1"),
        ("arr_log_id", "4e939686-fa43-4b14-b1c8-1316b943d77c"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ] {
        assert_eq!(line[name], value, "{line}");
    }
    assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &2.into()), "{line}");
    assert!(line.get("code").is_none(), "{line}");
    let [connect, first, total] =
        ["connect_us", "first_byte_us", "total_us"].map(|name| line[name].as_u64().unwrap());
    assert!(0 < connect && connect <= first && first <= total, "{line}");
    assert_eq!(forebay.requests().len(), 1);
    assert!(!forebay.lines().concat().contains("secret"), "queries hold secrets");
    assert!(
        application.heard_text()[0].contains("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b")
    );
}

#[test]
fn a_refusal_is_logged_with_its_code_reason_and_cause() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    forebay.exchange("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let line = forebay.wait_for_request("it", |line| line["code"] == "FB-16");
    assert_eq!((&line["level"], &line["status"]), (&"WARN".into(), &400.into()), "{line}");
    assert!(line["reason"].is_string() && line["cause"].is_string(), "{line}");
    forebay.exchange("GET /named HTTP/1.1\r\nHost: a,b\r\n\r\n");
    let line = forebay.line_of("/named");
    assert_eq!(line["code"], "FB-16", "{line}");
}

#[test]
fn no_value_of_a_stranger_breaks_a_line() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    for value in ["a\"b\\c", "\u{e9}\u{80}", "\t{}\x1b"] {
        forebay
            .exchange(format!("GET /{{\"}} HTTP/1.1\r\nHost: a\r\ntraceparent: {value}\r\n\r\n"));
        forebay.exchange(format!("GET /x HTTP/1.1\r\nHost: {value}\r\n\r\n"));
    }
    forebay.get("/sentinel");
    forebay.line_of("/sentinel");
    for line in forebay.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line}");
        assert!(!line.contains('\x1b'), "{line}");
    }
}

#[test]
fn the_text_form_is_one_line_too() {
    let application = Application::ok();
    let forebay = Forebay::on_app_service(&application, &["--log", "text"]);
    assert_eq!(forebay.exchange(REQUEST).text(), "ok");
    let line = forebay.wait_for_line("the request", |line| line.contains("/shop/"));
    assert!(line.contains("203.0.113.7 POST https://www.example.com/shop/%22a 200 2B "), "{line}");
    forebay.exchange("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    let line = forebay.wait_for_line("the refusal", |line| line.contains("FB-16"));
    assert!(line.contains(" WARN ") && line.contains("more than one Host field"), "{line}");
    assert!(!forebay.lines().concat().contains("secret"));
}

#[test]
fn without_an_access_log_only_the_process_speaks() {
    let application = Application::ok();
    let mut forebay = Forebay::on_app_service(&application, &["--access-log", "off"]);
    assert_eq!(forebay.exchange(REQUEST).text(), "ok");
    forebay.exchange("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    forebay.signal("TERM");
    assert_eq!(forebay.end().code(), Some(0));
    assert_eq!(forebay.requests().len(), 0, "{:?}", forebay.lines());
    let last = forebay.lines().pop().unwrap();
    assert!(last.contains("\"requests\":2") && last.contains("FB-16 1"), "counted: {last}");
}

#[test]
fn the_start_says_what_was_detected_and_derived() {
    let application = Application::ok();
    let variables = [APP_SERVICE, &[("WEBSITES_CONTAINER_START_TIME_LIMIT", "600")]].concat();
    let forebay = Forebay::started(application.address(), &[], &variables).ready();
    let lines = forebay.lines().join("\n");
    for part in [
        "\"set_by\":\"--listen\"",
        "\"platform\":\"AppService\"",
        "\"host\":\"www.example.com\"",
        "\"host_set_by\":\"--host\"",
        "\"start_limit_seconds\":600",
        application.address(),
    ] {
        assert!(lines.contains(part), "{part} is not in {lines}");
    }
}
