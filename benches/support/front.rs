//! Proxies as they usually stand in front of one application, each with its defaults.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::machine::{self, Machine};
use super::options::Choice;
use super::peer::free_port;
use super::process::Process;
use super::{Failure, Tried as _, eventually, wire};

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
    /// Makes a place for the files of a benchmark.
    pub(crate) fn prepare(machine: &Machine, choice: &Choice, name: &str) -> Result<Self, Failure> {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).tried("make a folder for the benchmark")?;
        Ok(Self {
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
        let program = if front == Front::Forebay {
            self.forebay.clone()
        } else {
            machine::program(front.name()).ok_or_else(|| Failure::new("it is not installed"))?
        };
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
                command
                    .args(["proxy", "--listen", &format!("127.0.0.1:{port}")])
                    .args(["--upstream", &format!("127.0.0.1:{upstream}")])
                    .args(["--platform", "app-service", "--host", "www.example.com"])
                    .args(["--connection-limit", "40000"])
                    .args(["--access-log", "off", "--log-level", "error"]);
            }
        }
        let log = self.directory.join(format!("front-{}.log", front.name()));
        let mut process = Process::start(command, &log)?;
        let answered = eventually(Duration::from_millis(10), || {
            if process.has_ended() {
                return Some(false);
            }
            let mut stream = wire::connect(port).ok()?;
            wire::exchange(&mut stream, &wire::request("/")).ok().map(|_| true)
        });
        if matches!(answered, Ok(true)) {
            return Ok(Running { port, process: Some(process) });
        }
        let words = fs::read_to_string(&log).unwrap_or_default();
        Err(Failure::new(format!("{} does not answer: {words}", front.name())))
    }

    fn configure(
        &self,
        name: &str,
        template: &str,
        port: u16,
        upstream: u16,
    ) -> Result<PathBuf, Failure> {
        let text = template
            .replace("@DIRECTORY@", &self.directory.display().to_string())
            .replace("@LISTEN@", &port.to_string())
            .replace("@UPSTREAM@", &upstream.to_string())
            .replace("@FILES@", &self.files.to_string())
            .replace("@CONNECTIONS@", &(self.files.saturating_sub(200) / 2).to_string());
        let path = self.directory.join(name);
        fs::write(&path, text).tried("write a configuration")?;
        Ok(path)
    }
}
