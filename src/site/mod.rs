//! `forebay run`: finds out what there is to start and what follows for the settings, then runs it.
//!
//! Owns: the order of finding out.
//! Must not know: how anything is found out or run.

mod derive;
mod tell;
mod view;

use std::ffi::OsString;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::app::turns::Wish as ReleaseWish;
use crate::app::{self, End, Signals};
use crate::config::{self, Config, Derived, Environment, Faults, Flags, Need, Origin};
use crate::launch::{self, Command, Launch, Place, Variables, Wish};
use crate::postgres_tls::{Leg, variables};
use crate::proxy::proxy_protocol::Version;
use crate::proxy::upstream::Address;
use crate::python::{Failure, django, gunicorn};
use crate::supervise::{Program, Role};

pub use tell::{Misfit, misfits};
pub use view::{View, static_files, view};

/// Why `forebay run` does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings cannot be obeyed.
    #[error(transparent)]
    Settings(#[from] Faults),
    /// There is nothing to start.
    #[error(transparent)]
    Launch(#[from] launch::Error),
    /// It cannot run.
    #[error(transparent)]
    App(#[from] app::Error),
}

impl Error {
    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Settings(_) | Self::Launch(_) => 2,
            Self::App(why) => why.code(),
        }
    }

    /// What to do next; nothing where each fault says it.
    pub fn mend(&self) -> Option<String> {
        match self {
            Self::Settings(_) => None,
            Self::Launch(why) => Some(why.mend()),
            Self::App(why) => Some(why.mend()),
        }
    }
}

/// What the operator gave.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The flags.
    pub flags: &'a Flags,
    /// The words behind `--`.
    pub command: &'a [OsString],
    /// The environment with every byte.
    pub variables: &'a Variables,
    /// The environment for settings.
    pub environment: &'a Environment,
}

/// Runs the site of the current directory until it is told to stop.
///
/// # Errors
///
/// [`Error`].
pub fn run(given: &Given<'_>) -> Result<End, Error> {
    let mut signals = Signals::catch(true)?;
    let mut draft = Draft::make(given, Purpose::Run)?;
    let leg = draft.leg.take();
    // From now on visitors can connect; they wait.
    let listener = app::bind(&draft.config)?;
    let questions = draft.questions();
    let Some(answers) = signals.during(move |flag| questions.ask(flag))? else {
        return Ok(End::Drained);
    };
    let site = draft.conclude(given, answers)?;
    let (programs, announce) = (site.programs(), || site.announce());
    let release = site.release(&programs, given.environment);
    let parts = app::Site { listener, programs, release, announce, signals, leg };
    Ok(app::run_site(&site.config, parts)?)
}

/// The settings that [`run`] would run with.
///
/// # Errors
///
/// [`Error::Settings`] and [`Error::Launch`].
pub fn settings(given: &Given<'_>) -> Result<Config, Error> {
    let draft = Draft::make(given, Purpose::Show)?;
    let answers = draft.questions().ask(&AtomicBool::new(false));
    draft.conclude(given, answers).map(|site| site.config)
}

/// What is found out for what.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Purpose {
    /// To run it.
    Run,
    /// To show it: nothing is taken that a running forebay has or may need.
    Show,
}

/// What is known before anybody is asked.
#[derive(Debug)]
struct Draft {
    config: Config,
    launch: Launch,
    derived: Vec<Derived>,
    /// The leg to the PostgreSQL server.
    leg: Option<Leg>,
    /// The variables that name it to the children.
    pointers: Variables,
}

impl Draft {
    fn make(given: &Given<'_>, purpose: Purpose) -> Result<Self, Error> {
        let port = launch::free_port()?;
        let text = format!("127.0.0.1:{port}");
        let derived = vec![Derived { name: "upstream", text, origin: Origin::Command }];
        let config = load(given, &derived)?;
        let processes = config.processes.iter().map(|config::Process { name, command }| {
            let command = match command {
                config::Command::Line(line) => Command::Line(line.clone()),
                config::Command::Words(words) => {
                    Command::Words(words.iter().map(OsString::from).collect())
                }
            };
            (name.clone(), command)
        });
        let leg = config.postgres.as_ref().filter(|_| purpose == Purpose::Run);
        let leg = leg
            .map(|leg| Leg::bind(leg, leg.changes_variables))
            .transpose()
            .map_err(app::Error::from)?;
        let pointers = pointers(&config, leg.as_ref(), given.variables);
        let mut variables = given.variables.clone();
        variables.extend(pointers.clone());
        let launch = Launch::find(&Wish {
            command: given.command,
            processes: &processes.collect::<Vec<_>>(),
            directory: Path::new("."),
            variables: &variables,
            port,
            essential: &config.essential,
        })?;
        Ok(Self { config, launch, derived, leg, pointers })
    }

    fn questions(&self) -> Questions {
        let asks_django = !self.config.is_chosen("static");
        Questions {
            django: asks_django.then(|| self.launch.django.clone()),
            gunicorn: self.launch.gunicorn.clone(),
        }
    }

