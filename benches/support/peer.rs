//! forebay and those it is compared with.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::front::{configuration, forebay};
use super::machine::{self, Machine};
use super::options::Options;
use super::process::Process;
use super::rounds::Target;
use super::upstream::Upstream;
use super::{Failure, Tried as _, wire};

/// Who stands in front of the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Nobody.
    Direct,
    Nginx,
    Haproxy,
    Forebay,
}

impl Kind {
    /// Who can be measured here, and who cannot.
    pub(crate) fn installed() -> (Vec<Self>, Vec<Self>) {
        [Self::Direct, Self::Nginx, Self::Haproxy, Self::Forebay]
            .into_iter()
            .partition(|kind| kind.package().is_empty() || kind.program().is_some())
    }

    /// The name in the tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Forebay => "forebay",
        }
    }

    /// The Debian package; empty for what needs none.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Direct | Self::Forebay => "",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    fn program(self) -> Option<PathBuf> {
        machine::program(self.name())
    }

    fn version(self) -> Option<String> {
        let program = self.program()?;
        let line = machine::first_line(program.to_str()?, &["-v"])?;
        line.split([' ', '/'])
            .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))
            .map(|version| format!("{} {version}", self.name()))
    }
}

/// What all peers share.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) upstream: Upstream,
    pub(crate) load_cpu: usize,
    pub(crate) proxy_cpu: usize,
    pub(crate) files: usize,
    /// Idle connections to measure with: as many as wanted, or as the limit on files allows.
    pub(crate) crowd: usize,
    /// Where configurations and logs go.
    pub(crate) directory: PathBuf,
    forebay: PathBuf,
}

/// Someone in front of the application, running.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) port: u16,
    /// Nothing where nobody is in front.
    pub(crate) process: Option<Process>,
}

impl Bench {
    /// Starts the application and makes a place for files.
    pub(crate) fn prepare(machine: &Machine, options: &Options) -> Result<Self, Failure> {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("load");
        fs::create_dir_all(&directory).tried("make a folder for the benchmark")?;
        // More would make nginx and HAProxy fill memory with tables.
        let files = machine.files.min(FILES);
        // nginx and HAProxy count a connection on either side.
        let crowd = options.crowd.min(files.saturating_sub(SPARE_FILES) / 2);
        if crowd < options.crowd {
            let wanted = options.crowd;
            println!(
                "limit:   {crowd} idle connections in place of {wanted}: `ulimit -Hn` is {files}"
            );
        }
        let versions: Vec<_> =
            [Kind::Nginx, Kind::Haproxy].into_iter().filter_map(Kind::version).collect();
        if !versions.is_empty() {
            println!("peers:   {}", versions.join(", "));
        }
        Ok(Self {
            upstream: Upstream::start(machine.load_cpu, files)?,
            load_cpu: machine.load_cpu,
            proxy_cpu: machine.proxy_cpu,
            files,
            crowd,
            directory,
            forebay: options.choice.forebay.clone(),
        })
    }

    /// Starts a peer and waits for its first answer.
    pub(crate) fn start(&self, kind: Kind) -> Result<Peer, Failure> {
        if kind == Kind::Direct {
            return Ok(Peer { kind, port: self.upstream.port, process: None });
        }
        let port = free_port()?;
        let command = self.command(kind, port)?;
        let log = self.directory.join(format!("{}.log", kind.name()));
        let request = wire::request("/b200");
        let started = Process::answering(command, &log, LOOK_AGAIN, port, &request);
        let (process, answer) =
            started.map_err(|why| Failure::new(format!("{}: {why}", kind.name())))?;
        if !answer.status_line.contains(" 200 ") {
            return Err(Failure::new(format!("{} answers `{}`", kind.name(), answer.status_line)));
        }
        Ok(Peer { kind, port, process: Some(process) })
    }

    /// The program of a peer.
    pub(crate) fn program(&self, kind: Kind) -> Result<PathBuf, Failure> {
        if kind == Kind::Forebay {
            return Ok(self.forebay.clone());
        }
        kind.program().ok_or_else(|| Failure::new(format!("{kind:?} is not installed")))
    }

    fn command(&self, kind: Kind, port: u16) -> Result<Command, Failure> {
        let mut command = Process::command(&self.program(kind)?, self.proxy_cpu, self.files);
        command.current_dir(&self.directory);
        match kind {
            Kind::Direct => {}
            Kind::Nginx => {
                let path = self.configure("nginx.conf", include_str!("nginx.conf"), port)?;
                command.arg("-e").arg(self.directory.join("nginx.log")).arg("-c").arg(path);
            }
            Kind::Haproxy => {
                let path = self.configure("haproxy.cfg", include_str!("haproxy.cfg"), port)?;
                command.arg("-db").arg("-f").arg(path);
            }
            Kind::Forebay => {
                command.args(forebay(port, self.upstream.port));
                command.args(["--access-log=off", "--log-level=error"]);
            }
        }
        Ok(command)
    }

    fn configure(&self, name: &str, template: &str, port: u16) -> Result<PathBuf, Failure> {
        let connections = (self.files - SPARE_FILES / 2) / 2;
        let values = [
            ("DIRECTORY", self.directory.display().to_string()),
            ("LISTEN", port.to_string()),
            ("UPSTREAM", self.upstream.port.to_string()),
            ("FILES", self.files.to_string()),
            ("CONNECTIONS", connections.to_string()),
        ];
        configuration(&self.directory.join(name), template, &values)
    }
}

impl Peer {
    /// The peer as a target of load, for a path of the application.
    pub(crate) fn target(&self, path: &str) -> Target<'_> {
        Target {
            name: self.kind.name(),
            port: self.port,
            process: self.process.as_ref(),
            request: wire::request(path),
        }
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).tried("find a free port")?;
    Ok(listener.local_addr().tried("find a free port")?.port())
}

/// Between two looks whether a program answers: what a start time may be off by.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// The limit on open files that every program gets, where the hard limit allows it.
const FILES: usize = 20_000;

/// Files that are no connections, and connections that are not idle.
const SPARE_FILES: usize = 1000;
