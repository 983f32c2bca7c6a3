//! One sync worker, gunicorn's default, is never held by a slow client; and what a visitor sees
//! while there is none.

use crate::support::browser::browse;
use crate::support::forebay::Forebay;
use crate::support::front_end::over_tls;
use crate::support::site::Site;
use crate::support::wire::{Response, Wire, message};
use crate::support::{eventually, free_port};

const VISITOR: &str = "203.0.113.10:64769";

/// More than the sockets on the way hold.
const LARGE: usize = 20_000_000;

fn home(forebay: &Forebay) -> Response {
    forebay.exchange(&over_tls("GET /", VISITOR, ""))
}

/// A site with one worker, on a unix socket, which holds little by itself, and on TCP.
fn one_worker() -> [Site; 2] {
    [Site::gunicorn_on_unix_socket(&["-k", "sync"]), Site::gunicorn(&["-k", "sync"])]
}

#[test]
fn a_slow_reader_costs_the_only_worker_nothing() {
    for site in one_worker() {
        let forebay = Forebay::with(site.address(), &["--concurrency", "1"]);
        let mut slow = forebay.connect();
        slow.send(&message(&over_tls(&format!("GET /download/?bytes={LARGE}"), VISITOR, "")));
        assert_eq!(slow.head().status, 200);
        // It has read nothing of the content, and the worker serves the next one.
        assert_eq!(home(&forebay).status, 200);
        let mut length = 0;
        while let Some(chunk) = slow.chunk() {
            for (place, byte) in chunk.iter().enumerate() {
                assert_eq!(usize::from(*byte), (length + place) % 251);
            }
            length += chunk.len();
        }
        assert_eq!(length, LARGE);
    }
}

#[test]
fn a_slow_sender_costs_the_only_worker_nothing() {
    for site in one_worker() {
        let forebay = Forebay::with(site.address(), &["--concurrency", "1"]);
        let body = vec![b'x'; 2_000_000];
        let head = format!("Content-Length: {}", body.len());
        let mut slow = forebay.connect();
        slow.send(&message(&over_tls("POST /echo/", VISITOR, &head)));
        slow.send(&body[..1_000_000]);
        assert_eq!(home(&forebay).status, 200);
        slow.send(&body[1_000_000..]);
        assert_eq!(slow.response().json()["body_bytes"], body.len());
    }
}

#[test]
fn more_visitors_than_workers_stand_in_line() {
    let site = Site::gunicorn(&["-k", "sync"]);
    let flags = ["--concurrency", "1", "--queue-limit", "2"];
    let forebay = Forebay::with(site.address(), &flags);
    let ask = || {
        let mut wire = forebay.connect();
        wire.send(&message(&over_tls("GET /slow/?seconds=1", VISITOR, "")));
        // The health check passes the line by, and comes after what was sent before it.
        assert_eq!(forebay.health().status, 200);
        wire
    };
    let mut wires: Vec<Wire> = (0..3).map(|_| ask()).collect();
    let refused = home(&forebay);
    assert_eq!(refused.field("x-forebay-error"), Some("FB-23"), "{refused:?}");
    for wire in &mut wires {
        assert_eq!(wire.response().text(), "slept 1.0\n");
    }
}

#[test]
fn a_browser_sees_that_the_site_starts_and_then_the_site() {
    let upstream = format!("127.0.0.1:{}", free_port());
    // The browser waits for the page's icon too, which is no page.
    let flags = ["--page-after", "100ms", "--hold-deadline", "500ms", "--scheme", "https"];
    let forebay = Forebay::started(&upstream, &flags, &[]);
    let page = browse(&format!("http://{}/", forebay.address()));
    assert!(page.contains("The site is starting.") && page.contains("FB-20"), "{page}");
    assert!(page.contains("http-equiv=\"refresh\""), "{page}");
    let _site = Site::gunicorn_at(&upstream, &[]);
    eventually("the health check says so", || (forebay.health().status == 200).then_some(()));
    let page = browse(&format!("http://{}/", forebay.address()));
    assert!(page.contains("home"), "{page}");
}
