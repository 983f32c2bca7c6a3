//! The application goes and comes back; visitors wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Application, Forebay, OK, Wire, eventually};

const GET: &str = "GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 5\r\n\r\nhello";
const BROWSER: &str = "GET /a HTTP/1.1\r\nHost: www.example.com\r\n\
    Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n\r\n";

/// Sends a request on a connection of its own, and waits until it has been read.
fn ask(forebay: &Forebay, request: &str) -> Wire {
    let mut wire = forebay.connect();
    wire.send(request);
    // A later request on another connection has been answered.
    assert!([200, 503].contains(&forebay.get("/healthz").status));
    wire
}

fn upstream() -> (std::path::PathBuf, String) {
    let path = Application::fresh_path();
    let upstream = format!("unix:{}", path.display());
    (path, upstream)
}

#[test]
fn visitors_wait_for_an_application_that_starts() {
    let (path, upstream) = upstream();
    let forebay = Forebay::started(&upstream, &[], &[]);
    let mut wires = [ask(&forebay, GET), ask(&forebay, POST), ask(&forebay, BROWSER)];
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    for wire in &mut wires {
        assert_eq!(wire.answer().text(), "ok");
    }
    assert_eq!(application.heard_text().concat().matches(" /a HTTP/1.1").count(), 3);
    assert!(
        forebay
            .requests()
            .iter()
            .filter(|line| line["path"] == "/a")
            .all(|line| { line["queued_us"].as_u64() > Some(0) && line["repeats"].is_null() })
    );
}

#[test]
fn visitors_wait_for_an_application_that_restarts() {
    let (path, upstream) = upstream();
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    let mut forebay = Forebay::started(&upstream, &[], &[]).ready();
    assert_eq!(forebay.exchange(GET).text(), "ok");
    for _ in 0..2 {
        application.stop();
        eventually("it is gone", || (!path.exists()).then_some(()));
        let mut wires = [ask(&forebay, GET), ask(&forebay, POST)];
        forebay
            .wait_for_line("it is seen", |line| line.contains("the application does not answer"));
        let again = Application::on_unix(&path, |visit| visit.answer_all(OK));
        for wire in &mut wires {
            assert_eq!(wire.answer().text(), "ok");
        }
        again.stop();
    }
    forebay.terminate();
    assert_eq!(forebay.end().code(), Some(0));
    let last = forebay.lines().pop().unwrap();
    assert!(last.contains(r#""held":"#) && !last.contains(r#""held":0"#), "{last}");
}

#[test]
fn workers_that_start_behind_an_open_door_are_waited_for() {
    let (path, upstream) = upstream();
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    let flags = ["--ready-deadline", "200ms"];
    let forebay = Forebay::started(&upstream, &flags, &[]).ready();
    application.stop();
    eventually("it is gone", || (!path.exists()).then_some(()));
    let mut post = ask(&forebay, POST);
    let again = Application::on_unix(&path, |visit| visit.answer_all(OK));
    again.set_readiness(None);
    forebay.wait_for_line("it is on its way", |line| line.contains("listens again"));
    assert!(again.heard().is_empty(), "a request to a worker that may die while starting is lost");
    again.set_readiness(Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(post.answer().text(), "ok");
}

#[test]
fn a_browser_gets_a_page_soon_and_a_program_an_answer_it_understands() {
    let (_, upstream) = upstream();
    let flags = ["--page-after", "100ms", "--hold-deadline", "1s"];
    let forebay = Forebay::started(&upstream, &flags, &[]);
    let page = forebay.exchange(BROWSER);
    assert_eq!((page.status, page.code()), (503, Some("FB-20")));
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("cache-control"), Some("no-store"));
    assert_eq!(page.field("retry-after"), Some("5"));
    assert!(page.text().contains("http-equiv=refresh"), "{}", page.text());
    let form = forebay.exchange(BROWSER.replace("GET", "POST")).text();
    assert!(!form.contains("refresh") && form.contains("go back and send it again"), "{form}");
    let line = forebay.wait_for_request("the page", |line| line["code"] == "FB-20");
    assert!(line["queued_us"].as_u64() < Some(900_000), "{line}");

    let part = BROWSER.replace("Accept", "Sec-Fetch-Dest: image\r\nAccept");
    let post = BROWSER.replace("GET", "POST");
    let json = GET.replace("\r\n\r\n", "\r\nAccept: application/json\r\n\r\n");
    for (request, kind) in [
        (part, "text/html; charset=utf-8"),
        (post, "text/html; charset=utf-8"),
        (json, "application/json"),
    ] {
        let answer = forebay.exchange(&request);
        assert_eq!((answer.status, answer.code()), (503, Some("FB-20")), "{request}");
        assert_eq!(answer.field("content-type"), Some(kind), "{request}");
    }
    eventually("they wait to the end", || {
        let lines = forebay.requests();
        let waits = lines.iter().filter(|line| line["queued_us"].as_u64() >= Some(1_000_000));
        (waits.count() == 4).then_some(())
    });
}

#[test]
fn an_application_that_does_not_come_back_is_not_waited_for_for_ever() {
    let (path, upstream) = upstream();
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    let flags = ["--hold-deadline", "300ms"];
    let forebay = Forebay::started(&upstream, &flags, &[]).ready();
    application.stop();
    eventually("it is gone", || (!path.exists()).then_some(()));
    for request in [GET, POST, BROWSER] {
        let answer = forebay.exchange(request);
        assert_eq!((answer.status, answer.code()), (503, Some("FB-25")), "{request}");
    }
}

#[test]
fn who_waits_is_counted_and_who_leaves_is_forgotten() {
    let (path, upstream) = upstream();
    let forebay = Forebay::started(&upstream, &["--queue-limit", "2"], &[]);
    let mut wire = ask(&forebay, GET);
    let other = ask(&forebay, POST);
    assert_eq!(forebay.exchange(GET).code(), Some("FB-23"));
    drop(other);
    forebay.wait_for_request("who left", |line| line["code"] == "FB-40");
    let mut third = ask(&forebay, GET);
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    assert_eq!((wire.answer().text(), third.answer().text()), ("ok".into(), "ok".into()));
    assert!(!application.heard_text().concat().contains("POST"));
}

#[test]
fn a_stop_lets_those_who_wait_go() {
    let (_, upstream) = upstream();
    let mut forebay = Forebay::started(&upstream, &["--drain-deadline", "1h"], &[]);
    let mut wire = ask(&forebay, GET);
    forebay.terminate();
    assert_eq!(wire.answer().code(), Some("FB-25"));
    assert_eq!(forebay.end().code(), Some(0));
}

/// Dies without an answer for the first `deaths` visitors.
fn dying(deaths: usize, start: &'static str) -> (Application, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    let application = Application::playing(move |visit| {
        while visit.request().is_some() {
            if seen.fetch_add(1, Ordering::SeqCst) < deaths {
                visit.send(start);
                return;
            }
            visit.send(OK);
        }
    });
    (application, count)
}

