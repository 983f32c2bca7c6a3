//! Proxies as they usually stand in front of one application, each with its defaults.

use std::fs::{self, File, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::machine::{self, Machine};
use super::options::Choice;
use super::process::Process;
use super::{Failure, Tried as _, wire};

/// Who stands in front.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Front {
    /// Nobody.
    Direct,
    Nginx,
    Caddy,
    Haproxy,
    Forebay,
}

/// A front, running.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) port: u16,
    /// Nothing where nobody is in front.
    pub(crate) process: Option<Process>,
}

/// What fronts are started with.
#[derive(Debug)]
pub(crate) struct Place {
    /// Locked as long as the benchmark runs.
    _lock: File,
    pub(crate) load_cpu: usize,
    pub(crate) proxy_cpu: usize,
    /// The limit on open files of each program.
    pub(crate) files: usize,
    /// Where configurations, logs and temporary files go.
    pub(crate) directory: PathBuf,
    forebay: PathBuf,
}

impl Front {
    /// The name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Haproxy => "haproxy",
            Self::Forebay => "forebay",
        }
    }

    /// Those of `wanted` that can be measured here; says so of those that cannot.
    pub(crate) fn installed(wanted: &[Self]) -> Vec<Self> {
        let (here, missing): (Vec<_>, Vec<_>) = wanted.iter().copied().partition(|front| {
            matches!(front, Self::Direct | Self::Forebay)
                || machine::program(front.name()).is_some()
        });
        for front in missing {
            println!("not measured: {0} (install Debian's package `{0}`)", front.name());
        }
        let version = |front: &Self, argument| {
            let program = machine::program(front.name())?;
            machine::first_line(program.to_str()?, &[argument])
        };
        for front in &here {
            let argument = if *front == Self::Caddy { "version" } else { "-v" };
            if let Some(line) = version(front, argument) {
                println!("{:8} {line}", format!("{}:", front.name()));
            }
        }
        here
    }
}

impl Place {
    /// Makes a place for the files of a benchmark, which nobody else uses: of two runs at once, one would
    /// send what the other is just writing, and lose its files when the other ends.
    pub(crate) fn prepare(machine: &Machine, choice: &Choice, name: &str) -> Result<Self, Failure> {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).tried("make a folder for the benchmark")?;
        let lock = File::create(directory.with_added_extension("lock"))
            .tried("make a lock for the benchmark")?;
        lock.try_lock().map_err(|why| match why {
            TryLockError::WouldBlock => Failure::new(format!(
                "this benchmark is running already, in {}; wait for its end",
                directory.display()
            )),
            TryLockError::Error(why) => Failure::new(format!("cannot lock the benchmark: {why}")),
        })?;
        Ok(Self {
            _lock: lock,
            load_cpu: machine.load_cpu,
            proxy_cpu: machine.proxy_cpu,
            // More would make nginx and HAProxy fill memory with tables.
            files: machine.files.min(60_000),
            directory,
            forebay: choice.forebay.clone(),
        })
    }

    /// Starts a front before a port, and waits for its first answer of any kind.
    pub(crate) fn start(&self, front: Front, upstream: u16) -> Result<Running, Failure> {
        if front == Front::Direct {
            return Ok(Running { port: upstream, process: None });
        }
        let port = free_port()?;
        let mut command = self.command(front, (port, upstream))?;
        if front == Front::Forebay {
            command.args(["--access-log=off", "--log-level=error"]);
        }
        let log = self.directory.join(format!("front-{}.log", front.name()));
        let request = wire::request("/");
        let pause = Duration::from_millis(10);
        let (process, _) = Process::answering(command, &log, pause, port, &request)
            .map_err(|why| Failure::new(format!("{}: {why}", front.name())))?;
        Ok(Running { port, process: Some(process) })
    }

    /// A front on a port before another; not for [`Front::Direct`].
    pub(crate) fn command(
        &self,
        front: Front,
        (port, upstream): (u16, u16),
    ) -> Result<Command, Failure> {
        let program = self.program(front)?;
        let mut command = Process::command(&program, self.proxy_cpu, self.files);
        command.current_dir(&self.directory);
        let configure = |name, template| self.configure(name, template, port, upstream);
        match front {
            Front::Direct => {}
            Front::Nginx => {
                let path = configure("front-nginx.conf", include_str!("fronts/nginx.conf"))?;
                command.arg("-e").arg(self.directory.join("front-nginx.log")).arg("-c").arg(path);
            }
            Front::Caddy => {
                let path = configure("Caddyfile", include_str!("fronts/Caddyfile"))?;
                command.env("HOME", &self.directory);
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
            }
            Front::Haproxy => {
                let path = configure("front-haproxy.cfg", include_str!("fronts/haproxy.cfg"))?;
                command.arg("-db").arg("-f").arg(path);
            }
            Front::Forebay => {
                command.args(forebay(port, &format!("127.0.0.1:{upstream}")));
                command.arg("--connection-limit=40000");
            }
        }
        Ok(command)
    }

    /// The program of a front.
    pub(crate) fn program(&self, front: Front) -> Result<PathBuf, Failure> {
        if front == Front::Forebay {
            return Ok(self.forebay.clone());
        }
        let name = front.name();
        machine::program(name).ok_or_else(|| Failure::new(format!("{name} is not installed")))
    }

    /// The forebay to measure, on a port before another.
    pub(crate) fn forebay(&self, port: u16, upstream: u16) -> Command {
        let mut command = Process::command(&self.forebay, self.proxy_cpu, self.files);
        command.args(forebay(port, &format!("127.0.0.1:{upstream}")));
        command
    }

    fn configure(
        &self,
        name: &str,
        template: &str,
        port: u16,
        upstream: u16,
    ) -> Result<PathBuf, Failure> {
        let values = [
            ("DIRECTORY", self.directory.display().to_string()),
            ("LISTEN", port.to_string()),
            ("UPSTREAM", upstream.to_string()),
            ("FILES", self.files.to_string()),
            ("CONNECTIONS", (self.files.saturating_sub(200) / 2).to_string()),
        ];
        configuration(&self.directory.join(name), template, &values)
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).tried("find a free port")?;
    Ok(listener.local_addr().tried("find a free port")?.port())
}

/// What forebay is told on a port before another, wherever it is measured.
pub(crate) fn forebay(port: u16, upstream: &str) -> [String; 5] {
    [
        "proxy".to_owned(),
        format!("--listen=127.0.0.1:{port}"),
        format!("--upstream={upstream}"),
        "--platform=app-service".to_owned(),
        "--host=www.example.com".to_owned(),
    ]
}

/// Writes a configuration: in the template each name stands between two `@`.
pub(crate) fn configuration(
    path: &Path,
    template: &str,
    values: &[(&str, String)],
) -> Result<PathBuf, Failure> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    fs::write(path, text).tried("write a configuration")?;
    Ok(path.to_owned())
}
