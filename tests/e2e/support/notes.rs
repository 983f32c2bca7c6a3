//! The small site that writes down every request, on any server.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;

use super::process::Process;
use super::wire::Wire;
use super::{eventually, free_port, fresh_number, python_program, sources};

/// The site on a server, and what it wrote down.
pub(crate) struct Noted {
    server: Server,
    flags: Vec<String>,
    address: String,
    file: PathBuf,
    process: Process,
}

/// What runs it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Server {
    /// gunicorn's worker class of this name, for WSGI.
    Gunicorn(&'static str),
    /// gunicorn's ASGI worker.
    GunicornAsgi,
    Uvicorn,
    /// granian, with an interface.
    Granian(&'static str),
}

impl Server {
    fn program(self) -> &'static str {
        match self {
            Self::Gunicorn(_) | Self::GunicornAsgi => "gunicorn",
            Self::Uvicorn => "uvicorn",
            Self::Granian(_) => "granian",
        }
    }

    /// What makes it listen on a port, and its name for the site.
    fn arguments(self, port: &str) -> Vec<String> {
        let gunicorn = |class, site| {
            // The control socket has one path for all of a user's gunicorns.
            let bind = format!("--bind=127.0.0.1:{port}");
            ["--no-control-socket", "-k", class, &bind, site].map(str::to_owned).to_vec()
        };
        match self {
            Self::Gunicorn(class) => gunicorn(class, WSGI),
            Self::GunicornAsgi => gunicorn("asgi", ASGI),
            Self::Uvicorn => ["--port", port, ASGI].map(str::to_owned).to_vec(),
            Self::Granian(interface) => {
                let site = if interface == "wsgi" { WSGI } else { ASGI };
                ["--port", port, "--interface", interface, site].map(str::to_owned).to_vec()
            }
        }
    }
}

impl Noted {
    /// Starts the site on a free port of 127.0.0.1, with more flags for the server.
    pub(crate) fn start(server: Server, flags: &[&str]) -> Self {
        let port = free_port();
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "notes-{}-{}",
            std::process::id(),
            fresh_number()
        ));
        File::create(&file).unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let address = format!("127.0.0.1:{port}");
        let process = run(server, &flags, &address, &file);
        let mut noted = Self { server, flags, address, file, process };
        noted.wait();
        noted
    }

    /// Where it listens, in the form of `--upstream`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a signal to the master.
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Sends a signal to one of its workers, if it has any now.
    pub(crate) fn signal_worker(&self, signal: &str, choice: u64) {
        self.process.signal_child(signal, choice);
    }

    /// Kills the master with all its workers, or leaves the workers to find out by themselves.
    pub(crate) fn kill(&mut self, with_workers: bool) {
        if with_workers {
            self.process.kill();
        } else {
            self.process.signal("KILL");
            self.process.wait();
            eventually("nobody listens", || Wire::connect(&self.address).is_err().then_some(()));
        }
    }

    /// Starts a new master after the old one was killed; it need not listen yet.
    pub(crate) fn start_again(&mut self) {
        self.process = run(self.server, &self.flags, &self.address, &self.file);
    }

    /// Waits until it answers.
    pub(crate) fn wait(&mut self) {
        eventually("the site answers", || {
            self.process.assert_running();
            let request = b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
            Wire::connect(&self.address).ok()?.try_exchange(request).ok()
        });
    }

    /// How often each request was processed, by its method and number.
    pub(crate) fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for line in fs::read_to_string(&self.file).unwrap().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        // It lies in the folder for such files either way.
        drop(fs::remove_file(&self.file));
    }
}

fn run(server: Server, flags: &[String], address: &str, file: &PathBuf) -> Process {
    let (_, port) = address.rsplit_once(':').unwrap();
    let mut command = Process::command(&python_program(server.program()));
    command.args(flags).args(server.arguments(port)).current_dir(sources().join("site"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("NOTES", file);
    Process::start(server.program(), command)
}

const WSGI: &str = "mysite.notes:application";
const ASGI: &str = "mysite.notes:asgi_application";
