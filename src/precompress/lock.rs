//! One run at a time in a directory.
//!
//! Owns: the lock, how long it is waited for.
//! Must not know: what is done meanwhile.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::Error;

/// How long another run may take: longer than compressing any site takes.
const DEADLINE: Duration = Duration::from_mins(30);
/// How often it is looked.
const INTERVAL: Duration = Duration::from_millis(50);

/// Keeps other runs out until it is dropped. The lock is on the directory itself, so that nothing
/// is left of it, and the system lifts it when the process ends, however that happens.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "it is held, not used")] File);

impl Lock {
    /// Waits for other runs to end; `tell` is called once if there are any.
    pub(super) fn of(directory: &Path, mut tell: impl FnMut()) -> Result<Self, Error> {
        let file = File::open(directory)
            .map_err(|source| Error::List { path: directory.to_owned(), source })?;
        let began = Instant::now();
        let mut has_told = false;
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            if began.elapsed() > DEADLINE {
                return Err(Error::Busy { path: directory.to_owned() });
            }
            if !has_told {
                tell();
                has_told = true;
            }
            thread::park_timeout(INTERVAL);
        }
        // Where the file system has no locks, two runs at once do the work twice and hinder each
        // other; what they publish is whole and right all the same.
        Ok(Self(file))
    }
}
