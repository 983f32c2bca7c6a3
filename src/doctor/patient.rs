//! Everything that is looked at, gathered once.
//!
//! Owns: what there is to know of a site; each part can be unknown for a reason.
//! Must not know: how it is found out, what is right or wrong.

use std::path::PathBuf;

use super::Known;
use super::database::Reached;
use super::live::Live;
use super::machine::Machine;
use super::scripts::Script;
use crate::config::{Config, Environment, Shown};
use crate::launch::Traits;
use crate::proxy::normalise::Platform;
use crate::python::details::Details;
use crate::python::django;
use crate::python::load::Loaded;

/// A site and the place where it runs.
#[derive(Debug)]
pub struct Patient {
    /// The settings that `forebay run` would run with.
    pub config: Config,
    /// What it would start, or why it cannot, and what to do about that.
    pub start: Result<Start, Fault>,
    /// What Django's settings say.
    pub django: Known<django::Site>,
    /// Why Django's settings cannot be loaded, where they should.
    pub django_fault: Option<Fault>,
    /// Loading the application: what it took, or why it failed.
    pub loaded: Known<Result<Loaded, String>>,
    /// The environment.
    pub environment: Environment,
    /// The environment that the container's first process was given.
    pub first: Known<Environment>,
    /// The directory of the site.
    pub directory: PathBuf,
    /// Texts that start something.
    pub scripts: Vec<Script>,
    /// The machine.
    pub machine: Machine,
    /// What the running site answers.
    pub live: Known<Live>,
    /// What became of connecting to the database.
    pub database: Known<Reached>,
}

/// What would be started.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// Where it was found.
    pub found: String,
    /// The words of the web process.
    pub web: Vec<String>,
    /// Its program, where it is.
    pub program: Option<PathBuf>,
    /// Whether a shell sees its line first, so that its words say little.
    pub has_shell: bool,
    /// The module of the application, as `mysite.wsgi`.
    pub module: Option<String>,
    /// Where it is loaded.
    pub directory: PathBuf,
    /// How the application server takes requests.
    pub traits: Traits,
    /// Worker processes, where known.
    pub workers: Option<u32>,
    /// Why gunicorn's configuration is not known, where it should be.
    pub gunicorn_fault: Option<String>,
}

/// What is wrong with something, and what to do about it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub mend: String,
}

impl Patient {
    /// What Django's settings say.
    ///
    /// # Errors
    ///
    /// [`NotLooked`](super::NotLooked).
    pub fn django(&self) -> Known<&django::Site> {
        self.django.as_ref().map_err(Clone::clone)
    }

    /// The part of Django's settings that only the doctor looks at.
    ///
    /// # Errors
    ///
    /// [`NotLooked`](super::NotLooked).
    pub fn details(&self) -> Known<&Details> {
        self.django()?
            .details
            .as_ref()
            .map_err(|class| super::NotLooked(format!("reading Django's settings raised {class}")))
    }

    /// What would be started.
    ///
    /// # Errors
    ///
    /// [`NotLooked`](super::NotLooked).
    pub fn start(&self) -> Known<&Start> {
        self.start.as_ref().map_err(|_| super::NotLooked("nothing can be started (FD-02)".into()))
    }

    /// A setting in force.
    pub fn setting(&self, name: &str) -> Option<&Shown> {
        self.config.shown().iter().find(|shown| shown.name == name)
    }

    /// The names by which the site is to be reached: `--host`, or what stands for it.
    pub fn hosts(&self) -> Vec<String> {
        self.setting("host").map(|shown| shown.values.clone()).unwrap_or_default()
    }

    /// A variable that is set to something.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Where it runs.
    pub fn platform(&self) -> Platform {
        self.config.normalise.platform
    }
}
