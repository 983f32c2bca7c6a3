//! The process that answers.
//!
//! Owns: its life, its deadline, what it may write.
//! Must not know: what is asked, what the answer means.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::time::Instant;

use super::{Failure, Interpreter, python};
use crate::telemetry::{OWN_SECRETS, redacted};

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Script<'a> {
    /// Its text, which prints JSON between two marks.
    pub(super) text: &'a str,
    /// What it finds in `sys.argv`.
    pub(super) arguments: &'a [OsString],
    /// What is added to the environment.
    pub(super) variables: &'a [(OsString, OsString)],
}

/// Runs a script with the site's Python; returns what stands between its marks.
pub(super) fn ask(
    interpreter: &Interpreter,
    script: Script<'_>,
    deadline: Duration,
    is_given_up: &AtomicBool,
) -> Result<Value, Failure> {
    let python = python(interpreter);
    let mut command = Command::new(&python);
    command.args(["-c", script.text]).args(script.arguments).current_dir(&interpreter.directory);
    for name in OWN_SECRETS {
        command.env_remove(name);
    }
    command.envs(script.variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|source| Failure::NotStarted { python, source })?;
    let (out, words) = (read(child.stdout.take()), read(child.stderr.take()));
    let ends = Instant::now() + deadline;
    let written = loop {
        match out.recv_timeout(PAUSE) {
            Err(RecvTimeoutError::Timeout)
                if Instant::now() < ends && !is_given_up.load(Ordering::Relaxed) => {}
            written => break written,
        }
    };
    end(&mut child);
    let Ok(written) = written else {
        return Err(if is_given_up.load(Ordering::Relaxed) {
            Failure::Stopped
        } else {
            Failure::TookTooLong { deadline }
        });
    };
    if let Some(answer) = String::from_utf8_lossy(&written).split(MARK).nth(1) {
        return serde_json::from_str(answer).map_err(Failure::Answer);
    }
    let words = words.recv_timeout(LAST_WORDS).unwrap_or_default();
    let words = String::from_utf8_lossy(&words);
    let why = words.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(Failure::Ended { why: redacted(why.unwrap_or("it ended without a word")) })
}

/// The beginning of a file, long enough for its first line.
pub(super) fn start_of(path: &Path) -> Option<Vec<u8>> {
    let mut start = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(256).read_to_end(&mut start).ok()?;
    Some(start)
}

/// Reads a pipe to its end in a thread of its own, and keeps the end of what comes.
fn read(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = sync_channel(1);
    let reading = move || {
        let mut kept = Vec::new();
        let mut piece = [0; 4096];
        if let Some(mut pipe) = pipe {
            while let Ok(length @ 1..) = pipe.read(&mut piece) {
                kept.extend_from_slice(piece.get(..length).unwrap_or_default());
                let surplus = kept.len().saturating_sub(KEPT);
                kept.drain(..surplus);
            }
        }
        // Nobody waits any more where it took too long.
        drop(sender.try_send(kept));
    };
    drop(thread::Builder::new().name("forebay-python".to_owned()).spawn(reading));
    receiver
}

/// Ends the process and whatever it started.
fn end(child: &mut Child) {
    // It may have ended already; it is still there to be waited for.
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    drop(child.wait());
}

/// What a script writes before and behind its answer.
const MARK: &str = "\n<forebay-asks>\n";

/// The most bytes that are kept of what the process writes.
const KEPT: usize = 64 * 1024;

/// Between two looks at whether it is given up.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the last words may take once the process has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SCRIPT: Script<'_> = Script { text: "", arguments: &[], variables: &[] };

    fn standing(python: &Path) -> Interpreter {
        let program = Some(python.to_owned());
        Interpreter { directory: "/".into(), program, ..Interpreter::default() }
    }

    /// Asks a program that stands for Python.
    fn asked(script: &str, deadline: Duration) -> Result<Value, Failure> {
        let folder = tempfile::tempdir().unwrap();
        let python = folder.path().join("python");
        fs::write(&python, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
        ask(&standing(&python), SCRIPT, deadline, &AtomicBool::new(false))
    }

    #[test]
    fn the_answer_is_what_stands_between_the_marks() {
        let script = "echo noise\nprintf '\\n<forebay-asks>\\n{}\\n<forebay-asks>\\n'; echo noise";
        assert_eq!(asked(script, Duration::from_secs(10)).unwrap(), serde_json::json!({}));
    }

    #[test]
    fn a_failed_import_is_told_by_its_last_line_without_secrets() {
        let script =
            "echo Traceback >&2; echo 'ValueError: postgres://me:secret@host/db' >&2; exit 1";
        let why = asked(script, Duration::from_secs(10)).unwrap_err().to_string();
        assert!(why.contains("ValueError: postgres://"), "{why}");
        assert!(!why.contains("secret"), "{why}");
    }

    #[test]
    fn who_takes_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let noted = folder.path().join("pid");
        let script = format!("sleep 100 & echo $! > {}; wait", noted.display());
        let why = asked(&script, Duration::from_secs(1)).unwrap_err();
        assert!(matches!(why, Failure::TookTooLong { .. }), "{why}");
        let id = fs::read_to_string(noted).unwrap();
        let state = fs::read_to_string(format!("/proc/{}/stat", id.trim()));
        let is_gone = state.map_or(true, |stat| stat.contains(") Z "));
        assert!(is_gone, "the grandchild still runs");
    }

    #[test]
    fn a_missing_python_is_told_by_its_name() {
        let interpreter = standing(Path::new("/none/python"));
        let why = ask(&interpreter, SCRIPT, Duration::from_secs(1), &AtomicBool::new(false));
        assert!(matches!(why, Err(Failure::NotStarted { .. })));
    }
}
