//! Finds out everything that is looked at, each part within a deadline of its own.
//!
//! Owns: the order of finding out, what is left out offline.
//! Must not know: what is right or wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::machine::{self, Disk, Machine};
use super::patient::{Fault, Patient, Start};
use super::{Known, NotLooked, database, live, scripts, within};
use crate::config::{Config, Environment};
use crate::launch::Launch;
use crate::python::load::{self, Loaded};
use crate::python::{Failure, django};
use crate::site::{self, Answers, Given, View};
use crate::supervise::Role;
use crate::telemetry::chain;

/// Looks at the site of the current directory.
pub(super) fn patient(given: &Given<'_>, is_offline: bool) -> Result<Patient, site::Error> {
    let View { config, launch, answers } = site::view(given)?;
    let environment = given.environment.clone();
    let directory = fs::canonicalize(".").unwrap_or_else(|_| PathBuf::from("."));
    let (django, django_fault) = asked(&launch, &answers);
    let loaded = if is_offline { Err(offline()) } else { loaded(&launch, &answers) };
    let scripts = {
        let (directory, environment) = (directory.clone(), environment.clone());
        within(DEADLINE, move || scripts::read(&directory, &environment)).unwrap_or_default()
    };
    let machine = machine(&config, &directory);
    let hosts = config.shown().iter().find(|shown| shown.name == "host");
    let hosts = hosts.map(|shown| shown.values.clone()).unwrap_or_default();
    let live = if is_offline {
        Err(offline())
    } else {
        let config = config.clone();
        within(LIVE, move || live::ask(&config, &hosts)).and_then(|live| live)
    };
    let database = if is_offline {
        Err(offline())
    } else {
        let (config, environment) = (config.clone(), environment.clone());
        let details = django.as_ref().ok().and_then(|site| site.details.clone().ok());
        within(DATABASE, move || {
            let databases = details.as_ref().map(|it| it.databases.as_slice());
            database::reach(&config, &environment, databases)
        })
        .and_then(|reached| reached)
    };
    let start = match &launch {
        Ok(launch) => Ok(start(launch, &answers, &environment)),
        Err(why) => Err(Fault { what: chain(why), mend: why.mend() }),
    };
    let first = first();
    Ok(Patient {
        config,
        start,
        django,
        django_fault,
        loaded,
        environment,
        first,
        directory,
        scripts,
        machine,
        live,
        database,
    })
}

fn offline() -> NotLooked {
    NotLooked("--offline".to_owned())
}

/// What Django said, or why it is not known and whether that is a fault.
fn asked(
    launch: &Result<Launch, crate::launch::Error>,
    answers: &Answers,
) -> (Known<django::Site>, Option<Fault>) {
    match &answers.django {
        Some(Ok(site)) => (Ok(site.clone()), None),
        Some(Err(why @ django::Error::NoModule { .. })) => {
            (Err(NotLooked(format!("this is no Django site: {why}"))), None)
        }
        Some(Err(why)) => {
            let fault = Fault { what: why.to_string(), mend: MEND_SETTINGS.to_owned() };
            (Err(NotLooked("Django's settings are not known (FD-01)".to_owned())), Some(fault))
        }
        None => {
            let why =
                if launch.is_err() { "nothing can be started (FD-02)" } else { "nobody asked" };
            (Err(NotLooked(why.to_owned())), None)
        }
    }
}

const MEND_SETTINGS: &str = "try `python -c 'from django.conf import settings; settings.DEBUG'` in the \
                             same directory, with the same variables";

