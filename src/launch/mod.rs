//! What `forebay run` is to start: a command, a Procfile, or the Django site that is there.
//!
//! Owns: where commands come from, how their lines become words, where the application listens.
//! Must not know: how a process is kept running, HTTP.

mod detect;
mod line;
mod procfile;
mod server;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io, process};

pub use procfile::BadProcfile;
pub use server::{Place, reloads_at_hang_up};

use crate::django::Question;
use crate::supervise::{Program, Role};
use crate::telemetry::redacted;
use line::Line;

/// The environment with every byte, as children inherit it.
pub type Variables = BTreeMap<OsString, OsString>;

/// Why nothing can be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody says what to start.
    #[error(
        "there is nothing to start: no command, no Procfile, and no Django site in {directory}"
    )]
    Nothing {
        /// Where was looked.
        directory: PathBuf,
    },
    /// The Procfile cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The Procfile is not one.
    #[error("{path} is not a Procfile")]
    Procfile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: BadProcfile,
    },
    /// A command is none.
    #[error("the command of `{name}` in the Procfile cannot be run: {why}")]
    Command {
        /// The process.
        name: String,
        /// Why.
        why: String,
    },
    /// `--essential` names a process that there is not.
    #[error("--essential names `{name}`, and there is no such process")]
    NotThere {
        /// The name.
        name: String,
    },
    /// No port of 127.0.0.1 is free.
    #[error("no port of 127.0.0.1 is free for the application")]
    NoPort,
}

impl Error {
    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::Nothing { .. } => {
                "write `forebay run -- gunicorn mysite.wsgi`, put a Procfile there, or install \
                 gunicorn or uvicorn beside manage.py"
            }
            Self::Unreadable { .. } => "make it a readable text in UTF-8",
            Self::Procfile { source: BadProcfile::NoWeb, .. } => {
                "add a line such as `web: gunicorn mysite.wsgi`"
            }
            Self::Procfile { .. } => {
                "write one process a line, such as `web: gunicorn mysite.wsgi`, each name once"
            }
            Self::Command { .. } => "try the line in a shell",
            Self::NotThere { .. } => "name a process of the Procfile, such as `worker`",
            Self::NoPort => "name an address with --upstream",
        }
        .to_owned()
    }
}

/// Where the commands were found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Found {
    /// Behind `--`.
    CommandLine,
    /// In a Procfile.
    Procfile,
    /// Nobody wrote any: there is a Django site.
    Site,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "the command line",
            Self::Procfile => "Procfile",
            Self::Site => "manage.py and the package beside it",
        })
    }
}

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The words behind `--`; none to look for a Procfile and a site.
    pub command: &'a [OsString],
    /// The directory of the site.
    pub directory: &'a Path,
    /// The environment.
    pub variables: &'a Variables,
    /// Where the application is to listen.
    pub place: &'a Place,
    /// Other processes without which forebay ends.
    pub essential: &'a [String],
}

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Where it was found.
    pub found: Found,
    /// The processes; one is the web process.
    pub programs: Vec<Program>,
    /// The most requests that the application does at once, if its command line tells.
    pub concurrency: Option<u32>,
    /// What to ask Django with.
    pub question: Question,
}

impl Launch {
    /// Finds out what to start.
    ///
    /// # Errors
    ///
    /// [`Error`], all of which are for the operator.
    pub fn find(wish: &Wish<'_>) -> Result<Self, Error> {
        let (found, entries) = entries(wish)?;
        let missing =
            wish.essential.iter().find(|name| !entries.iter().any(|(entry, _)| entry == *name));
        if let Some(name) = missing {
            return Err(Error::NotThere { name: name.clone() });
        }
        let mut programs = Vec::new();
        let mut web = Vec::new();
        for (name, command) in entries {
            if name == WEB {
                web = command.words(wish, &name)?.1.unwrap_or_default();
            }
            programs.push(command.into_program(wish, name)?);
        }
        Ok(Self {
            found,
            programs,
            concurrency: concurrency(wish, &web),
            question: question(wish, &web),
        })
    }

    /// Says what was found.
    pub fn announce(&self) {
        let names: Vec<_> = self.programs.iter().map(|program| program.name.as_str()).collect();
        tracing::info!(
            found_in = %self.found,
            processes = names.join(","),
            "what is to be started"
        );
    }
}

/// The name of the process that visitors are sent to.
const WEB: &str = "web";

/// The name of the process that runs first, and ends.
const RELEASE: &str = "release";

/// A command that is not a program yet.
enum Command {
    Words(Vec<OsString>),
    Line(String),
}

type Pairs = Vec<(OsString, OsString)>;

impl Command {
    /// Its variables, and its words where it needs no shell.
    fn words(&self, wish: &Wish<'_>, name: &str) -> Result<(Pairs, Option<Vec<OsString>>), Error> {
        let text = match self {
            Self::Words(words) => return Ok((Vec::new(), Some(words.clone()))),
            Self::Line(text) => text,
        };
        let port = match wish.place {
            Place::Tcp { port, .. } if name == WEB => Some(port.to_string().into()),
            Place::Tcp { .. } | Place::Unix(_) => None,
        };
        let look_up = |variable: &str| match &port {
            Some(port) if variable == "PORT" => Some(OsString::clone(port)),
            _ => wish.variables.get(OsStr::new(variable)).cloned(),
        };
        match line::split(text, look_up) {
            Ok(Line::Simple { variables, words }) => Ok((variables, Some(words))),
            Ok(Line::NeedsShell) => Ok((Vec::new(), None)),
            Err(why) => Err(Error::Command { name: name.to_owned(), why: why.to_string() }),
        }
    }

