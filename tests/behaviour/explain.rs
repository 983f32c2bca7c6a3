//! What `forebay explain` prints is what the application really gets.

use serde_json::Value;

use crate::support::{Application, Forebay, run};

/// A visitor on App Service who forges addresses (facts, E5), with content.
const FORGED: &str = "POST /hook?a=b HTTP/1.1\r\nHost: www.example.com\r\nDISGUISED-HOST: www.example.com\r\n\
                      User-Agent: curl/8.5.0\r\nCLIENT-IP: 203.0.113.10:64769\r\nX-Client-IP: 203.0.113.10\r\n\
                      X-Forwarded-For: 127.0.0.1, 10.0.0.1:99, 203.0.113.10:64769\r\n\
                      X-Forwarded-Proto: https\r\nX-MS-CLIENT-PRINCIPAL: evil\r\nScript_Name: /evil\r\n\
                      Connection: keep-alive, X-Private\r\nX-Private: evil\r\nContent-Length: 5\r\n\r\nhello";

const FLAGS: [&str; 4] = ["--platform", "app-service", "--host", "www.example.com"];

fn explained(more: &[&str], request: &str) -> Value {
    let ran = run(&[&["explain", "--json"], &FLAGS[..], more].concat()).input(request).ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn the_bytes_it_prints_are_the_bytes_the_application_gets() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &FLAGS[..2]);
    let get = FORGED.replace("POST", "GET").replace("Content-Length: 5\r\n\r\nhello", "\r\n");
    let chunked = FORGED.replace(
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    for request in [FORGED, &get, &chunked] {
        let before = application.heard().concat().len();
        assert_eq!(forebay.exchange(request).status, 200);
        let live = application.heard_text().concat()[before..].to_owned();
        assert!(!live.contains("evil") && !live.contains("127.0.0.1"), "{live}");
        let report = explained(&[], request);
        assert_eq!(report["upstream"], live);
        assert_eq!(report["client"], "203.0.113.10");
        assert_eq!(report["scheme"], "https");
    }
}

#[test]
fn with_proxy_protocol_it_prints_that_too() {
    let report = explained(&["--proxy-protocol", "v1"], FORGED);
    let upstream = report["upstream"].as_str().unwrap();
    assert!(upstream.starts_with("PROXY TCP4 203.0.113.10 "), "{upstream}");
    assert!(upstream.ends_with("\r\n\r\nhello"), "{upstream}");
}

#[test]
fn it_says_why_in_words_and_takes_a_file_with_plain_line_feeds() {
    let request = FORGED.replace('\r', "");
    let ran = run(&[&["explain", "request.http"], &FLAGS[..]].concat())
        .file("request.http", &request)
        .ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for part in ["client    203.0.113.10", "x-ms-client-principal", "Easy Auth is off", "hello"] {
        assert!(ran.out.contains(part), "{part} is not in {}", ran.out);
    }
}

#[test]
fn a_refusal_is_explained_and_nothing_is_sent() {
    let request = "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    let report = explained(&[], request);
    assert_eq!((&report["status"], &report["code"]), (&400.into(), &"FB-16".into()));
    assert!(report["upstream"].is_null(), "{report}");
    assert!(report["refusal"].as_str().unwrap().contains("more than one Host"), "{report}");
}

#[test]
fn a_probe_is_explained() {
    let request = "GET /robots933456.txt HTTP/1.1\r\nHost: 169.254.130.4:8000\r\n\r\n";
    let report = explained(&[], request);
    assert_eq!(report["status"], 200, "{report}");
    assert!(report["upstream"].is_null(), "{report}");
    assert!(report["outcome"].as_str().unwrap().contains("warm_up"), "{report}");
}

#[test]
fn what_cannot_be_explained_has_a_cause_and_a_mend() {
    for (arguments, input) in [
        (&["explain"][..], "GET / HTTP/1.1\r\nHost: a\r\n"),
        (&["explain"], ""),
        (&["explain"], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nshort"),
        (&["explain", "--peer", "nobody"], "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (&["explain", "missing.http"], ""),
    ] {
        let ran = run(arguments).input(input).ran();
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{arguments:?}: {ran:?}");
        assert!(ran.complaints.starts_with("error: "), "{ran:?}");
        assert!(ran.complaints.contains("\nmend:  "), "{ran:?}");
    }
}
