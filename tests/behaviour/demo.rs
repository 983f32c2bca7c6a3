//! `forebay demo` needs nothing and shows what is done.

use serde_json::Value;

use crate::support::Forebay;

fn ask(forebay: &Forebay, path: &str, accept: &str) -> crate::support::Answer {
    let host = "Host: www.example.com\r\n";
    forebay.exchange(format!("GET {path} HTTP/1.1\r\n{host}Accept: {accept}\r\n\r\n"))
}

#[test]
fn a_browser_gets_a_page_and_curl_gets_json() {
    let forebay = Forebay::demo(&[]).ready();
    let page = ask(&forebay, "/", "text/html,application/xhtml+xml,*/*;q=0.8");
    assert_eq!(page.status, 200);
    assert!(page.field("content-type").unwrap().starts_with("text/html"));
    assert!(page.text().starts_with("<!doctype html>"), "{}", page.text());

    let report = ask(&forebay, "/", "*/*");
    assert_eq!(report.field("content-type"), Some("application/json"));
    let report: Value = serde_json::from_str(&report.text()).unwrap();
    assert_eq!(report["client"], "127.0.0.1");
    assert_eq!(report["scheme"], "http");
    assert!(!report["django_gets"].to_string().contains("sighting"), "{report}");
    assert!(report["examples"].as_array().unwrap().len() >= 15, "{report}");
}

#[test]
fn the_forged_addresses_of_example_5_are_replayed() {
    let forebay = Forebay::demo(&[]).ready();
    let report = ask(&forebay, "/replay/e05", "*/*");
    assert_eq!(report.status, 200);
    let report: Value = serde_json::from_str(&report.text()).unwrap();
    assert_eq!((&report["id"], &report["client"]), (&"e05".into(), &"203.0.113.10".into()));
    let upstream = report["upstream"].as_str().unwrap();
    assert!(upstream.contains("\r\nx-forwarded-for: 203.0.113.10\r\n"), "{upstream}");
    assert!(upstream.contains("\r\nx-forwarded-proto: https\r\n"), "{upstream}");
    assert!(!upstream.contains("127.0.0.1") && !upstream.contains("10.0.0.1"), "{upstream}");
    assert!(report["sent"].as_str().unwrap().contains("127.0.0.1, 10.0.0.1:99"));
    assert_eq!(ask(&forebay, "/replay/e99", "*/*").status, 404);
}

#[test]
fn every_example_can_be_replayed() {
    let forebay = Forebay::demo(&[]).ready();
    for number in 1..=17 {
        let report = ask(&forebay, &format!("/replay/e{number:02}"), "*/*").text();
        let report: Value = serde_json::from_str(&report).unwrap();
        assert!(report.get("error").is_none(), "{report}");
    }
}

#[test]
fn it_stops_like_the_real_thing() {
    let mut forebay = Forebay::demo(&[]).ready();
    forebay.signal("TERM");
    assert_eq!(forebay.end().code(), Some(0));
}
