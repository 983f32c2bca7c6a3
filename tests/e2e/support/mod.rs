//! The test world: programs, the database, the site, forebay, raw bytes; no assertions.

pub(crate) mod browser;
pub(crate) mod database;
pub(crate) mod forebay;
pub(crate) mod front_end;
pub(crate) mod start;
pub(crate) mod gate;
pub(crate) mod process;
pub(crate) mod site;
pub(crate) mod notes;
pub(crate) mod load;
pub(crate) mod relay;
pub(crate) mod secure;
pub(crate) mod random;
pub(crate) mod tree;
pub(crate) mod packages;
pub(crate) mod wire;

use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

/// The longest that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer.
#[expect(clippy::disallowed_types, reason = "other programs run on the real clock")]
pub(crate) fn eventually<T>(condition: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = std::time::Instant::now();
    while start.elapsed() < DEADLINE {
        if let Some(answer) = ask() {
            return answer;
        }
        thread::park_timeout(PAUSE);
    }
    panic!("after {DEADLINE:?} still not: {condition}");
}

/// A port that nobody listens on and that the kernel gives to no outgoing connection.
pub(crate) fn free_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + u16::try_from(std::process::id() % 100).unwrap() * 100;
    loop {
        let port = first + TAKEN.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A number that no other test of this run has.
pub(crate) fn fresh_number() -> u16 {
    static LAST: AtomicU16 = AtomicU16::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

/// An address that no other test of this run uses.
pub(crate) fn fresh_address() -> String {
    static LAST: AtomicU8 = AtomicU8::new(0);
    format!("198.18.0.{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// The folder of the site and of this test's scripts.
pub(crate) fn sources() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e"))
}

/// A program of the Python environment that `tests/run` makes.
pub(crate) fn python_program(name: &str) -> String {
    let path = format!("{}/target/e2e/venv/bin/{name}", env!("CARGO_MANIFEST_DIR"));
    assert!(
        PathBuf::from(&path).exists(),
        "`{path}` is missing\nmend: run tests/run, which makes it"
    );
    path
}
