//! The Django site on an application server.

use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use super::process::Process;
use super::tree::Tree;
use super::wire::{Response, Wire};
use super::{database, eventually, free_port, fresh_number, python_program, sources};

/// The site, running.
pub(crate) struct Site {
    process: Process,
    address: String,
}

impl Site {
    /// gunicorn on a free port of 127.0.0.1, with more flags.
    pub(crate) fn gunicorn(flags: &[&str]) -> Self {
        Self::gunicorn_at(&format!("127.0.0.1:{}", free_port()), flags)
    }

    /// gunicorn on a unix socket, with more flags.
    pub(crate) fn gunicorn_on_unix_socket(flags: &[&str]) -> Self {
        let path = format!("{}/web-{}.socket", database::directory(), fresh_number());
        Self::gunicorn_at(&format!("unix:{path}"), flags)
    }

    /// gunicorn at a given address, with more flags.
    pub(crate) fn gunicorn_at(address: &str, flags: &[&str]) -> Self {
        let mut command = Process::command(&python_program("gunicorn"));
        // The control socket has one path for all of a user's gunicorns.
        command.args(["--no-control-socket", "--bind", address]).args(flags).arg("mysite.wsgi");
        command.envs(database::variables());
        Self::start("gunicorn", address, command)
    }

    /// gunicorn with threads and another application of the site, which needs no database.
    pub(crate) fn another(application: &str, variables: &[(&str, String)]) -> Self {
        Self::another_at(&format!("127.0.0.1:{}", free_port()), application, variables)
    }

    /// The same at a given address.
    pub(crate) fn another_at(
        address: &str,
        application: &str,
        variables: &[(&str, String)],
    ) -> Self {
        let mut command = Process::command(&python_program("gunicorn"));
        command.args(["--no-control-socket", "--bind", address, "--access-logfile", "-"]);
        command.args(["-k", "gthread", "--threads", "4", application]);
        command.envs(variables.iter().cloned());
        Self::start("gunicorn", address, command)
    }

    /// uvicorn on a free port of 127.0.0.1.
    pub(crate) fn uvicorn() -> Self {
        let port = free_port();
        let mut command = Process::command(&python_program("uvicorn"));
        command.args(["--port", &port.to_string(), "mysite.asgi:application"]);
        command.envs(database::variables());
        Self::start("uvicorn", &format!("127.0.0.1:{port}"), command)
    }

    fn start(name: &str, address: &str, mut command: Command) -> Self {
        command.current_dir(sources().join("site")).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = Process::start(name, command);
        eventually("the site listens", || {
            process.assert_running();
            Wire::connect(address).ok()
        })
        .exchange("GET / HTTP/1.1\nHost: www.example.com");
        Self { process, address: address.to_owned() }
    }

    /// Where it listens, in the form of `--upstream`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// One request straight to it.
    pub(crate) fn exchange(&self, head: &str) -> Response {
        Wire::connect(&self.address).unwrap().exchange(head)
    }

    /// What it has written so far.
    pub(crate) fn written(&self) -> String {
        self.process.written()
    }

    /// Kills the server and its workers without a word.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

/// Runs a module of the site that collects its static files.
pub(crate) fn collect(module: &str, variables: &[(&str, String)]) {
    let ran = Command::new(python_program("python"))
        .args(["-B", "-m", module])
        .current_dir(sources().join("site"))
        .envs(variables.iter().cloned())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

/// Where the files of `mysite.released` are, in a tree.
pub(crate) fn released(tree: &Tree) -> [(&'static str, String); 3] {
    [("STATIC_SOURCE", "source"), ("STATIC_ROOT", "static"), ("WHITENOISE_ROOT", "root")]
        .map(|(variable, name)| (variable, tree.path(name)))
}

/// The names in the manifest of collected files, each with the hashed one.
pub(crate) fn manifest(tree: &Tree) -> Vec<(String, String)> {
    let manifest: Value = serde_json::from_slice(&tree.read("static/staticfiles.json")).unwrap();
    let paths = manifest["paths"].as_object().unwrap();
    paths.iter().map(|(name, hashed)| (name.clone(), hashed.as_str().unwrap().to_owned())).collect()
}

/// One sync worker, App Service's default; shared by tests that keep nothing in it.
pub(crate) static SYNC: LazyLock<Site> = LazyLock::new(|| Site::gunicorn(&["-k", "sync"]));

/// Threads, which keep connections alive; shared likewise.
pub(crate) static THREADS: LazyLock<Site> =
    LazyLock::new(|| Site::gunicorn(&["-k", "gthread", "-w", "2", "--threads", "4"]));

/// ASGI; shared likewise.
pub(crate) static UVICORN: LazyLock<Site> = LazyLock::new(Site::uvicorn);

/// A sync worker behind a unix socket that expects the PROXY protocol; shared likewise.
pub(crate) static PROXIED: LazyLock<Site> =
    LazyLock::new(|| Site::gunicorn_on_unix_socket(&["-k", "sync", "--proxy-protocol", "v2"]));
