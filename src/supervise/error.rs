//! Why children cannot go on, in words.
//!
//! Owns: the texts, the exit code of each.
//! Must not know: how it came about.

use std::io;

use super::Exit;

/// Why children cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be started.
    #[error("cannot start `{name}`: `{program}`")]
    NotStarted {
        /// The process.
        name: String,
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// The release command failed.
    #[error("the release command `{command}` ended with {exit}{}", told(lines))]
    Release {
        /// The command.
        command: String,
        /// How it ended.
        exit: Exit,
        /// What it said last.
        lines: Vec<String>,
    },
    /// Nobody can say whether the release command is to run.
    #[error("the release command `{command}` did not run")]
    NoTurn {
        /// The command.
        command: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// What to do next.
        mend: String,
    },
    /// The release command took too long.
    #[error("the release command `{command}` took longer than --release-deadline{}", told(lines))]
    ReleaseDeadline {
        /// The command.
        command: String,
        /// What it said last.
        lines: Vec<String>,
    },
    /// A child that forebay cannot do without keeps dying.
    #[error("`{name}` ended {crashes} times in a row, at last with {exit}{}", told(lines))]
    Dying {
        /// The process.
        name: String,
        /// So often.
        crashes: u32,
        /// How it ended at last.
        exit: Exit,
        /// What it said last.
        lines: Vec<String>,
    },
    /// The system gives no handler for the end of children.
    #[error("the system gives no signal handler for children")]
    NoHandler(#[source] io::Error),
}

impl Error {
    /// The exit code of forebay: that of the child, and what a shell gives for one not started.
    pub fn code(&self) -> u8 {
        match self {
            Self::NotStarted { source, .. } => code_of(source),
            Self::Release { exit, .. } | Self::Dying { exit, .. } => exit.code(),
            Self::NoTurn { .. } | Self::ReleaseDeadline { .. } | Self::NoHandler(_) => 1,
        }
    }

    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::NotStarted { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "install the program, or name it with its path; if it is there, the interpreter in \
                 its first line is not: make the virtual environment anew"
            }
            Self::NotStarted { .. } => "make the program executable",
            Self::NoTurn { mend, .. } => mend,
            Self::Release { .. } | Self::Dying { .. } => "see what it wrote, in the log above",
            Self::ReleaseDeadline { .. } => "raise --release-deadline, or see what it waits for",
            Self::NoHandler(_) => "raise the limits of the container (ulimit, pids)",
        }
        .to_owned()
    }
}

/// The last lines of a child, below an error.
fn told(lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("; its last lines:\n       | {}", lines.join("\n       | "))
}

/// The code of a shell for a program that cannot be started (POSIX.1-2024, XCU 2.8.2).
fn code_of(why: &io::Error) -> u8 {
    if why.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}
