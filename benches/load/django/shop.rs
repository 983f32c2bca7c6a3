//! The Django site of this folder, behind gunicorn or uvicorn.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::front::{Place, free_port};
use crate::support::process::Process;
use crate::support::{Failure, Tried as _, wire};

/// Who runs the site.
#[derive(Clone, Copy, Debug)]
pub(super) enum Server {
    Gunicorn,
    Uvicorn,
}

impl Server {
    /// What is started, in the words of the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gunicorn => "gunicorn -k gthread -w 1 --threads 4",
            Self::Uvicorn => "uvicorn --workers 1",
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::Gunicorn => "gunicorn",
            Self::Uvicorn => "uvicorn",
        }
    }
}

/// The site, running.
#[derive(Debug)]
pub(super) struct Shop {
    pub(super) port: u16,
    pub(super) process: Process,
}

impl Shop {
    /// Makes its database anew, starts it and waits until it answers with its page.
    pub(super) fn start(place: &Place, server: Server) -> Result<Self, Failure> {
        let database = place.directory.join("shop.sqlite3");
        drop(fs::remove_file(&database)); // there may be none yet
        let mut prepare = in_site(place, "python", &database)?;
        let output = prepare.args(["-m", "shop.prepare"]).output().tried("make a database")?;
        if !output.status.success() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("the site's database was not made: {words}")));
        }
        let port = free_port()?;
        let mut command = in_site(place, server.program(), &database)?;
        match server {
            Server::Gunicorn => {
                command.args(["--no-control-socket", "--log-level", "warning", "-k", "gthread"]);
                command.args(["-w", "1", "--threads", "4", "--keep-alive", "10"]);
                command.args(["--bind", &format!("127.0.0.1:{port}"), "shop.servers:wsgi"]);
            }
            Server::Uvicorn => {
                command.args(["--no-access-log", "--log-level", "warning", "--workers", "1"]);
                command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
                command.args(["--timeout-keep-alive", "10", "shop.servers:asgi"]);
            }
        }
        let log = place.directory.join("shop.log");
        let pause = Duration::from_millis(20);
        let started = Process::answering(command, &log, pause, port, &wire::request("/"));
        let (process, answer) =
            started.map_err(|why| Failure::new(format!("{}: {why}", server.name())))?;
        if answer.status_line.contains(" 200 ") && answer.content.ends_with(b"</html>\n") {
            return Ok(Self { port, process });
        }
        Err(Failure::new(format!("{} answers `{}`", server.name(), answer.status_line)))
    }
}

/// A program of the end-to-end tests' Python environment, in the site's folder.
fn in_site(place: &Place, program: &str, database: &Path) -> Result<Command, Failure> {
    let package = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let program = package.join("target/e2e/venv/bin").join(program);
    if !program.exists() {
        return Err(Failure::new(format!(
            "{} is missing: run `tests/run`, which puts it below target/e2e",
            program.display()
        )));
    }
    let mut command = Process::command(&program, place.load_cpu, place.files);
    command
        .current_dir(package.join("benches/load/django/site"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYTHONPATH", ".")
        .env("SHOP", database);
    Ok(command)
}
