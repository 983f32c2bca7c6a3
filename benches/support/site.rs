//! gunicorn with the small site of the end-to-end tests, which writes down what it does.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::front::{Place, free_port};
use super::process::Process;
use super::{Failure, Tried as _, eventually, wire};

/// gunicorn, running.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) port: u16,
    notes: PathBuf,
    _process: Process,
}

impl Site {
    /// Starts it with more flags and waits until it answers.
    pub(crate) fn start(place: &Place, flags: &[&str]) -> Result<Self, Failure> {
        let port = free_port()?;
        let notes = place.directory.join(format!("notes-{port}"));
        File::create(&notes).tried("make a file for notes")?;
        let mut command = gunicorn(place.load_cpu, place.files, port)?;
        command.env("NOTES", &notes).args(flags).arg("mysite.notes:application");
        let process = Process::start(command, &place.directory.join("gunicorn.log"))?;
        eventually(Duration::from_millis(20), || {
            let mut stream = wire::connect(port).ok()?;
            wire::exchange(&mut stream, &wire::request("/")).ok()
        })?;
        Ok(Self { port, notes, _process: process })
    }

    /// How often each request was processed, by its method and number.
    pub(crate) fn counts(&self) -> Result<HashMap<String, usize>, Failure> {
        let mut counts = HashMap::new();
        for line in fs::read_to_string(&self.notes).tried("read the site's notes")?.lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        Ok(counts)
    }
}

/// gunicorn among the sites of the end-to-end tests; which one is for the caller to say.
pub(crate) fn gunicorn(cpu: usize, files: usize, port: u16) -> Result<Command, Failure> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/e2e/venv/bin/gunicorn");
    if !program.exists() {
        let mend = "gunicorn is missing: run `tests/run`, which puts it below target/e2e";
        return Err(Failure::new(mend));
    }
    let mut command = Process::command(&program, cpu, files);
    command
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/site"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["--no-control-socket", "--log-level", "warning"])
        .args(["--bind", &format!("127.0.0.1:{port}")]);
    Ok(command)
}

impl Drop for Site {
    fn drop(&mut self) {
        // It lies in the folder for such files either way.
        drop(fs::remove_file(&self.notes));
    }
}
