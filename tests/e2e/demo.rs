//! The demo's page in a real browser.

use serde_json::Value;

use crate::support::browser::browse;
use crate::support::process::Process;
use crate::support::wire::Wire;
use crate::support::{eventually, free_port};

/// A running demo and its address.
fn demo() -> (Process, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = Process::command(env!("CARGO_BIN_EXE_forebay"));
    command.args(["demo", "--listen", &address]);
    let mut process = Process::start("demo", command);
    eventually("the demo listens", || {
        process.assert_running();
        Wire::connect(&address).ok()
    });
    (process, address)
}

#[test]
fn a_browser_shows_what_azure_sends_and_what_django_gets() {
    let (_demo, address) = demo();
    let page = browse(&format!("http://{address}/#e10"));
    assert_eq!(page.matches("<button").count(), 18, "{page}");
    assert!(page.contains("E10 · Through Front Door"), "{page}");
    let (sent, got) = page.split_once("id=\"after\"").unwrap();
    assert!(sent.contains("X-Forwarded-For: 203.0.113.230,147.243.18.238:45498,147.243.18.238"));
    assert!(got.contains("x-forwarded-for: 203.0.113.230\n"), "{got}");
}

#[test]
fn a_program_gets_the_same_as_json() {
    let (_demo, address) = demo();
    let ask = |path: &str| -> Value {
        Wire::connect(&address)
            .unwrap()
            .exchange(&format!("GET {path} HTTP/1.1\nHost: {address}\nX-Forwarded-For: 6.6.6.6:1"))
            .json()
    };
    let own = ask("/");
    assert_eq!(own["client"], "127.0.0.1");
    let sent = own["platform_sent"].as_array().unwrap();
    assert!(sent.iter().any(|field| field[0] == "x-forwarded-for" && field[1] == "6.6.6.6:1"));
    let got = own["django_gets"].as_array().unwrap();
    assert!(got.iter().any(|field| field[0] == "x-forwarded-for" && field[1] == "127.0.0.1"));
    assert_eq!(ask("/replay/e05")["client"], "203.0.113.10");
}
