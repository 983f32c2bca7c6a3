//! The application dies and comes back; forebay is asked to end.

use crate::support::eventually;
use crate::support::forebay::Forebay;
use crate::support::front_end::over_tls;
use crate::support::gate::Gate;
use crate::support::site::{SYNC, Site, UVICORN};
use crate::support::wire::{Response, Wire, message};

#[test]
fn a_killed_gunicorn_is_waited_for_until_it_is_back() {
    let mut site = Site::gunicorn(&["-k", "gthread"]);
    let upstream = site.address().to_owned();
    let forebay = Forebay::before(&upstream);
    assert_eq!(home(&forebay).status, 200);

    site.kill();
    let mut visitor = forebay.connect();
    visitor.send(&message(&over_tls("GET /", VISITOR, "")));
    eventually("the health check says so", || (forebay.health().status == 503).then_some(()));

    let _site = Site::gunicorn_at(&upstream, &[]);
    assert_eq!(visitor.head().status, 200, "it never saw an error");
    assert_eq!(home(&forebay).status, 200);
}

#[test]
fn an_answer_cut_short_by_the_application_is_seen_to_be_cut_short() {
    let mut site = Site::gunicorn(&[]);
    let forebay = Forebay::before(site.address());
    let mut wire = half_answered(&forebay, &Gate::closed());
    site.kill();
    assert_eq!(wire.rest(), b"", "no last chunk, so that nobody takes it for the whole");
}

#[test]
fn a_request_in_flight_ends_before_forebay_does() {
    for site in [&*SYNC, &*UVICORN] {
        let mut forebay = Forebay::before(site.address());
        let gate = Gate::closed();
        let mut wire = half_answered(&forebay, &gate);

        forebay.terminate();
        eventually("nobody new is let in", || forebay.try_connect().err());
        gate.open();
        assert_eq!(wire.chunk().unwrap(), b"data: last\n\n");
        assert_eq!(wire.chunk(), None);
        assert_eq!(forebay.wait().code(), Some(0));
    }
}

#[test]
fn the_drain_has_an_end() {
    let site = Site::gunicorn(&["-k", "gthread"]);
    let mut forebay = Forebay::with(site.address(), &["--drain-deadline", "1s"]);
    let _wire = half_answered(&forebay, &Gate::closed());
    forebay.terminate();
    forebay.wait(); // the site holds its answer for longer than this waits
}

const VISITOR: &str = "203.0.113.10:64769";

fn home(forebay: &Forebay) -> Response {
    forebay.exchange(&over_tls("GET /", VISITOR, ""))
}

/// A request whose first event has come and whose last one the gate holds back.
fn half_answered(forebay: &Forebay, gate: &Gate) -> Wire {
    let mut wire = forebay.connect();
    wire.send(&message(&over_tls(&gate.events(), VISITOR, "")));
    assert_eq!(wire.head().status, 200);
    assert_eq!(wire.chunk().unwrap(), b"data: first\n\n");
    wire
}
