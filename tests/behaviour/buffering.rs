//! A request is complete before the application is touched.

use std::fs;
use std::sync::Arc;

use crate::support::wire::End;
use crate::support::{
    Application, Forebay, Gate, OK, eventually, find, fresh_directory, http2, pattern, text,
};

fn post(path: &str, rest: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: www.example.com\r\n{rest}")
}

fn is_touched(application: &Application) -> bool {
    !application.heard().is_empty()
}

#[test]
fn the_application_sees_nothing_of_a_request_that_is_not_complete() {
    let application = Application::ok();
    let forebay = Forebay::before(&application).ready();
    for (start, rest) in [
        ("Content-Length: 10\r\n\r\nhell", "o-ther"),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n", "6\r\no-ther\r\n0\r\nX-Sum: 1\r\n\r\n"),
    ] {
        let posts = || application.heard_text().concat().matches("POST").count();
        let before = posts();
        let mut wire = forebay.connect();
        wire.send(post("/a", start));
        // Whoever asks later is served first: nobody waits for a slow sender.
        assert_eq!(forebay.get("/b").text(), "ok");
        assert_eq!(posts(), before);
        wire.send(rest);
        assert_eq!(wire.answer().text(), "ok");
        let heard = application.heard_text().concat();
        let request = heard.rfind("POST").and_then(|start| heard.get(start..)).unwrap();
        assert!(request.ends_with("\r\ncontent-length: 10\r\n\r\nhello-ther"), "{request}");
        assert!(!request.contains("transfer-encoding") && !request.contains("x-sum"), "{request}");
    }
}

#[test]
fn content_that_breaks_off_never_reaches_the_application() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--body-idle-deadline", "300ms"]);
    for (start, status) in [
        ("Content-Length: 10\r\n\r\nhell", Some(408)),
        ("Transfer-Encoding: chunked\r\n\r\n4\r\nhell\r\nzz\r\n", Some(400)),
        ("Content-Length: 100000\r\n\r\nhell", None),
    ] {
        let mut wire = forebay.connect();
        wire.send(post("/a", start));
        match status {
            Some(status) => assert_eq!(wire.answer().status, status, "{start}"),
            None => drop(wire),
        }
    }
    forebay.wait_for_request("who left", |line| line["code"] == "FB-40");
    assert!(!is_touched(&application), "{:?}", application.heard_text());
}

/// Bytes in files of `folder` that have no name any more.
fn spooled(forebay: &Forebay, folder: &str) -> u64 {
    let open = fs::read_dir(format!("/proc/{}/fd", forebay.id())).unwrap();
    let lengths = open.filter_map(|entry| {
        let path = entry.ok()?.path();
        let link = fs::read_link(&path).ok()?;
        let is_spool = link.starts_with(folder) && link.to_string_lossy().contains("deleted");
        is_spool.then(|| fs::metadata(&path).ok())?.map(|metadata| metadata.len())
    });
    lengths.sum()
}

#[test]
fn large_content_waits_in_a_file_without_a_name_and_arrives_whole() {
    let directory = fresh_directory();
    let folder = directory.to_str().unwrap();
    let application = Application::playing(|visit| {
        while let Some((_, content)) = visit.request() {
            visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len()));
            visit.send(content);
        }
    });
    let forebay = Forebay::with(&application, &["--spool-dir", folder]);
    let content = pattern(3_000_001);
    let chunk = format!("{:x}\r\n", content.len());
    for (head, tail) in [
        (format!("Content-Length: {}\r\n\r\n", content.len()), ""),
        (format!("Transfer-Encoding: chunked\r\n\r\n{chunk}"), "\r\n0\r\n\r\n"),
    ] {
        let mut wire = forebay.connect();
        wire.send([post("/a", &head).as_bytes(), &content[..2_000_000]].concat());
        eventually("a file without a name", || (spooled(&forebay, folder) > 0).then_some(()));
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "nothing can be left over");
        wire.send([&content[2_000_000..], tail.as_bytes()].concat());
        let answer = wire.answer();
        assert!(answer.content == content, "{} bytes", answer.content.len());
    }
}

