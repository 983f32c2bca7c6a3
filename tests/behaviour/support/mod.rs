//! The test world: forebay itself, an application behind it, raw wires before it.
//!
//! It starts, keeps and waits; what is right or wrong is for the tests to say.

pub(crate) mod application;
pub(crate) mod forebay;
pub(crate) mod http2;
pub(crate) mod wire;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use application::{Application, OK, Visit};
pub(crate) use forebay::{APP_SERVICE, Forebay, STREAMING, Start, run};
pub(crate) use http2::Http2;
pub(crate) use wire::{Answer, Wire};

/// How long anything may take that takes milliseconds on an idle machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A value that can be waited for.
#[derive(Debug, Default)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T: Debug> Watched<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.look());
        self.changed.notify_all();
        result
    }

    /// Waits until `wanted` finds something.
    pub(crate) fn wait<R>(&self, what: &str, mut wanted: impl FnMut(&T) -> Option<R>) -> R {
        let end = Instant::now() + PATIENCE;
        let mut value = self.look();
        loop {
            if let Some(found) = wanted(&value) {
                return found;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "{PATIENCE:?} passed without this: {what}; there is {value:?}"
            );
            value =
                self.changed.wait_timeout(value, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Something that a script waits for and a test opens.
#[derive(Debug, Default)]
pub(crate) struct Gate(Watched<bool>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.change(|is_open| *is_open = true);
    }

    pub(crate) fn wait(&self) {
        self.0.wait("the gate opens", |is_open| is_open.then_some(()));
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.0.look()
    }
}

/// Waits for a condition that nobody signals.
pub(crate) fn eventually<R>(what: &str, mut wanted: impl FnMut() -> Option<R>) -> R {
    let end = Instant::now() + PATIENCE;
    let clock = Watched::new(());
    loop {
        if let Some(found) = wanted() {
            return found;
        }
        assert!(Instant::now() < end, "{PATIENCE:?} passed without this: {what}");
        drop(clock.changed.wait_timeout(clock.look(), Duration::from_millis(5)));
    }
}

/// A path that no other test uses, in a directory of its own.
pub(crate) fn fresh_directory() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    // Short: the path of a unix socket has 107 bytes.
    let path = std::env::temp_dir().join(format!("fb-{}-{number}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Whether a process is there and has not ended.
pub(crate) fn lives(process: i64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

/// Bytes as text, for messages and for what is plain ASCII anyway.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Where `part` begins in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    bytes.windows(part.len()).position(|window| window == part)
}

/// Content that shows every loss and every exchange of bytes.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut bytes = Vec::with_capacity(length);
    for _ in 0..length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes.push(state.to_be_bytes()[0]);
    }
    bytes
}
