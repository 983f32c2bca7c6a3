//! What `forebay run` is to start: a command, processes of a file, or the Django site that is there.
//!
//! Owns: where commands come from, what is asked of the site's Python, where the application listens.
//! Must not know: how a process is kept running, HTTP.

mod command;
mod detect;
mod line;
mod procfile;
mod server;
mod traits;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::{fmt, fs, io, process};

pub use command::Command;
pub use procfile::BadProcfile;
pub use server::{Place, reloads_at_hang_up};
pub use traits::Traits;

pub use crate::python::gunicorn::ProxyProtocol;
use crate::python::{Interpreter, django, gunicorn};
use crate::supervise::{Program, Role};
use command::Split;
use server::Server;

/// The environment with every byte, as children inherit it.
pub type Variables = BTreeMap<OsString, OsString>;

/// Why nothing can be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody says what to start.
    #[error(
        "there is nothing to start in {directory}: no command, no [processes] in forebay.toml, no \
         Procfile, and no manage.py with a package that has wsgi.py or asgi.py and its server installed"
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
    /// The processes of the configuration file are none.
    #[error("[processes] in the configuration file cannot be run: {0}")]
    Processes(BadProcfile),
    /// A command is none.
    #[error("the command of `{name}` cannot be run: {why}")]
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
                "change to the directory of manage.py, write `forebay run -- gunicorn mysite.wsgi`, put \
                 a Procfile there, or install gunicorn or uvicorn into the site's environment (in PATH, or \
                 .venv, venv or antenv there)"
            }
            Self::Unreadable { .. } => "make it a readable text in UTF-8",
            Self::Procfile { source: BadProcfile::NoWeb, .. } => {
                "add a line such as `web: gunicorn mysite.wsgi`"
            }
            Self::Processes(_) => {
                "write processes as `web = \"gunicorn mysite.wsgi\"`, with names of letters, digits, \
                 `-` and `_`"
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
    /// In the configuration file.
    File,
    /// In a Procfile.
    Procfile,
    /// Nobody wrote any: there is a Django site.
    Site,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CommandLine => "the command line",
            Self::File => "[processes] of the configuration file",
            Self::Procfile => "Procfile",
            Self::Site => "manage.py and the package beside it",
        })
    }
}

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The words behind `--`; none to look further.
    pub command: &'a [OsString],
    /// The processes of the configuration file; none to look for a Procfile and a site.
    pub processes: &'a [(String, Command)],
    /// The directory of the site.
    pub directory: &'a Path,
    /// The environment.
    pub variables: &'a Variables,
    /// The private port of the web process.
    pub port: u16,
    /// Other processes without which forebay ends.
    pub essential: &'a [String],
}

/// What is to be started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Where it was found.
    pub found: Found,
    /// How the application server takes requests.
    pub traits: Traits,
    /// What to ask Django.
    pub django: django::Question,
    /// What to ask gunicorn, where it is the server and its arguments can be seen.
    pub gunicorn: Option<gunicorn::Question>,
    programs: Vec<Program>,
    /// The processes of a Procfile whose place a command has taken, but for its web process.
    pub passed_over: Vec<String>,
    /// `GUNICORN_CMD_ARGS` as it is.
    gunicorn_arguments: Option<OsString>,
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
        let (mut web, mut web_variables) = (Vec::new(), Vec::new());
        for (name, command) in entries {
            let port = (name == WEB).then_some(wish.port);
            let Split { mut variables, words, has_shell } =
                command.split(&name, wish.variables, port)?;
            if let Some(port) = port {
                variables.push(("PORT".into(), port.to_string().into()));
                // A shell may do what nobody sees.
                if !has_shell {
                    (web, web_variables) = (words.clone(), variables.clone());
                }
            }
            let role = match name.as_str() {
                WEB => Role::Web,
                RELEASE => Role::Release,
                _ if wish.essential.contains(&name) => Role::Essential,
                _ => Role::Other,
            };
            programs.push(Program { name, written: command.written(), words, variables, role });
        }
        let gunicorn_arguments = wish.variables.get(OsStr::new(GUNICORN_CMD_ARGS)).cloned();
        Ok(Self {
            found,
            passed_over: passed_over(wish),
            traits: traits(wish, &web, gunicorn_arguments.is_some()),
            django: django_question(wish, &web),
            gunicorn: gunicorn_question(wish, &web, web_variables),
            programs,
            gunicorn_arguments,
        })
    }

    /// Takes what gunicorn says of itself in the place of what its command line seems to say.
    pub fn learn(&mut self, answer: &gunicorn::Configuration) {
        self.traits = Traits::of_gunicorn(answer);
    }

    /// The programs, with the web process bound to `place`. A gunicorn that does not expect the PROXY
    /// protocol is told to if forebay speaks it, in the version `v1` or `v2`.
    pub fn programs(&self, place: &Place, speaks_proxy: Option<&str>) -> Vec<Program> {
        let mut programs = self.programs.clone();
        let web = programs.iter_mut().find(|program| program.role == Role::Web);
        let Some(web) = web else { return programs };
        if let Some(bound) = server::bind(&web.words, place) {
            web.words = bound;
            if let Some(option) = speaks_proxy.and_then(|version| self.proxy_option(version)) {
                server::insert(&mut web.words, option);
            }
        } else {
            let gunicorn = self.gunicorn_arguments.as_deref();
            web.variables.extend(server::bind_by_variables(place, gunicorn));
        }
        programs
    }

    /// The programs as they were found, bound to nothing yet.
    pub fn found_programs(&self) -> &[Program] {
        &self.programs
    }

    /// What makes gunicorn expect the PROXY protocol, unless it does already or is not known.
    fn proxy_option(&self, version: &str) -> Option<OsString> {
        match self.traits.proxy_protocol? {
            ProxyProtocol::Off => Some(format!("--proxy-protocol={version}").into()),
            ProxyProtocol::OffAndOld => Some("--proxy-protocol".into()),
            ProxyProtocol::V1 | ProxyProtocol::V2 => None,
        }
    }

    /// Says what was found.
    pub fn announce(&self) {
        let names: Vec<_> = self.programs.iter().map(|program| program.name.as_str()).collect();
        tracing::info!(
            found_in = %self.found,
            processes = names.join(","),
            "what is to be started"
        );
        if !self.passed_over.is_empty() {
            tracing::warn!(
                not_started = self.passed_over.join(","),
                mend = "start without a command, so that the Procfile counts, or remove it",
                "a command takes the place of the whole Procfile"
            );
        }
    }
}

