//! Those who are measured: fronts set up to do the same work, and what they stand between.
//!
//! `support/equal` has their configurations. Standard output goes to `/dev/null`: there forebay
//! and `HAProxy` write their logs, so that no disk is measured; nginx writes to the same file,
//! buffered.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use super::front::{Front, Place, configuration, forebay, free_port};
use super::process::Process;
use super::relay;
use super::rounds::Target;
use super::{Failure, Tried as _, wire};

/// Who stands in front of the application, in one of its forms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Peer {
    /// The name in the tables.
    pub(crate) name: &'static str,
    form: Form,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Form {
    /// Nobody.
    Direct,
    /// The floor: bytes pass from one connection to the other, and nobody looks at them.
    Relay,
    /// A front in its form of `support/equal`.
    Equal { front: Front, extra: Extra },
    /// forebay with everything that is on by default, and these flags.
    Forebay(&'static [&'static str]),
}

/// What an equal front has beside that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Extra {
    Nothing,
    /// A line in a log for each request.
    Log,
    /// In nginx: buffers that hold all of an answer of 100 KiB.
    Buffers,
}

pub(crate) const DIRECT: Peer = Peer { name: "direct", form: Form::Direct };
pub(crate) const RELAY: Peer = Peer { name: "relay", form: Form::Relay };
pub(crate) const NGINX: Peer = Peer::equal("nginx", Front::Nginx, Extra::Nothing);
pub(crate) const NGINX_LOG: Peer = Peer::equal("nginx, log", Front::Nginx, Extra::Log);
pub(crate) const NGINX_BUFFERS: Peer =
    Peer::equal("nginx, 8 × 64 KiB", Front::Nginx, Extra::Buffers);
pub(crate) const HAPROXY: Peer = Peer::equal("haproxy", Front::Haproxy, Extra::Nothing);
pub(crate) const HAPROXY_LOG: Peer = Peer::equal("haproxy, log", Front::Haproxy, Extra::Log);
pub(crate) const CADDY: Peer = Peer::equal("caddy", Front::Caddy, Extra::Nothing);
pub(crate) const FOREBAY: Peer = Peer::forebay("forebay", &[]);
pub(crate) const FOREBAY_REUSE: Peer =
    Peer::forebay("forebay, reuse all", &["--upstream-reuse=all"]);
pub(crate) const FOREBAY_NO_LOG: Peer = Peer::forebay("forebay, no log", &["--access-log=off"]);

/// Where the application is.
#[derive(Clone, Debug)]
pub(crate) enum Behind {
    Port(u16),
    Socket(PathBuf),
}

impl Behind {
    /// As nginx, Caddy and forebay name it; `HAProxy` too, since it knows what begins with a `/`.
    fn text(&self, prefix: &str) -> String {
        match self {
            Self::Port(port) => format!("127.0.0.1:{port}"),
            Self::Socket(path) => format!("{prefix}{}", path.display()),
        }
    }
}

impl Peer {
    const fn equal(name: &'static str, front: Front, extra: Extra) -> Self {
        Self { name, form: Form::Equal { front, extra } }
    }