fn start(launch: &Launch, answers: &Answers, environment: &Environment) -> Start {
    let web = launch.found_programs().iter().find(|program| program.role == Role::Web);
    let words = web.map(|web| web.words.as_slice()).unwrap_or_default();
    let web: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let has_shell =
        matches!(web.as_slice(), [shell, option, ..] if shell == "sh" && option == "-c");
    let path = environment.get("PATH").map(String::as_str).unwrap_or_default();
    let gunicorn = answers.gunicorn.as_ref();
    Start {
        found: launch.found.to_string(),
        program: web.first().and_then(|program| find(program, path)),
        web,
        has_shell,
        module: launch.django.module.clone(),
        directory: launch.django.interpreter.directory.clone(),
        traits: launch.traits.clone(),
        workers: gunicorn.and_then(|it| it.as_ref().ok()).map(|it| it.workers),
        gunicorn_fault: gunicorn.and_then(|it| it.as_ref().err()).map(ToString::to_string),
    }
}

/// Where a program is.
fn find(program: &str, path: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|program| program.is_file());
    }
    std::env::split_paths(path).map(|folder| folder.join(program)).find(|it| it.is_file())
}

/// Loads the application once; a failure of the application is an answer too.
fn loaded(
    launch: &Result<Launch, crate::launch::Error>,
    answers: &Answers,
) -> Known<Result<Loaded, String>> {
    let Ok(launch) = launch else {
        return Err(NotLooked("nothing can be started (FD-02)".to_owned()));
    };
    if launch.django.module.is_none() && !matches!(answers.django, Some(Ok(_))) {
        return Err(NotLooked("the application's module is not known".to_owned()));
    }
    match load::measure(&launch.django, LOAD) {
        Ok(loaded) => Ok(Ok(loaded)),
        Err(why @ (Failure::Ended { .. } | Failure::TookTooLong { .. })) => {
            Ok(Err(why.to_string()))
        }
        Err(why @ (Failure::NotStarted { .. } | Failure::Stopped | Failure::Answer(_))) => {
            Err(NotLooked(why.to_string()))
        }
    }
}

fn machine(config: &Config, directory: &Path) -> Machine {
    let places = [
        ("content that waits (--spool-dir)", config.spool.directory.clone()),
        ("the site", directory.to_owned()),
    ];
    let disk = |(purpose, path): (&'static str, PathBuf)| {
        let unknown = Disk { purpose, path: path.clone(), free_bytes: None };
        within(DEADLINE, move || Disk::of(purpose, &path)).unwrap_or(unknown)
    };
    let site = directory.to_owned();
    Machine {
        memory_bytes: machine::memory_bytes(),
        disks: places.into_iter().map(disk).collect(),
        listeners: within(DEADLINE, machine::listeners).and_then(|found| found),
        now: SystemTime::now(),
        newest: within(DEADLINE, move || machine::newest(&site)).ok().flatten(),
    }
}

/// The environment of the container's first process (proc(5), `/proc/pid/environ`).
fn first() -> Known<Environment> {
    let bytes = fs::read("/proc/1/environ")
        .map_err(|why| NotLooked(format!("/proc/1/environ cannot be read ({why})")))?;
    Ok(variables(&bytes))
}

fn variables(bytes: &[u8]) -> Environment {
    let texts = bytes.split(|byte| *byte == 0).filter_map(|text| std::str::from_utf8(text).ok());
    let pairs = texts.filter_map(|text| text.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
}

/// How long a look at files may take: `/home` is a network share that may hang.
const DEADLINE: Duration = Duration::from_secs(5);

/// How long asking the running site may take, over all hosts.
const LIVE: Duration = Duration::from_secs(30);

/// How long connecting to the database may take, over all of its servers.
const DATABASE: Duration = Duration::from_secs(30);

/// How long the application may take to load.
const LOAD: Duration = Duration::from_mins(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_environment_is_read_byte_for_byte() {
        let read = variables(b"A=x$mCyu&\0B=a=b\0\xff=1\0C\0");
        let read: Vec<_> = read.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        assert_eq!(read, ["A:x$mCyu&", "B:a=b"]);
    }

    #[test]
    fn a_program_is_found_in_path_or_by_its_path() {
        assert!(find("sh", "/nowhere:/bin").is_some());
        assert_eq!(find("sh", "/nowhere"), None);
        assert_eq!(find("./sh", "/bin"), None);
        assert!(find("/bin/sh", "").is_some());
    }
}
