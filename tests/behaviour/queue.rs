//! At most so many requests are in the application; the others stand in line.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Application, Forebay, Gate, OK, Watched, Wire, eventually};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: www.example.com\r\n\r\n")
}

/// Answers `/held…` when the gate is open, everything else at once.
fn holding(gate: &Arc<Gate>) -> Application {
    let gate = Arc::clone(gate);
    Application::playing(move |visit| {
        while let Some((head, _)) = visit.request() {
            if head.contains(" /held") {
                gate.wait();
            }
            visit.send(OK);
        }
    })
}

fn arrives(application: &Application, path: &str) {
    application.wait_for(path, |kept| {
        let wanted = format!(" {path} ");
        kept.visits
            .iter()
            .any(|visit| crate::support::find(&visit.bytes, wanted.as_bytes()).is_some())
            .then_some(())
    });
}

fn paths(application: &Application) -> Vec<String> {
    let text = application.heard_text().concat();
    let lines = text.split("\r\n").filter(|line| line.ends_with(" HTTP/1.1"));
    lines.map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn who_comes_first_is_served_first() {
    let gate = Arc::new(Gate::default());
    let order = Arc::new(Watched::new(Vec::new()));
    let (opened, kept) = (Arc::clone(&gate), Arc::clone(&order));
    let application = Application::playing(move |visit| {
        while let Some((head, _)) = visit.request() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            kept.change(|order| order.push(path));
            opened.wait();
            visit.send(OK);
        }
    });
    let forebay = Forebay::with(&application, &["--concurrency", "1"]).ready();
    let mut wires = Vec::new();
    for number in 0..5 {
        let mut wire = forebay.connect();
        wire.send(get(&format!("/{number}")));
        if number == 0 {
            arrives(&application, "/0");
        } else {
            // Each has been read when a later request on another connection is answered.
            assert_eq!(health(&forebay), 200);
        }
        wires.push(wire);
    }
    assert_eq!(order.look().len(), 1, "one place, one request");
    gate.open();
    for wire in &mut wires {
        assert_eq!(wire.answer().text(), "ok");
    }
    assert_eq!(*order.look(), ["/0", "/1", "/2", "/3", "/4"]);
    let line = forebay.line_of("/4");
    assert!(line["queued_us"].as_u64() > Some(0), "{line}");
    // Taking a free place may take a microsecond.
    let first = forebay.line_of("/0")["queued_us"].as_u64();
    assert!(first < line["queued_us"].as_u64() && first < Some(1000), "{first:?}");
}

/// Asks the health path: a probe does not queue.
fn health(forebay: &Forebay) -> u16 {
    forebay.get("/healthz").status
}