    fn into_program(self, wish: &Wish<'_>, name: String) -> Result<Program, Error> {
        let (mut variables, words) = self.words(wish, &name)?;
        let written = match self {
            // It may have passed a shell that put secrets into it.
            Self::Words(ref words) => {
                let words = words.iter().map(|word| line::quote(&word.to_string_lossy()));
                redacted(&words.collect::<Vec<_>>().join(" "))
            }
            Self::Line(ref text) => redacted(text),
        };
        let mut words = words.unwrap_or_else(|| {
            let text = if let Self::Line(text) = self { text } else { String::new() };
            vec!["sh".into(), "-c".into(), text.into()]
        });
        let role = match name.as_str() {
            WEB => Role::Web,
            RELEASE => Role::Release,
            _ if wish.essential.contains(&name) => Role::Essential,
            _ => Role::Other,
        };
        if role == Role::Web {
            if let Place::Tcp { port, .. } = wish.place {
                variables.push(("PORT".into(), port.to_string().into()));
            }
            if let Some(bound) = server::bind(&words, wish.place) {
                words = bound;
            } else {
                let gunicorn = wish.variables.get(OsStr::new(GUNICORN_CMD_ARGS));
                let gunicorn = gunicorn.map(OsString::as_os_str);
                variables.extend(server::bind_by_variables(wish.place, gunicorn));
            }
        }
        Ok(Program { name, written, words, variables, role })
    }
}

fn entries(wish: &Wish<'_>) -> Result<(Found, Vec<(String, Command)>), Error> {
    let web = |words| vec![(WEB.to_owned(), Command::Words(words))];
    if !wish.command.is_empty() {
        return Ok((Found::CommandLine, web(wish.command.to_vec())));
    }
    let path = wish.directory.join("Procfile");
    match fs::read_to_string(&path) {
        Ok(text) => {
            let entries =
                procfile::read(&text).map_err(|source| Error::Procfile { path, source })?;
            let entries = entries.into_iter().map(|entry| (entry.name, Command::Line(entry.line)));
            return Ok((Found::Procfile, entries.collect()));
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Error::Unreadable { path, source }),
    }
    let programs = wish.variables.get(OsStr::new("PATH")).map(OsString::as_os_str);
    match detect::command(wish.directory, programs) {
        Some(words) => Ok((Found::Site, web(words))),
        None => Err(Error::Nothing { directory: wish.directory.to_owned() }),
    }
}

/// What gunicorn does at once; unknown where it is told out of sight.
fn concurrency(wish: &Wish<'_>, web: &[OsString]) -> Option<u32> {
    let has_file = wish.directory.join("gunicorn.conf.py").exists();
    if has_file || wish.variables.contains_key(OsStr::new(GUNICORN_CMD_ARGS)) {
        return None;
    }
    let workers = wish.variables.get(OsStr::new("WEB_CONCURRENCY"));
    server::concurrency(web, workers.map(|text| text.to_string_lossy()).as_deref())
}

fn question(wish: &Wish<'_>, web: &[OsString]) -> Question {
    let directory = wish.directory.join(server::directory(web).unwrap_or_default());
    let path = wish.variables.get(OsStr::new("PATH")).map(OsString::as_os_str);
    let program = web.first().map(PathBuf::from).map(|program| {
        let name = program.to_str().filter(|name| !name.contains('/'));
        name.and_then(|name| detect::in_path(name, path)).unwrap_or(program)
    });
    Question {
        module: server::module(web),
        program,
        settings: wish.variables.get(OsStr::new("DJANGO_SETTINGS_MODULE")).cloned(),
        virtual_environment: wish.variables.get(OsStr::new("VIRTUAL_ENV")).map(PathBuf::from),
        directory,
    }
}

/// gunicorn's own variable for arguments.
const GUNICORN_CMD_ARGS: &str = "GUNICORN_CMD_ARGS";

/// A port of 127.0.0.1 where nobody listens, and that the kernel gives to no outgoing connection.
///
/// Processes begin to look at different ports, so that two that start at once do not meet.
///
/// # Errors
///
/// [`Error::NoPort`].
pub fn free_port() -> Result<u16, Error> {
    let first = process::id() % u32::from(PORTS.1 - PORTS.0);
    let candidates = (0..1000).map(|step| first.wrapping_mul(37).wrapping_add(step));
    candidates
        .filter_map(|number| u16::try_from(number % u32::from(PORTS.1 - PORTS.0)).ok())
        .map(|offset| PORTS.0 + offset)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or(Error::NoPort)
}

/// Below the range of Linux for outgoing connections, which begins at 32768.
const PORTS: (u16, u16) = (20_000, 32_000);

#[cfg(test)]
mod tests;
