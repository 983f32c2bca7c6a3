//! How a command becomes a program: its words, its variables, its shell.
//!
//! Owns: when a shell is needed, what of a command the log shows.
//! Must not know: where commands are found, where servers listen.

use std::ffi::{OsStr, OsString};

use super::line::{self, Line};
use super::{Error, Variables};
use crate::telemetry::redacted;

/// A command as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Command {
    /// Words that are taken as they are.
    Words(Vec<OsString>),
    /// A line as in a Procfile.
    Line(String),
}

/// A command that is ready to be started.
#[derive(Debug)]
pub(super) struct Split {
    /// What stands before the program, as `NAME=value`.
    pub(super) variables: Vec<(OsString, OsString)>,
    /// The program and its arguments; a shell, where the line needs one.
    pub(super) words: Vec<OsString>,
    /// Whether a shell sees the line first, so that its words are not those of the program.
    pub(super) has_shell: bool,
}

impl Command {
    /// Splits it. `port` is what `$PORT` stands for.
    ///
    /// # Errors
    ///
    /// [`Error::Command`].
    pub(super) fn split(
        &self,
        name: &str,
        variables: &Variables,
        port: Option<u16>,
    ) -> Result<Split, Error> {
        let text = match self {
            Self::Words(words) => {
                return Ok(Split { variables: vec![], words: words.clone(), has_shell: false });
            }
            Self::Line(text) => text,
        };
        let look_up = |variable: &str| match port {
            Some(port) if variable == "PORT" => Some(port.to_string().into()),
            _ => variables.get(OsStr::new(variable)).cloned(),
        };
        match line::split(text, look_up) {
            Ok(Line::Simple { variables, words }) => {
                Ok(Split { variables, words, has_shell: false })
            }
            Ok(Line::NeedsShell) => {
                let words = vec!["sh".into(), "-c".into(), text.into()];
                Ok(Split { variables: vec![], words, has_shell: true })
            }
            Err(why) => Err(Error::Command { name: name.to_owned(), why: why.to_string() }),
        }
    }

    /// What the log shows of it.
    pub(super) fn written(&self) -> String {
        match self {
            // It may have passed a shell that put secrets into it.
            Self::Words(words) => {
                let words = words.iter().map(|word| line::quote(&word.to_string_lossy()));
                redacted(&words.collect::<Vec<_>>().join(" "))
            }
            Self::Line(text) => redacted(text),
        }
    }
}
