//! Workers that come and go, and connections that end just when they are reused: nothing is lost.
//!
//! Workers that end close connections of which they have not read; the kernel says so, and a POST on
//! such a one is sent again like all else. One thing no proxy can mend: uvicorn's workers also end some
//! quietly, as if all had been read. A POST on such a one gets FB-32, since it may have been processed.
//!
//! `FOREBAY_TEST_REQUESTS` sends more requests to each server, `FOREBAY_TEST_SEED` repeats a run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::forebay::Forebay;
use crate::support::load::{Account, Load, pause};
use crate::support::notes::{Noted, Server};
use crate::support::random::number_from_environment;

/// How a real deployment of a server replaces its workers.
#[derive(Clone, Copy, Debug)]
struct Deployment {
    server: Server,
    flags: &'static [&'static str],
    /// Seconds after which the server ends an idle connection.
    keep_alive: u64,
    /// Requests, where `FOREBAY_TEST_REQUESTS` says nothing: fewer where workers start slowly.
    requests: u64,
    /// Whether a worker that ends gives up a few requests in such a way that nobody can tell them from
    /// what it has processed: then a POST among them may not be sent again.
    ends_quietly: bool,
    /// Whether POSTs reuse connections.
    reuses: bool,
}

#[test]
fn nothing_is_lost_with_gunicorn_sync() {
    replaced_under_load(Deployment {
        server: Server::Gunicorn("sync"),
        flags: &["--workers=3", "--preload", "--max-requests=50", "--max-requests-jitter=10"],
        keep_alive: 2, // it keeps none alive, so this is only the length of a pause
        requests: 2000,
        ends_quietly: false,
        reuses: false,
    });
}

#[test]
fn nothing_is_lost_with_gunicorn_threads() {
    replaced_under_load(Deployment {
        server: Server::Gunicorn("gthread"),
        flags: &["--workers=2", "--threads=4", "--preload", "--max-requests=50", "--keep-alive=1"],
        keep_alive: 1,
        requests: 2000,
        ends_quietly: false,
        reuses: true,
    });
}

#[test]
fn nothing_is_lost_with_gunicorn_threads_that_are_reloaded() {
    // Without --preload a reload starts new workers that import everything.
    replaced_under_load(Deployment {
        server: Server::Gunicorn("gthread"),
        flags: &["--workers=2", "--threads=4", "--keep-alive=2"],
        keep_alive: 2,
        requests: 2000,
        ends_quietly: false,
        reuses: true,
    });
}

#[test]
fn nothing_is_lost_with_gunicorn_asgi() {
    replaced_under_load(Deployment {
        server: Server::GunicornAsgi,
        flags: &["--workers=2", "--preload", "--max-requests=50", "--keep-alive=1"],
        keep_alive: 1,
        requests: 2000,
        ends_quietly: false,
        reuses: false,
    });
}

#[test]
fn nothing_is_lost_with_uvicorn() {
    replaced_under_load(Deployment {
        server: Server::Uvicorn,
        flags: &["--workers=4", "--limit-max-requests=50", "--timeout-keep-alive=1"],
        keep_alive: 1,
        requests: 1000,
        ends_quietly: true,
        reuses: false,
    });
}

#[test]
fn nothing_is_lost_with_granian_wsgi() {
    replaced_under_load(Deployment { server: Server::Granian("wsgi"), ..GRANIAN });
}

#[test]
fn nothing_is_lost_with_granian_asgi() {
    replaced_under_load(Deployment { server: Server::Granian("asginl"), ..GRANIAN });
}

/// It replaces workers by their age, a minute at the least, and at HUP.
const GRANIAN: Deployment = Deployment {
    server: Server::Granian("wsgi"),
    flags: &["--workers=2", "--respawn-failed-workers", "--workers-lifetime=60"],
    keep_alive: 2, // it has no such limit, so this is only the length of a pause
    requests: 2000,
    ends_quietly: false,
    reuses: false,
};

/// Bursts and pauses as long as the server keeps a connection, with reloads; then the account.
fn replaced_under_load(deployment: Deployment) {
    let Deployment { server, flags, keep_alive, requests, ends_quietly, reuses } = deployment;
    let site = Noted::start(server, flags);
    // Longer than the server's, so that connections are reused that it may just be closing.
    let reckless = format!("{}ms", keep_alive * 1000 + 500);
    let reuse = if reuses { "all" } else { "safe" };
    let flags = ["--upstream-keep-alive", &reckless, "--upstream-reuse", reuse];
    let forebay = Forebay::with(site.address(), &flags);

    let requests = number_from_environment("FOREBAY_TEST_REQUESTS", requests);
    let pauses = (6 / keep_alive).max(requests / 2000);
    let load = Load {
        clients: CLIENTS,
        burst: requests.div_ceil(CLIENTS * (pauses + 1)),
        pauses,
        pause: Duration::from_secs(keep_alive),
        work: 2,
        seed: number_from_environment("FOREBAY_TEST_SEED", 1),
    };
    let done = AtomicBool::new(false);
    let all = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                pause(BETWEEN_RELOADS);
                site.signal("HUP");
            }
        });
        let all = load.run(forebay.address(), &AtomicBool::new(false));
        done.store(true, Ordering::Relaxed);
        all
    });

    let account = Account::of(&all, &site.counts());
    eprintln!("{server:?}: {account}");
    assert_eq!(account.sent as u64, load.burst * CLIENTS * (pauses + 1));
    // With FB-32 each, and none of them processed.
    let dropped = account.uncertain_posts - account.uncertain_and_processed;
    let dropped = if ends_quietly { dropped } else { 0 };
    assert!(dropped <= account.sent / 300, "{server:?}: {account}");
    assert_eq!(
        (account.right + dropped, account.invented),
        (account.sent, 0),
        "{server:?}: {account}"
    );
    assert_eq!((account.doubled_gets, account.doubled_posts), (0, 0), "{server:?}: {account}");
}

const CLIENTS: u64 = 16;
const BETWEEN_RELOADS: Duration = Duration::from_millis(2500);