    /// Takes the answers into the settings.
    fn conclude(self, given: &Given<'_>, answers: Answers) -> Result<Site, Error> {
        let Self { config, mut launch, mut derived, pointers, .. } = self;
        if let Some(Ok(answer)) = &answers.gunicorn {
            launch.learn(answer);
        }
        let socket = derive::wants_socket(&config, &launch.traits).then(derive::folder).flatten();
        if let Some(folder) = &socket {
            derived.retain(|it| it.name != "upstream");
            derived.push(derive::socket(folder.path()));
        }
        derived.extend(derive::of_traits(&launch.traits, socket.is_some()));
        if let Some(Ok(django)) = &answers.django {
            derived.extend(derive::static_files(django).ok());
        }
        let config = load(given, &derived)?;
        Ok(Site { config, launch, answers, pointers, _socket: socket })
    }
}

/// The variables that lead the children to the leg.
fn pointers(config: &Config, leg: Option<&Leg>, given: &Variables) -> Variables {
    match (&config.postgres, leg) {
        (Some(settings), Some(leg)) if settings.changes_variables => {
            variables::pointing_at(leg.at(), &settings.server, given)
        }
        _ => Variables::new(),
    }
}

fn load(given: &Given<'_>, derived: &[Derived]) -> Result<Config, Faults> {
    Config::load_with(given.flags.clone(), given.environment, Need::Upstream, derived)
}

/// What Python is asked.
#[derive(Debug)]
struct Questions {
    django: Option<django::Question>,
    gunicorn: Option<gunicorn::Question>,
}

/// What it said; nothing where it was not asked.
#[derive(Debug)]
pub struct Answers {
    /// Django.
    pub django: Option<Result<django::Site, django::Error>>,
    /// gunicorn.
    pub gunicorn: Option<Result<gunicorn::Configuration, Failure>>,
}

impl Questions {
    /// Asks all at once.
    fn ask(&self, is_given_up: &AtomicBool) -> Answers {
        let django = || self.django.as_ref().map(|it| django::ask(it, DEADLINE, is_given_up));
        let gunicorn = || self.gunicorn.as_ref().map(|it| gunicorn::ask(it, DEADLINE, is_given_up));
        thread::scope(|scope| {
            let beside = thread::Builder::new().spawn_scoped(scope, gunicorn);
            let django = django();
            // Without a thread one is asked after the other.
            let gunicorn = beside.map_or_else(|_| gunicorn(), |it| it.join().unwrap_or_default());
            Answers { django, gunicorn }
        })
    }
}

/// A site of which all is known that has to be.
#[derive(Debug)]
struct Site {
    config: Config,
    launch: Launch,
    answers: Answers,
    /// The variables that lead to the PostgreSQL leg.
    pointers: Variables,
    /// Where the application's socket is; removed at the end.
    _socket: Option<TempDir>,
}

impl Site {
    fn programs(&self) -> Vec<Program> {
        let place = match &self.config.upstream.address {
            Address::Unix(path) => Place::Unix(path.clone()),
            Address::Tcp { host, port } => Place::Tcp { host: host.clone(), port: *port },
        };
        let version = self.config.upstream.proxy_protocol.map(|version| match version {
            Version::V1 => "v1",
            Version::V2 => "v2",
        });
        let mut programs = self.launch.programs(&place, version);
        for program in &mut programs {
            // What a line says itself comes later, and holds.
            program.variables.splice(0..0, self.pointers.clone());
        }
        programs
    }

    /// The engine of Django's default database, where that is known and not PostgreSQL's.
    fn other_kind(&self) -> Option<String> {
        let site = self.answers.django.as_ref()?.as_ref().ok()?;
        let databases = &site.details.as_ref().ok()?.databases;
        let default = databases.iter().find(|it| it.alias == "default")?;
        (!default.is_postgres()).then(|| default.engine.clone())
    }

    /// With whom the release command takes turns, where there is one.
    fn release(&self, programs: &[Program], environment: &Environment) -> Option<ReleaseWish> {
        let command = programs.iter().find(|program| program.role == Role::Release)?;
        let places = &self.config.assets.places;
        Some(ReleaseWish {
            settings: self.config.release.clone(),
            release_deadline: self.config.supervise.release_deadline,
            variables: environment.clone(),
            command: command.written.clone(),
            collected: places.iter().map(|place| place.directory.clone()).collect(),
            leg: self.config.postgres.clone(),
            other_kind: self.other_kind(),
        })
    }

    /// Says what was found out.
    fn announce(&self) {
        self.launch.announce();
        tell::postgres(&self.config, self.pointers.keys());
        tell::server(&self.config, &self.launch, self.answers.gunicorn.as_ref());
        tell::django(self.answers.django.as_ref());
    }
}

/// How long Django's settings and gunicorn's configuration may take to load.
const DEADLINE: Duration = Duration::from_secs(10);
