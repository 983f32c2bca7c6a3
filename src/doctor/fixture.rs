//! A site that has nothing wrong with it, for tests to spoil.
//!
//! Owns: what a healthy site on App Service looks like.
//! Must not know: rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::database::{Reached, Session};
use super::live::{Answer, Live};
use super::machine::{Disk, Listener, Machine};
use super::patient::{Patient, Start};
use super::scripts::Script;
use super::{RULES, Severity};
use crate::config::{Config, Environment, Flags, Need};
use crate::launch::Traits;
use crate::python::details::{Database, Details};
use crate::python::django;
use crate::python::load::Loaded;

/// The site's files; they are only read.
static FILES: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mysite", "collected"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    for name in ["manage.py", "mysite/__init__.py", "mysite/wsgi.py", "collected/app.css"] {
        fs::write(folder.path().join(name), "").unwrap();
    }
    fs::write(folder.path().join("collected/staticfiles.json"), "{}").unwrap();
    folder
});

/// Where they are.
pub(super) fn directory() -> &'static Path {
    FILES.path()
}

/// A site without a fault.
pub(super) fn healthy() -> Patient {
    with(&[], &[])
}

/// The same with more flags.
pub(super) fn with_flags(flags: &[(&'static str, &str)]) -> Patient {
    with(flags, &[])
}

/// The same with more flags and variables.
pub(super) fn with(flags: &[(&'static str, &str)], variables: &[(&str, &str)]) -> Patient {
    let usual = [
        ("PORT", "8000"),
        ("WEBSITE_SITE_NAME", "example-app"),
        ("WEBSITE_HOSTNAME", "example-app.azurewebsites.net"),
    ];
    let variables = usual.iter().chain(variables);
    let environment: Environment =
        variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let served = format!("/static/={}", directory().join("collected").display());
    let usual = [("host", "www.example.com"), ("static", &served)];
    let flags = usual.iter().chain(flags).map(|(name, text)| (*name, vec![(*text).to_owned()]));
    let flags = Flags { settings: flags.collect(), file: None };
    let config = Config::load(flags, &environment, Need::NoUpstream).unwrap();
    Patient {
        config,
        start: Ok(start()),
        django: Ok(django()),
        django_fault: None,
        loaded: Ok(Ok(Loaded { time: Duration::from_secs(3), peak_bytes: 60 << 20 })),
        first: Ok(environment.clone()),
        environment,
        directory: directory().to_owned(),
        scripts: vec![Script::new("startup.sh", "exec forebay run -- gunicorn mysite.wsgi")],
        machine: machine(),
        live: Ok(Live {
            at: "port 8000, the public one".to_owned(),
            believes_scheme: true,
            answers: vec![(
                "www.example.com".to_owned(),
                Ok(Answer { status: 200, ..Answer::default() }),
            )],
        }),
        database: Ok(Reached {
            target: "database `mysite` of db.postgres.database.azure.com:5432 as `mysite`"
                .to_owned(),
            named_by: "DATABASE_URL".to_owned(),
            password_length: Some(20),
            outcome: Ok(Session { is_encrypted: true, apart: Duration::ZERO }),
        }),
    }
}

fn start() -> Start {
    Start {
        found: "the command line".to_owned(),
        web: ["gunicorn", "--workers", "4", "mysite.wsgi"].map(str::to_owned).to_vec(),
        program: Some("/site/antenv/bin/gunicorn".into()),
        has_shell: false,
        module: Some("mysite.wsgi".to_owned()),
        directory: directory().to_owned(),
        traits: Traits {
            server: Some("gunicorn"),
            class: Some("sync".to_owned()),
            timeout: Some(Duration::from_secs(30)),
            graceful_timeout: Some(Duration::from_secs(30)),
            keep_alive: Some(Duration::from_secs(2)),
            connects_for_each: true,
            ..Traits::default()
        },
        workers: Some(4),
        gunicorn_fault: None,
    }
}

fn django() -> django::Site {
    django::Site {
        settings: "mysite.settings".to_owned(),
        static_prefix: "/static/".to_owned(),
        static_root: Some(directory().join("collected")),
        storage: Some("django.contrib.staticfiles.storage.ManifestStaticFilesStorage".to_owned()),
        has_whitenoise: false,
        whitenoise_root: None,
        whitenoise_max_age: None,
        whitenoise_index_file: None,
        allowed_hosts: vec!["www.example.com".to_owned(), ".azurewebsites.net".to_owned()],
        debug: false,
        details: Ok(Details {
            python: "3.12.4".to_owned(),
            django: "5.2".to_owned(),
            csrf_trusted_origins: vec!["https://www.example.com".to_owned()],
            proxy_ssl_header: Some(("HTTP_X_FORWARDED_PROTO".to_owned(), "https".to_owned())),
            ssl_redirect: true,
            middleware: [
                "django.middleware.security.SecurityMiddleware",
                "django.middleware.csrf.CsrfViewMiddleware",
            ]
            .map(str::to_owned)
            .to_vec(),
            apps: vec!["django.contrib.staticfiles".to_owned()],
            session_cookie_secure: true,
            csrf_cookie_secure: true,
            session_engine: "django.contrib.sessions.backends.db".to_owned(),
            secret_key_length: 50,
            databases: vec![database()],
            ..Details::default()
        }),
    }
}

fn database() -> Database {
    Database {
        alias: "default".to_owned(),
        engine: "django.db.backends.postgresql".to_owned(),
        host: "db.postgres.database.azure.com".to_owned(),
        port: "5432".to_owned(),
        name: "mysite".to_owned(),
        user: "mysite".to_owned(),
        password_length: Some(20),
        options: vec!["sslmode".to_owned(), "sslrootcert".to_owned()],
        sslmode: Some("verify-full".to_owned()),
        sslrootcert: Some("system".to_owned()),
        has_server_side_cursors: true,
        ..Database::default()
    }
}

fn machine() -> Machine {
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let disk = |purpose, path: &str| Disk {
        purpose,
        path: PathBuf::from(path),
        free_bytes: Some(20 << 30),
    };
    Machine {
        memory_bytes: Some(4 << 30),
        disks: vec![disk("content that waits (--spool-dir)", "/tmp"), disk("the site", "/site")],
        listeners: Ok(vec![Listener { port: 8000, program: Some("forebay".to_owned()) }]),
        now,
        newest: Some((PathBuf::from("manage.py"), now)),
    }
}

/// The part of Django's settings that a test spoils.
pub(super) fn details(patient: &mut Patient) -> &mut Details {
    patient.django.as_mut().unwrap().details.as_mut().unwrap()
}

/// The default database of it.
pub(super) fn default_database(patient: &mut Patient) -> &mut Database {
    &mut details(patient).databases[0]
}

/// What all rules find: the id and how bad it is.
pub(super) fn found(patient: &Patient) -> Vec<(&'static str, Severity)> {
    let found = RULES.iter().flat_map(|rule| {
        let findings = (rule.check)(patient).unwrap_or_default();
        findings.into_iter().map(|finding| (rule.id, finding.severity))
    });
    found.collect()
}

/// The evidence and the words of one rule.
pub(super) fn words(patient: &Patient, id: &str) -> String {
    let rule = RULES.iter().find(|rule| rule.id == id).unwrap();
    let findings = (rule.check)(patient).unwrap();
    let words = findings.iter().map(|it| format!("{} {} {:?}", it.what, it.evidence, it.mend));
    words.collect::<Vec<_>>().join("\n")
}