    /// forebay with flags of its own.
    pub(crate) const fn forebay(name: &'static str, flags: &'static [&'static str]) -> Self {
        Self { name, form: Form::Forebay(flags) }
    }

    /// The front, where there is one.
    pub(crate) fn front(self) -> Option<Front> {
        match self.form {
            Form::Direct | Form::Relay => None,
            Form::Equal { front, .. } => Some(front),
            Form::Forebay(_) => Some(Front::Forebay),
        }
    }

    /// Whether the application gets from it just what forebay would give it.
    pub(crate) fn does_the_same(self) -> bool {
        self.front().is_some_and(|front| front != Front::Caddy)
    }

    /// Starts it and waits for its first answer.
    pub(crate) fn start(self, place: &Place, behind: &Behind) -> Result<Started, Failure> {
        if let (Form::Direct, Behind::Port(port)) = (self.form, behind) {
            return Ok(Started { peer: self, port: *port, process: None });
        }
        let port = free_port()?;
        let command = self.command(place, port, behind)?;
        let log = place.directory.join(format!("{}.log", self.name));
        let request = wire::request("/b200");
        let started = Process::start_without_output(command, &log)
            .and_then(|process| process.answered(&log, LOOK_AGAIN, port, &request));
        let (process, answer) =
            started.map_err(|why| Failure::new(format!("{}: {why}", self.name)))?;
        if !answer.status_line.contains(" 200 ") {
            return Err(Failure::new(format!("{} answers `{}`", self.name, answer.status_line)));
        }
        Ok(Started { peer: self, port, process: Some(process) })
    }

    /// What starts it on a port.
    pub(crate) fn command(
        self,
        place: &Place,
        port: u16,
        behind: &Behind,
    ) -> Result<Command, Failure> {
        let (front, extra) = match self.form {
            Form::Direct => return Err(Failure::new("nobody is in front, so nothing starts")),
            Form::Relay => {
                let program = std::env::current_exe().tried("find this program")?;
                let mut command = Process::command(&program, place.proxy_cpu, place.files);
                command.args([relay::ROLE, &port.to_string(), &behind.text("")]);
                return Ok(command);
            }
            Form::Forebay(flags) => {
                let program = place.program(Front::Forebay)?;
                let mut command = Process::command(&program, place.proxy_cpu, place.files);
                command.args(forebay(port, &behind.text("unix:"))).args(flags);
                return Ok(command);
            }
            Form::Equal { front, extra } => (front, extra),
        };
        let program = place.program(front)?;
        let mut command = Process::command(&program, place.proxy_cpu, place.files);
        command.current_dir(&place.directory);
        let configure = |name: &str, template, upstream: String, (log, more): (&str, &str)| {
            configuration(
                &place.directory.join(format!("{}-{port}-{name}", front.name())),
                template,
                &[
                    ("DIRECTORY", place.directory.display().to_string()),
                    ("LISTEN", port.to_string()),
                    ("UPSTREAM", upstream),
                    ("FILES", place.files.to_string()),
                    ("CONNECTIONS", ((place.files - SPARE_FILES / 2) / 2).to_string()),
                    ("LOG", log.to_owned()),
                    ("EXTRA", more.to_owned()),
                ],
            )
        };
        match front {
            Front::Nginx => {
                let (log, buffers) = match extra {
                    Extra::Nothing => ("off", ""),
                    Extra::Log => ("/dev/null line buffer=64k flush=1s", ""),
                    Extra::Buffers => ("off", "proxy_buffers 8 64k; proxy_buffer_size 16k;"),
                };
                let upstream = behind.text("unix:");
                let template = include_str!("equal/nginx.conf");
                let path = configure("nginx.conf", template, upstream, (log, buffers))?;
                command.arg("-e").arg(place.directory.join("nginx.log")).arg("-c").arg(path);
            }
            Front::Haproxy => {
                let log = if extra == Extra::Log { HAPROXY_LOGS } else { ("no log", "") };
                let template = include_str!("equal/haproxy.cfg");
                let path = configure("haproxy.cfg", template, behind.text(""), log)?;
                command.arg("-db").arg("-f").arg(path);
            }
            Front::Caddy => {
                let upstream = behind.text("unix/");
                let template = include_str!("equal/Caddyfile");
                let path = configure("Caddyfile", template, upstream, ("", ""))?;
                command.env("HOME", &place.directory);
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(path);
            }
            Front::Direct | Front::Forebay => {
                return Err(Failure::new(format!("{front:?} has no configuration")));
            }
        }
        Ok(command)
    }
}

/// A peer, running.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) peer: Peer,
    pub(crate) port: u16,
    /// Nothing where nobody is in front.
    pub(crate) process: Option<Process>,
}

impl Started {
    /// The peer as a target of load, for a request.
    pub(crate) fn target(&self, request: Vec<u8>) -> Target<'_> {
        Target { name: self.peer.name, port: self.port, process: self.process.as_ref(), request }
    }

    /// Its process.
    pub(crate) fn process(&self) -> Result<&Process, Failure> {
        self.process.as_ref().ok_or_else(|| Failure::new("nobody is in front"))
    }
}

/// `HAProxy`'s log, and the notes for it that it has to take while it has the request.
const HAPROXY_LOGS: (&str, &str) = (
    "log stdout format raw local0",
    "http-request set-var(txn.client) req.hdr(x-forwarded-for)\n    \
     http-request set-var(txn.host) req.hdr(host)",
);

/// Between two looks whether a program answers: what a start time may be off by.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// Files that are no connections, and connections that are not idle.
pub(crate) const SPARE_FILES: usize = 1000;