/// The name of the process that visitors are sent to.
const WEB: &str = "web";

/// The name of the process that runs first, and ends.
const RELEASE: &str = "release";

fn entries(wish: &Wish<'_>) -> Result<(Found, Vec<(String, Command)>), Error> {
    let web = |words| vec![(WEB.to_owned(), Command::Words(words))];
    if !wish.command.is_empty() {
        return Ok((Found::CommandLine, web(wish.command.to_vec())));
    }
    if !wish.processes.is_empty() {
        procfile::check(wish.processes.iter().map(|(name, _)| name.as_str()))
            .map_err(Error::Processes)?;
        return Ok((Found::File, wish.processes.to_vec()));
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

fn passed_over(wish: &Wish<'_>) -> Vec<String> {
    if wish.command.is_empty() {
        return Vec::new();
    }
    let text = fs::read_to_string(wish.directory.join("Procfile")).unwrap_or_default();
    // One that is none has nothing to be missed.
    let names = procfile::read(&text).unwrap_or_default().into_iter().map(|entry| entry.name);
    names.filter(|name| name != WEB).collect()
}

/// What is known without asking; little where gunicorn is told out of sight.
fn traits(wish: &Wish<'_>, web: &[OsString], has_arguments: bool) -> Traits {
    let traits = Traits::of_words(web, wish.variables);
    let has_file = wish.directory.join("gunicorn.conf.py").exists();
    if traits.server == Some("gunicorn") && (has_file || has_arguments) {
        return Traits { concurrency: None, ..traits };
    }
    traits
}

/// By what the Python of the web process is found.
fn interpreter(wish: &Wish<'_>, web: &[OsString], directory: PathBuf) -> Interpreter {
    let path = wish.variables.get(OsStr::new("PATH")).map(OsString::as_os_str);
    let program = web.first().map(PathBuf::from).map(|program| {
        let name = program.to_str().filter(|name| !name.contains('/'));
        name.and_then(|name| detect::in_path(name, path)).unwrap_or(program)
    });
    let virtual_environment = wish.variables.get(OsStr::new("VIRTUAL_ENV")).map(PathBuf::from);
    Interpreter { directory, program, virtual_environment }
}

fn django_question(wish: &Wish<'_>, web: &[OsString]) -> django::Question {
    let directory = wish.directory.join(server::directory(web).unwrap_or_default());
    django::Question {
        interpreter: interpreter(wish, web, directory),
        module: server::module(web),
        settings: wish.variables.get(OsStr::new("DJANGO_SETTINGS_MODULE")).cloned(),
    }
}

fn gunicorn_question(
    wish: &Wish<'_>,
    web: &[OsString],
    variables: Vec<(OsString, OsString)>,
) -> Option<gunicorn::Question> {
    let (Server::Gunicorn, name) = Server::find(web)? else { return None };
    Some(gunicorn::Question {
        interpreter: interpreter(wish, web, wish.directory.to_owned()),
        arguments: web.get(name + 1..)?.to_vec(),
        variables,
    })
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
