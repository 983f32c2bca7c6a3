//! The parts of the benchmarks: those of `load` in the order in which they are needed, then those
//! of the others.

pub(crate) mod options;
pub(crate) mod machine;
pub(crate) mod process;
pub(crate) mod wire;
pub(crate) mod upstream;
pub(crate) mod front;
pub(crate) mod relay;
pub(crate) mod peer;
pub(crate) mod check;
pub(crate) mod rounds;
pub(crate) mod crowd;
pub(crate) mod openloop;
pub(crate) mod standing;
pub(crate) mod numbers;
pub(crate) mod report;
pub(crate) mod chart;
pub(crate) mod count;
pub(crate) mod instructions;
pub(crate) mod trace;
pub(crate) mod site;
pub(crate) mod closer;
pub(crate) mod clients;
pub(crate) mod attackers;
pub(crate) mod statics;

use std::fmt::Display;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Why the benchmark cannot go on, in words for whoever started it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Failure(String);

impl Failure {
    /// A failure with these words.
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Says what was tried when it failed.
pub(crate) trait Tried<T> {
    /// `what` completes "cannot …".
    fn tried(self, what: &str) -> Result<T, Failure>;
}

impl<T, E: Display> Tried<T> for Result<T, E> {
    fn tried(self, what: &str) -> Result<T, Failure> {
        self.map_err(|why| Failure(format!("cannot {what}: {why}")))
    }
}

/// The longest that a program may take to start, answer or end.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Asks every so often until there is an answer.
pub(crate) fn eventually<T>(
    pause: Duration,
    mut ask: impl FnMut() -> Option<T>,
) -> Result<T, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if let Some(answer) = ask() {
            return Ok(answer);
        }
        std::thread::park_timeout(pause);
    }
    Err(Failure(format!("nothing happened within {} s", DEADLINE.as_secs())))
}

/// Another part that a benchmark's own program plays, by its first argument.
pub(crate) type Role<'a> = (&'a str, fn(&[String]) -> Result<(), Failure>);

/// Runs a benchmark's program: one of its roles, or `measure`.
pub(crate) fn play(
    name: &str,
    roles: &[Role<'_>],
    measure: impl FnOnce(&[String]) -> Result<(), Failure>,
) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let role = roles.iter().find(|(role, _)| arguments.first().is_some_and(|first| first == role));
    let result = if let Some((_, run)) = role {
        run(&arguments)
    } else if arguments.iter().any(|argument| argument == "--bench") {
        measure(&arguments)
    } else {
        // `cargo test --all-targets` starts this program too.
        println!("nothing is measured: this is started by `cargo bench --bench {name}`");
        Ok(())
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Ends, in a program that plays a part, when whoever started it closes its standard input or ends.
pub(crate) fn leash() -> tokio::sync::mpsc::Receiver<()> {
    let (closed, leash) = tokio::sync::mpsc::channel(1);
    // Blocking until the end of input on a thread of its own is cheaper than asking.
    std::thread::spawn(move || {
        drop(std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()));
        drop(closed);
    });
    leash
}

/// Lets time pass; here that is what is waited for.
pub(crate) fn wait(time: Duration) {
    let begun = Instant::now();
    while let Some(left) = time.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}