#[test]
fn content_up_to_the_limit_is_taken_and_one_byte_more_is_not() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--max-body", "100KiB"]).ready();
    let content = "x".repeat(102_401);
    let chunked = |length: usize| {
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{}\r\n0\r\n\r\n",
            &content[..length]
        )
    };
    let sized = |length: usize| format!("Content-Length: {length}\r\n\r\n{}", &content[..length]);
    for request in [sized(102_400), chunked(102_400)] {
        assert_eq!(forebay.exchange(post("/a", &request)).status, 200);
    }
    let before = application.heard().len();
    for request in [sized(102_401), chunked(102_401), "Content-Length: 102401\r\n\r\n".to_owned()] {
        let answer = forebay.exchange(post("/a", &request));
        assert_eq!((answer.status, answer.code()), (413, Some("FB-19")));
    }
    assert_eq!(application.heard().len(), before);
    // It is told before it sends: no 100 comes first.
    let mut wire = forebay.connect();
    wire.send(post("/a", "Content-Length: 102401\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(wire.head().status, 413);
    // What passes through has the same limit.
    let flags = ["--max-body", "100KiB", "--request-buffering", "off"];
    let forebay = Forebay::with(&application, &flags).ready();
    let answer = forebay.exchange(post("/a", &chunked(102_401)));
    assert_eq!((answer.status, answer.code()), (413, Some("FB-19")));
}

#[test]
fn who_expects_100_gets_it_from_forebay() {
    let application = Application::ok();
    let forebay = Forebay::before(&application).ready();
    let mut wire = forebay.connect();
    wire.send(post("/a", "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(wire.head().status, 100);
    assert!(!is_touched(&application));
    wire.send("hello");
    assert_eq!(wire.answer().text(), "ok");
    assert!(!application.heard_text()[0].to_ascii_lowercase().contains("expect"));
}

#[test]
fn without_room_the_answer_is_503_and_the_room_comes_back() {
    let application = Application::ok();
    let directory = fresh_directory();
    let folder = directory.to_str().unwrap();
    let flags = ["--spool-disk", "1MiB", "--spool-dir", folder];
    let forebay = Forebay::with(&application, &flags).ready();
    let content = pattern(700_000);
    let head = post("/a", "Content-Length: 700000\r\n\r\n");
    let mut first = forebay.connect();
    first.send([head.as_bytes(), &content[..500_000]].concat());
    eventually("its room is taken", || (spooled(&forebay, folder) > 400_000).then_some(()));
    let refused = forebay.exchange(post("/b", "Content-Length: 700000\r\n\r\n"));
    assert_eq!(refused.status, 503);
    assert_eq!((refused.code(), refused.field("retry-after")), (Some("FB-26"), Some("5")));
    let line = forebay.wait_for_request("the refusal", |line| line["code"] == "FB-26");
    assert!(line["cause"].as_str().unwrap().contains("--spool-disk is spent"), "{line}");
    first.send(&content[500_000..]);
    assert_eq!(first.answer().text(), "ok");
    let whole = [head.as_bytes(), &content].concat();
    assert_eq!(forebay.exchange(whole).text(), "ok", "the room came back");
    assert_eq!(forebay.exchange(post("/c", "Content-Length: 5\r\n\r\nhello")).text(), "ok");
}

#[test]
fn without_memory_content_goes_to_the_file() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--spool-memory", "0B"]).ready();
    for _ in 0..2 {
        let answer = forebay.exchange(post("/a", "Content-Length: 5\r\n\r\nhello"));
        assert_eq!(answer.text(), "ok");
    }
    assert!(application.heard_text().concat().ends_with("\r\n\r\nhello"));
}

#[test]
fn a_directory_that_vanishes_costs_large_content_and_nothing_else() {
    let application = Application::ok();
    let directory = fresh_directory();
    let folder = directory.to_str().unwrap();
    let forebay = Forebay::with(&application, &["--spool-dir", folder]).ready();
    fs::remove_dir(&directory).unwrap();
    let content = "x".repeat(100_000);
    let large = post("/a", &format!("Content-Length: 100000\r\n\r\n{content}"));
    let answer = forebay.exchange(&large);
    assert_eq!((answer.status, answer.code()), (503, Some("FB-26")));
    let line = forebay.wait_for_request("the refusal", |line| line["code"] == "FB-26");
    assert!(line["cause"].as_str().unwrap().contains("No such file or directory"), "{line}");
    assert_eq!(forebay.exchange(post("/b", "Content-Length: 5\r\n\r\nhello")).text(), "ok");
    fs::create_dir(&directory).unwrap();
    assert_eq!(forebay.exchange(&large).text(), "ok");
}

#[test]
fn paths_can_be_left_out_and_the_longest_prefix_holds() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = Application::playing(move |visit| {
        while let Some(head) = visit.head() {
            if find(&head, b"/upload/").is_some() {
                assert_eq!(text(&visit.bytes(5)), "first");
                opened.open();
            }
            visit.bytes(5);
            visit.send(OK);
        }
    });
    let rules = ["--request-buffering", "/upload/=off", "--request-buffering", "/upload/big/=on"];
    let forebay = Forebay::with(&application, &rules).ready();
    let head = "Content-Length: 10\r\n\r\nfirst";
    let mut wire = forebay.connect();
    wire.send(post("/upload/big/a", head));
    let mut other = forebay.connect();
    other.send(post("/upload/a", head));
    gate.wait();
    assert_eq!(application.heard().len(), 1, "{:?}", application.heard_text());
    other.send("other");
    assert_eq!(other.answer().text(), "ok");
    drop(wire);
}

#[test]
fn http_2_has_the_same_rules() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--max-body", "40KiB"]).ready();
    let mut wire = forebay.connect_http2();
    let fields = http2::post(b"/a");
    let answer = wire.request(&fields, Some(&pattern(30_000)));
    assert_eq!(answer.status, Some(200));
    let heard = application.heard();
    assert!(find(&heard[0], b"\r\ncontent-length: 30000\r\n").is_some());
    assert!(heard[0].ends_with(&pattern(30_000)));
    let answer = wire.request(&fields, Some(&pattern(50_000)));
    assert_eq!(answer.status, Some(413));
    assert_eq!(wire.get("/b").status, Some(200), "the connection goes on");
}

#[test]
fn a_refused_upload_is_listened_to_until_its_client_has_the_answer() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--max-body", "1KiB"]).ready();
    let mut wire = forebay.connect();
    wire.send(post("/a", "Content-Length: 300000\r\n\r\n"));
    wire.send(pattern(300_000));
    assert_eq!(wire.answer().code(), Some("FB-19"));
    assert_eq!(wire.rest(), (vec![], End::Closed));
}