#[test]
fn what_is_harmless_is_sent_again_when_a_worker_dies() {
    for method in ["GET", "OPTIONS", "PUT", "DELETE"] {
        for start in ["", "HTTP/1.1 200 OK\r\nConte"] {
            let (application, count) = dying(2, start);
            let forebay = Forebay::before(&application).ready();
            let request = POST.replace("POST", method);
            assert_eq!(forebay.exchange(&request).text(), "ok", "{method}");
            assert_eq!(count.load(Ordering::SeqCst), 3);
            let line = forebay.line_of("/a");
            assert_eq!((&line["repeats"], &line["status"]), (&2.into(), &200.into()), "{line}");
            assert!(application.heard_text().iter().all(|text| text.ends_with("hello")));
        }
    }
}

#[test]
fn what_has_an_effect_and_may_have_been_read_is_never_sent_twice() {
    for method in ["POST", "PATCH", "PURGE"] {
        let (application, count) = dying(1, "");
        let forebay = Forebay::before(&application).ready();
        let answer = forebay.exchange(POST.replace("POST", method));
        assert_eq!((answer.status, answer.code()), (502, Some("FB-32")), "{method}");
        assert_eq!(count.load(Ordering::SeqCst), 1);
        assert_eq!(forebay.line_of("/a")["repeats"], serde_json::Value::Null);
    }
}

#[test]
fn what_passes_through_is_never_sent_twice() {
    let (application, count) = dying(1, "");
    let forebay = Forebay::with(&application, &["--request-buffering", "off"]).ready();
    let answer = forebay.exchange(POST.replace("POST", "PUT"));
    assert_eq!((answer.status, answer.code()), (502, Some("FB-32")));
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_request_that_kills_its_worker_does_not_kill_them_all() {
    let (application, count) = dying(usize::MAX, "");
    let forebay = Forebay::before(&application).ready();
    assert_eq!(forebay.exchange(GET).code(), Some("FB-32"));
    assert_eq!(count.load(Ordering::SeqCst), 3);
}
