//! Requests with an effect whose connection ends before an answer: what has certainly not been read is
//! sent again, and nothing else.

use crate::support::{Answer, Application, Forebay, OK, Visit};

const GET: &str = "GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

const REUSE: [&str; 1] = ["--upstream-reuse=all"];

fn post(length: usize) -> String {
    let content = "x".repeat(length);
    format!(
        "POST /a HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: {length}\r\n\r\n{content}"
    )
}

/// Answers once on each connection, and ends it when one byte more has been read.
fn ends_behind_one_byte(visit: &mut Visit) {
    visit.request();
    visit.send(OK);
    visit.taste();
    visit.abandon();
}

fn is_lost(answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (502, Some("FB-32")), "{answer:?}");
}

#[test]
fn what_was_not_read_is_sent_again() {
    let path = Application::fresh_path();
    for application in [
        Application::playing(ends_behind_one_byte),
        Application::on_unix(&path, ends_behind_one_byte),
    ] {
        let forebay = Forebay::with(&application, &REUSE);
        assert_eq!(forebay.exchange(GET).text(), "ok");
        let answer = forebay.exchange(post(2));
        assert_eq!(answer.text(), "ok", "{answer:?}");
        let line = forebay.wait_for_request("the POST", |line| line["method"] == "POST");
        assert_eq!(line["repeats"], 1, "{line}");
        let heard = application.heard_text();
        assert!(heard.len() == 2 && heard[1].starts_with("POST"), "{heard:?}");
    }
}

#[test]
fn what_was_not_read_of_a_new_connection_is_sent_again_too() {
    let application = Application::ok();
    let forebay = Forebay::before(&application).ready();
    application.lose_next(3);
    is_lost(&forebay.exchange(post(2)));
    assert!(application.heard().is_empty());
    application.lose_next(2);
    assert_eq!(forebay.exchange(post(2)).text(), "ok");
    let line = forebay.wait_for_request("an answer", |line| line["status"] == 200);
    assert_eq!((&line["repeats"], application.heard().len()), (&2.into(), 1));
}

#[test]
fn of_what_is_long_nobody_knows_whether_it_was_begun() {
    let application = Application::ok();
    let forebay = Forebay::before(&application).ready();
    application.lose_next(1);
    is_lost(&forebay.exchange(post(4096)));
    assert!(application.heard().is_empty());
}

#[test]
fn what_has_an_interim_answer_is_begun() {
    let application = Application::playing(|visit| {
        visit.request();
        visit.send(OK);
        visit.taste();
        visit.send("HTTP/1.1 103 Early Hints\r\n\r\n");
        visit.abandon();
    });
    let forebay = Forebay::with(&application, &REUSE);
    assert_eq!(forebay.exchange(GET).text(), "ok");
    is_lost(&forebay.exchange(post(2)));
    assert_eq!(application.heard().len(), 1);
}

#[test]
fn effects_reuse_a_connection_only_where_that_is_said_and_they_are_small() {
    for (flags, length, connections) in [(&[][..], 2, 2), (&REUSE, 2, 1), (&REUSE, 4096, 2)] {
        let application = Application::ok();
        let forebay = Forebay::with(&application, flags);
        assert_eq!(forebay.exchange(GET).text(), "ok");
        assert_eq!(forebay.exchange(post(length)).text(), "ok");
        assert_eq!(application.heard().len(), connections, "{flags:?}, {length}");
    }
}

#[test]
fn what_is_not_written_at_once_goes_on_a_fresh_connection() {
    let application = Application::ok();
    let forebay =
        Forebay::with(&application, &["--upstream-reuse=all", "--spool-memory=0B"]).ready();
    assert_eq!(forebay.exchange(GET).text(), "ok");
    assert_eq!(forebay.exchange(post(2)).text(), "ok");
    assert_eq!(application.heard().len(), 2);
}

#[test]
fn after_one_that_may_have_been_read_effects_get_fresh_connections() {
    let application = Application::playing(|visit| {
        visit.request();
        visit.send(OK);
        // Reads one more, and ends quietly.
        visit.request();
    });
    let forebay = Forebay::with(&application, &REUSE);
    assert_eq!(forebay.exchange(GET).text(), "ok");
    is_lost(&forebay.exchange(post(2)));
    for _ in 0..3 {
        // On a fresh connection at first, then on one that ends.
        assert_eq!(forebay.exchange(GET).text(), "ok");
        assert_eq!(forebay.exchange(post(2)).text(), "ok");
    }
}
