//! Loads the application once, to know how long that takes, and how much memory.
//!
//! Owns: what is measured.
//! Must not know: what follows from it.

use std::ffi::OsString;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::django::{self, Question};
use super::{Failure, child};

/// What loading the application took.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Loaded {
    /// From the first import to the last.
    pub time: Duration,
    /// The most memory that the process had, in bytes.
    pub peak_bytes: u64,
}

/// Loads the application as a worker would, in a process that has ended afterwards, within a second
/// of `deadline`. Without the name of its module Django alone is set up.
///
/// # Errors
///
/// [`Failure`]: [`Failure::Ended`] has the last line of a traceback.
pub fn measure(question: &Question, deadline: Duration) -> Result<Loaded, Failure> {
    let settings = django::settings_module(question).map(OsString::from);
    let variables: Vec<_> =
        settings.map(|module| (OsString::from(django::NAME), module)).into_iter().collect();
    let arguments: Vec<_> = question.module.iter().map(OsString::from).collect();
    let script = child::Script { text: LOAD, arguments: &arguments, variables: &variables };
    let answer = child::ask(&question.interpreter, script, deadline, &AtomicBool::new(false))?;
    let number = |name: &str| answer.get(name).cloned().unwrap_or_default();
    let seconds = number("seconds").as_f64().unwrap_or_default();
    Ok(Loaded {
        time: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        peak_bytes: number("peak_bytes").as_u64().unwrap_or_default(),
    })
}

const LOAD: &str = include_str!("load.py");
