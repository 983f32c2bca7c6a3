//! Asks the site's Python what only Python knows: Django's settings, gunicorn's configuration.
//!
//! Owns: which Python is asked, what may go wrong with it.
//! Must not know: what follows from an answer.

mod child;
pub mod details;
pub mod django;
pub mod gunicorn;
pub mod load;

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// By what the Python of a site is found.
#[derive(Clone, Debug, Default)]
pub struct Interpreter {
    /// Where the application is loaded.
    pub directory: PathBuf,
    /// The program that is to run it: its first line names a Python, or it is one.
    pub program: Option<PathBuf>,
    /// `VIRTUAL_ENV`.
    pub virtual_environment: Option<PathBuf>,
}

/// Why Python gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// It could not be started.
    #[error("cannot start {python} ({source})")]
    NotStarted {
        /// The program.
        python: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended without an answer.
    #[error("{why}")]
    Ended {
        /// The last line that it wrote.
        why: String,
    },
    /// It took too long.
    #[error("it took longer than {} s", deadline.as_secs_f32())]
    TookTooLong {
        /// The time allowed.
        deadline: Duration,
    },
    /// forebay was told to stop meanwhile.
    #[error("forebay was told to stop")]
    Stopped,
    /// It answered something else.
    #[error("its answer is not understood ({0})")]
    Answer(serde_json::Error),
}

/// The Python that the site runs on.
fn python(interpreter: &Interpreter) -> PathBuf {
    let in_environment = |folder: &Path| {
        let python = folder.join("bin/python");
        python.exists().then_some(python)
    };
    let named = interpreter.program.as_deref().and_then(python_of);
    let active = || interpreter.virtual_environment.as_deref().and_then(in_environment);
    let beside = || {
        let names = ["antenv", ".venv", "venv"].into_iter();
        names
            .map(|name| interpreter.directory.join(name))
            .find_map(|folder| in_environment(&folder))
    };
    named.or_else(active).or_else(beside).unwrap_or_else(|| "python3".into())
}

/// The Python that a program is, or that its first line names.
fn python_of(program: &Path) -> Option<PathBuf> {
    let is_python =
        |path: &Path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"python"));
    if is_python(program) {
        return Some(program.to_owned());
    }
    let start = child::start_of(program)?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    // `#!/usr/bin/env python3` names a program, `#!/site/antenv/bin/python` a path.
    let word = line.split(|byte| *byte == b' ').rfind(|word| !word.is_empty())?;
    let path = PathBuf::from(OsStr::from_bytes(word.trim_ascii()));
    is_python(&path).then_some(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_python_is_the_one_that_runs_the_site() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["antenv/bin", "active/bin"] {
            fs::create_dir_all(at(name)).unwrap();
            fs::write(at(name).join("python"), "").unwrap();
        }
        let directory = folder.path().to_owned();
        let mut interpreter = Interpreter { directory, ..Interpreter::default() };
        assert_eq!(python(&interpreter), at("antenv/bin/python"));
        interpreter.virtual_environment = Some(at("active"));
        assert_eq!(python(&interpreter), at("active/bin/python"));
        for (line, found) in [
            ("#!/site/bin/python3.11\n", "/site/bin/python3.11"),
            ("#!/usr/bin/env python3\n", "python3"),
        ] {
            fs::write(at("gunicorn"), line).unwrap();
            interpreter.program = Some(at("gunicorn"));
            assert_eq!(python(&interpreter), PathBuf::from(found));
        }
        fs::write(at("gunicorn"), "#!/bin/sh\n").unwrap();
        assert_eq!(python(&interpreter), at("active/bin/python"));
        interpreter.program = Some("python3.12".into());
        assert_eq!(python(&interpreter), PathBuf::from("python3.12"));
    }
}
