//! Workers, masters and connections die at random under load: the account at the end must be right.
//!
//! `FOREBAY_TEST_CHAOS_SECONDS` makes it longer, `FOREBAY_TEST_SEED` chooses other moments.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::forebay::Forebay;
use crate::support::load::{Account, Load, Moment, Outcome, Sent, pause};
use crate::support::notes::{Noted, Server};
use crate::support::random::{Random, number_from_environment};
use crate::support::relay::Relay;

#[test]
fn nothing_is_lost_when_workers_and_masters_die() {
    let flags = ["--workers=2", "--threads=4", "--preload", "--keep-alive=2"];
    let mut site = Noted::start(Server::Gunicorn("gthread"), &flags);
    let forebay = Forebay::with(site.address(), &[]);
    let mut chaos = Chaos::new();
    let all = chaos.under_load(&forebay, |chaos| match chaos.random.below(100) {
        0..35 => site.signal_worker("KILL", chaos.random.below(100)),
        35..60 => site.signal_worker("TERM", chaos.random.below(100)),
        60..80 => site.signal("HUP"),
        _ => {
            let begun = Moment::now();
            site.kill(chaos.random.happens(50));
            pause(chaos.random.milliseconds(100, 2500));
            site.start_again();
            site.wait();
            chaos.without_application.push((begun, Moment::now()));
        }
    });

    let account = Account::of(&all, &site.counts());
    let held = chaos.held(&all);
    let (seed, strikes, repeated) = (chaos.seed, chaos.strikes, forebay.repeated());
    eprintln!(
        "gthread, seed {seed}: {strikes} strikes; held {held}, repeated {repeated}; {account}"
    );
    assert_right(&account, strikes, 0);
    let outages = chaos.without_application.len();
    assert!(outages == 0 || held > 0, "{outages} times without a master, and nobody waited");
}

#[test]
fn nothing_is_lost_when_connections_are_cut() {
    let flags = ["--workers=4", "--preload"];
    let site = Noted::start(Server::Gunicorn("sync"), &flags);
    let mut chaos = Chaos::new();
    let relay = Relay::before(site.address(), 1, chaos.seed);
    let forebay = Forebay::with(relay.address(), &[]);
    let all = chaos.under_load(&forebay, |chaos| match chaos.random.below(100) {
        0..40 => site.signal_worker("KILL", chaos.random.below(100)),
        40..70 => site.signal_worker("TERM", chaos.random.below(100)),
        _ => site.signal("HUP"),
    });

    let account = Account::of(&all, &site.counts());
    let (seed, strikes, cuts) = (chaos.seed, chaos.strikes, relay.cuts());
    let repeated = forebay.repeated();
    eprintln!("sync, seed {seed}: {strikes} strikes, {cuts} cuts; repeated {repeated}; {account}");
    assert!(cuts > 0 && repeated > 0, "{cuts} cuts, {repeated} requests sent again");
    let given_up = forebay.given_up();
    assert!(given_up <= 2, "seldom is one struck three times: {account}");
    assert_right(&account, strikes + cuts, given_up);
}

/// What strikes, and when.
struct Chaos {
    seed: u64,
    random: Random,
    strikes: u64,
    /// From the death of a master to the first answer of the next.
    without_application: Vec<(Moment, Moment)>,
}

impl Chaos {
    fn new() -> Self {
        let seed = number_from_environment("FOREBAY_TEST_SEED", 1);
        Self { seed, random: Random::new(seed), strikes: 0, without_application: Vec::new() }
    }

    /// Lets clients ask without a pause while something strikes again and again.
    fn under_load(&mut self, forebay: &Forebay, mut strike: impl FnMut(&mut Self)) -> Vec<Sent> {
        let seconds = number_from_environment("FOREBAY_TEST_CHAOS_SECONDS", 25);
        let length = Duration::from_secs(seconds);
        let (begun, stop) = (Moment::now(), AtomicBool::new(false));
        let none = Duration::ZERO;
        let load = Load {
            clients: CLIENTS,
            burst: u64::MAX,
            pauses: 0,
            pause: none,
            work: 40,
            seed: self.seed,
        };
        thread::scope(|scope| {
            let clients = scope.spawn(|| load.run(forebay.address(), &stop));
            // Clients that nobody stops would keep a failure here from being told.
            let ender = Ender(&stop);
            while begun.elapsed() < length {
                pause(self.random.milliseconds(200, 1200));
                strike(self);
                self.strikes += 1;
            }
            drop(ender);
            clients.join().unwrap()
        })
    }

    /// Requests that began while there was no application and that were answered right.
    fn held(&self, all: &[Sent]) -> usize {
        let is_held = |sent: &&Sent| {
            let outages = &self.without_application;
            sent.outcome == Outcome::Right
                && outages.iter().any(|(from, to)| *from < sent.begun && sent.begun < *to)
        };
        all.iter().filter(is_held).count()
    }
}

struct Ender<'a>(&'a AtomicBool);

impl Drop for Ender<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// `given_up`: GETs that forebay rightly gave up, after three attempts.
fn assert_right(account: &Account, strikes: u64, given_up: usize) {
    assert!(account.right > 300 && strikes > 5, "hardly a test: {strikes} strikes, {account}");
    assert_eq!(account.lost_gets, given_up, "idempotent requests are sent again: {account}");
    assert_eq!(account.lost_posts, 0, "what was not sent yet can wait: {account}");
    assert_eq!(account.doubled_posts, 0, "{account}");
    assert_eq!((account.wrong, account.invented), (0, 0), "{account}");
    // Each strike meets at most what was in the application, and its backlog.
    let most = usize::try_from(strikes * CLIENTS).unwrap();
    assert!(account.uncertain_posts <= most, "{account}");
    // A worker can die between two writes of an answer; clients then see that it is cut.
    assert!(account.broken_off <= usize::try_from(strikes).unwrap(), "{account}");
}

const CLIENTS: u64 = 16;
