//! forebay and those it is compared with.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::machine::{self, Machine};
use super::options::Options;
use super::process::Process;
use super::upstream::Upstream;
use super::{Failure, Tried as _, eventually, wire};

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
            forebay: options.forebay.clone(),
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
        let mut process = Process::start(command, &log)?;
        let request = wire::request("/b200");
        let answer = eventually(LOOK_AGAIN, || {
            if process.has_ended() {
                return Some(Err(Failure::new("it ended by itself")));
            }
            let mut stream = wire::connect(port).ok()?;
            Some(wire::exchange(&mut stream, &request))
        });
        match answer.and_then(|answer| answer) {
            Ok(answer) if answer.status_line.contains(" 200 ") => {
                Ok(Peer { kind, port, process: Some(process) })
            }
            Ok(answer) => Err(Failure::new(format!("{kind:?} answers `{}`", answer.status_line))),
            Err(why) => {
                let words = fs::read_to_string(&log).unwrap_or_default();
                Err(Failure::new(format!("{kind:?} does not answer: {why}\n{words}")))
            }
        }
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
                command
                    .args(["proxy", "--listen", &format!("127.0.0.1:{port}")])
                    .args(["--upstream", &format!("127.0.0.1:{}", self.upstream.port)])
                    .args(["--platform", "app-service", "--host", "www.example.com"])
                    .args(["--access-log", "off", "--log-level", "error"]);
            }
        }
        Ok(command)
    }

    fn configure(&self, name: &str, template: &str, port: u16) -> Result<PathBuf, Failure> {
        let connections = (self.files - SPARE_FILES / 2) / 2;
        let text = template
            .replace("@DIRECTORY@", &self.directory.display().to_string())
            .replace("@LISTEN@", &port.to_string())
            .replace("@UPSTREAM@", &self.upstream.port.to_string())
            .replace("@FILES@", &self.files.to_string())
            .replace("@CONNECTIONS@", &connections.to_string());
        let path = self.directory.join(name);
        fs::write(&path, text).tried("write a configuration")?;
        Ok(path)
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
