//! `forebay run` in a checkout of the site.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use super::process::Process;
use super::wire::{Response, Wire};
use super::{eventually, free_port, fresh_number, python_program, sources};

/// forebay and the site that it started.
pub(crate) struct Started {
    process: Process,
    address: String,
    folder: PathBuf,
    tmp: PathBuf,
}

/// An empty directory for a site.
pub(crate) fn fresh_folder() -> PathBuf {
    let name = format!("forebay-run-{}-{}", std::process::id(), fresh_number());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Where the programs of the virtual environment are, and those of the system.
pub(crate) fn path() -> String {
    let gunicorn = python_program("gunicorn");
    format!("{}:/usr/bin:/bin", Path::new(&gunicorn).parent().unwrap().display())
}

impl Started {
    /// In a directory with the site and a Procfile, if any; with a command behind `--`, if any.
    pub(crate) fn new(procfile: &str, command: &[&str], variables: &[(&str, &str)]) -> Self {
        let procfile = (!procfile.is_empty()).then_some(("Procfile", procfile));
        Self::with(procfile.as_slice(), command, variables)
    }

    /// In a directory with the site and files of its own.
    pub(crate) fn with(
        files: &[(&str, &str)],
        command: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let folder = fresh_folder();
        fs::create_dir_all(folder.join("collected")).unwrap();
        fs::write(folder.join("collected/app.css"), "body {}").unwrap();
        for name in ["manage.py", "mysite"] {
            symlink(sources().join("site").join(name), folder.join(name)).unwrap();
        }
        for (name, text) in files {
            fs::write(folder.join(name), text).unwrap();
        }
        let small = [("DJANGO_SETTINGS_MODULE", "mysite.small")];
        Self::within(folder, command, &[&small, variables].concat())
    }

    /// In a directory that is there, whatever is in it.
    pub(crate) fn within(folder: PathBuf, command: &[&str], variables: &[(&str, &str)]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let mut process = Process::command(env!("CARGO_BIN_EXE_forebay"));
        process.args(["run", "--listen", &address, "--host", "www.example.com"]);
        if !command.is_empty() {
            process.arg("--").args(command);
        }
        let tmp = folder.with_extension("tmp");
        fs::create_dir_all(&tmp).unwrap();
        process.env("PATH", path()).env("PYTHONDONTWRITEBYTECODE", "1").env("TMPDIR", &tmp);
        process.envs(variables.iter().copied()).current_dir(&folder);
        let mut process = Process::start("run", process);
        eventually("forebay listens", || {
            process.assert_running();
            Wire::connect(&address).ok()
        });
        Self { process, address, folder, tmp }
    }

    /// Its directory.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is in its directory for temporary files.
    pub(crate) fn left_in_tmp(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.tmp).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> Response {
        let mut wire = Wire::connect(&self.address).unwrap();
        wire.exchange(&format!("GET {path} HTTP/1.1\nHost: www.example.com"))
    }

    /// What it has written so far.
    pub(crate) fn written(&self) -> String {
        self.process.written()
    }

    /// Waits until it has written something so often.
    pub(crate) fn wait_for(&self, part: &str, count: usize) {
        eventually(part, || (self.written().matches(part).count() >= count).then_some(()));
    }

    /// Sends forebay a signal.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Kills forebay and whatever it started, at once.
    pub(crate) fn kill(&mut self) {
        while self.processes() > 0 {
            for process in self.ids() {
                Command::new("sh").args(["-c", "kill -KILL $1", "sh", &process]).output().unwrap();
            }
        }
        self.wait();
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }

    /// How many processes run in its directory: forebay and whatever it started.
    pub(crate) fn processes(&self) -> usize {
        self.ids().len()
    }

    fn ids(&self) -> Vec<String> {
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let is_here = |path: PathBuf| fs::read_link(path).is_ok_and(|it| it == self.folder);
        let here = entries.filter(|entry| is_here(entry.path().join("cwd")));
        here.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.processes() > 0 {
            // The second one ends it and its children at once.
            self.signal("TERM");
            self.signal("INT");
            self.wait();
        }
        drop(fs::remove_dir_all(&self.folder));
        drop(fs::remove_dir_all(&self.tmp));
    }
}
