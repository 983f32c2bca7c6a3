//! PostgreSQL with TLS and an authority of its own, and the leg to it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::Mutex;

use super::process::Process;
use super::{eventually, free_port, python_program, sources};

/// A cluster that lives as long as this.
pub(crate) struct Secure {
    pub(crate) directory: String,
    pub(crate) port: u16,
    /// When the first closes, the cluster ends.
    leash: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    /// It ends by the leash.
    _child: Child,
}

impl Secure {
    /// A new one.
    pub(crate) fn start() -> Self {
        let port = free_port();
        let mut child = Command::new("sh")
            .arg(sources().join("support/postgres_tls.sh"))
            .arg(port.to_string())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut output = BufReader::new(output);
        let mut directory = String::new();
        output.read_line(&mut directory).unwrap();
        let directory = directory.trim_end().to_owned();
        assert!(Path::new(&directory).is_dir(), "PostgreSQL did not start; its words are above");
        Self { directory, port, leash: Mutex::new((input, output)), _child: child }
    }

    /// Has `pg_ctl` do something, such as `reload`.
    pub(crate) fn control(&self, words: &str) {
        let mut leash = self.leash.lock().unwrap();
        writeln!(leash.0, "{words}").unwrap();
        let mut answer = String::new();
        leash.1.read_line(&mut answer).unwrap();
        assert_eq!(answer, "obeyed\n");
    }

    /// Changes settings of the server and starts it again.
    pub(crate) fn set(&self, settings: &[(&str, &str)]) {
        let path = Path::new(&self.directory).join("settings");
        let mut text = fs::read_to_string(&path).unwrap();
        for (name, value) in settings {
            writeln!(text, "{name} = '{value}'").unwrap();
        }
        fs::write(path, text).unwrap();
        self.control("restart -m immediate");
    }

    /// Its authority's certificate.
    pub(crate) fn authority(&self) -> String {
        format!("{}/ca.pem", self.directory)
    }

    /// What psql says to one statement, past the leg.
    pub(crate) fn query(&self, sql: &str) -> String {
        let port = self.port.to_string();
        let words = ["-h", &self.directory, "-p", &port, "-U", "postgres", "-XAtc", sql];
        let output = Command::new("psql").args(words).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

/// `forebay tunnel` to a cluster.
pub(crate) struct Tunnel {
    process: Process,
    pub(crate) port: u16,
}

impl Tunnel {
    /// To `localhost`, by the cluster's own authority.
    pub(crate) fn to(cluster: &Secure) -> Self {
        Self::with(cluster, &["--postgres-ca", &cluster.authority()])
    }

    /// With these flags.
    pub(crate) fn with(cluster: &Secure, flags: &[&str]) -> Self {
        let port = free_port();
        let mut command = Process::command(env!("CARGO_BIN_EXE_forebay"));
        command.args(["tunnel", "--to", &format!("localhost:{}", cluster.port)]);
        command.args(["--listen", &format!("127.0.0.1:{port}")]).args(flags);
        let mut process = Process::start("tunnel", command);
        eventually("the tunnel listens", || {
            process.assert_running();
            process.written().contains("\"listens\"").then_some(())
        });
        Self { process, port }
    }

    /// A psql that runs one statement through it.
    pub(crate) fn psql(&self, sql: &str) -> Output {
        let place = format!("host=127.0.0.1 port={} user=postgres", self.port);
        Command::new("psql").args([&place, "-XAtc", sql]).output().unwrap()
    }

    /// Has `support/session.py` do something through it; returns what it printed.
    pub(crate) fn session(&self, words: &[&str]) -> String {
        let output = Command::new(python_program("python"))
            .arg(sources().join("support/session.py"))
            .arg(self.port.to_string())
            .args(words)
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// What it has written so far.
    pub(crate) fn written(&self) -> String {
        self.process.written()
    }

    /// Tells it to stop, and waits for its end.
    pub(crate) fn end(&mut self) -> Option<i32> {
        self.process.signal("TERM");
        self.process.wait().code()
    }
}