#[test]
fn a_full_line_turns_away_at_once() {
    let gate = Arc::new(Gate::default());
    let application = holding(&gate);
    let flags = ["--concurrency", "1", "--queue-limit", "2"];
    let mut forebay = Forebay::with(&application, &flags).ready();
    let mut wires: Vec<Wire> = Vec::new();
    for number in 0..3 {
        let mut wire = forebay.connect();
        wire.send(get(&format!("/held{number}")));
        assert_eq!(health(&forebay), 200, "probes do not queue");
        wires.push(wire);
    }
    for request in [
        get("/late"),
        // Its content is not waited for.
        "POST /late HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1000\r\n\r\n".to_owned(),
    ] {
        let answer = forebay.exchange(request);
        assert_eq!((answer.status, answer.code()), (503, Some("FB-23")));
        assert_eq!(answer.field("retry-after"), Some("5"));
    }
    gate.open();
    for wire in &mut wires {
        assert_eq!(wire.answer().text(), "ok");
    }
    assert_eq!(forebay.get("/after").text(), "ok");
    assert!(!paths(&application).contains(&"/late".to_owned()));
    drop(wires);
    forebay.terminate();
    assert_eq!(forebay.end().code(), Some(0));
    let last = forebay.lines().pop().unwrap();
    assert!(last.contains("FB-23 2") && last.contains(r#""queued":2"#), "{last}");
}

#[test]
fn without_a_line_nobody_waits() {
    let gate = Arc::new(Gate::default());
    let application = holding(&gate);
    let flags = ["--concurrency", "1", "--queue-limit", "0"];
    let forebay = Forebay::with(&application, &flags).ready();
    let mut wire = forebay.connect();
    wire.send(get("/held"));
    arrives(&application, "/held");
    assert_eq!(forebay.get("/late").code(), Some("FB-23"));
    gate.open();
    assert_eq!(wire.answer().text(), "ok");
    assert_eq!(forebay.get("/after").text(), "ok");
}

#[test]
fn nobody_waits_longer_than_the_deadline() {
    let gate = Arc::new(Gate::default());
    let application = holding(&gate);
    let flags = ["--concurrency", "1", "--queue-deadline", "300ms"];
    let forebay = Forebay::with(&application, &flags).ready();
    let mut wire = forebay.connect();
    wire.send(get("/held"));
    arrives(&application, "/held");
    let answer = forebay.get("/late");
    assert_eq!((answer.status, answer.code()), (503, Some("FB-24")));
    assert_eq!(answer.field("retry-after"), Some("5"));
    let line = forebay.line_of("/late");
    assert!(line["queued_us"].as_u64() >= Some(300_000), "{line}");
    gate.open();
    assert_eq!(wire.answer().text(), "ok");
}

#[test]
fn who_leaves_the_line_is_forgotten() {
    let gate = Arc::new(Gate::default());
    let application = holding(&gate);
    let flags = ["--concurrency", "1", "--queue-limit", "1"];
    let forebay = Forebay::with(&application, &flags).ready();
    let mut first = forebay.connect();
    first.send(get("/held"));
    arrives(&application, "/held");
    for request in [get("/left"), "POST /left HTTP/1.1\r\nHost: a.example\r\n\r\n".to_owned()] {
        let before = forebay.requests().len();
        let mut wire = forebay.connect();
        wire.send(request);
        assert_eq!(health(&forebay), 200);
        drop(wire);
        eventually("it is forgotten", || {
            let lines = forebay.requests();
            lines[before..].iter().any(|line| line["code"] == "FB-40").then_some(())
        });
    }
    let mut last = forebay.connect();
    last.send(get("/last"));
    gate.open();
    assert_eq!((first.answer().text(), last.answer().text()), ("ok".into(), "ok".into()));
    assert_eq!(paths(&application), ["/held", "/last"]);
}

#[test]
fn the_limit_holds_over_all_threads() {
    let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let gate = Arc::new(Gate::default());
    let (now, peak, opened) = (Arc::clone(&inside), Arc::clone(&most), Arc::clone(&gate));
    let application = Application::playing(move |visit| {
        while visit.request().is_some() {
            let count = now.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(count, Ordering::SeqCst);
            opened.wait();
            now.fetch_sub(1, Ordering::SeqCst);
            visit.send(OK);
        }
    });
    let flags = ["--threads", "4", "--concurrency", "3"];
    let forebay = Forebay::with(&application, &flags).ready();
    let mut wires: Vec<Wire> = (0..24).map(|_| forebay.connect()).collect();
    for wire in &mut wires {
        wire.send(get("/a"));
    }
    eventually("three are in", || (inside.load(Ordering::SeqCst) == 3).then_some(()));
    gate.open();
    for wire in &mut wires {
        assert_eq!(wire.answer().text(), "ok");
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[test]
fn a_tunnel_takes_no_place() {
    let application = Application::playing(|visit| {
        while let Some((head, _)) = visit.request() {
            if head.contains("upgrade: x") {
                visit.send(
                    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
                );
                visit.rest();
                return;
            }
            visit.send(OK);
        }
    });
    let forebay = Forebay::with(&application, &["--concurrency", "1"]).ready();
    let mut tunnel = forebay.connect();
    tunnel.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n");
    assert_eq!(tunnel.head().status, 101);
    assert_eq!(forebay.get("/a").text(), "ok");
}
