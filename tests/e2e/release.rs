//! Several instances of `forebay run` with one PostgreSQL: who runs the release command.

use std::fs;
use std::path::PathBuf;

use crate::support::database::{self, WithTls};
use crate::support::eventually;
use crate::support::start::{Started, fresh_folder};

/// Instances of one site with a database of their own.
struct Site {
    database: String,
    /// What a release command writes outside of the site.
    counter: PathBuf,
}

impl Site {
    fn new() -> Self {
        Self { database: database::fresh(), counter: fresh_folder().join("counter") }
    }

    /// An instance whose release command is counted and then does something.
    fn start(&self, release: &str, more: &[(&str, &str)]) -> Started {
        let counter = self.counter.display();
        let procfile = format!(
            "release: sh -c 'echo run >> {counter} && {release}'\nweb: gunicorn mysite.wsgi\n"
        );
        let url = format!("postgres://postgres@/{}?host={}", self.database, database::directory());
        let variables = [
            ("DATABASE_URL", url.as_str()),
            ("PGHOST", database::directory()),
            ("PGUSER", "postgres"),
            ("PGDATABASE", &self.database),
            ("GUNICORN_CMD_ARGS", "--no-control-socket"),
        ];
        let files = [("Procfile", procfile.as_str()), ("light.py", LIGHT)];
        Started::with(&files, &[], &[&variables, more].concat())
    }

    /// How often the command has begun.
    fn runs(&self) -> usize {
        fs::read_to_string(&self.counter).unwrap_or_default().lines().count()
    }

    fn query(&self, sql: &str) -> String {
        database::query_in(&self.database, sql)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.counter.parent().unwrap()));
    }
}

fn serves(site: &Started) {
    // Each part of a start has a deadline of its own.
    eventually("it is released", || {
        let written = site.written();
        let is_over = ["release phase is done", "the release has run already"];
        is_over.iter().any(|part| written.contains(part)).then_some(())
    });
    site.wait_for("the application is ready", 1);
    let home = site.get("/");
    assert_eq!((home.status, home.text()), (200, "home of 127.0.0.1"), "{}", site.written());
}

/// Settings with a database and little else: their migrations take a second.
const LIGHT: &str = "import os
from mysite.small import *
INSTALLED_APPS = ['django.contrib.contenttypes', 'django.contrib.auth']
DATABASES = {
    'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME': os.environ['PGDATABASE']},
}
";

const MIGRATE: &str = "PYTHONPATH=. python manage.py migrate --settings light";

#[test]
fn of_four_instances_one_migrates_and_all_serve() {
    let site = Site::new();
    let release = format!("{MIGRATE} && sleep 1");
    let instances: Vec<_> = (0..4).map(|_| site.start(&release, &[])).collect();
    instances.iter().for_each(serves);
    assert_eq!(site.runs(), 1);
    let written: String = instances.iter().map(Started::written).collect();
    for (part, count) in [
        ("release phase begins", 1),
        (r#""runs":"once per release""#, 1),
        ("another instance releases: this one waits", 3),
        ("the release has run already", 3),
    ] {
        assert_eq!(written.matches(part).count(), count, "{part}: {written}");
    }
    assert_eq!(site.query("SELECT count(*) > 0 FROM auth_permission"), "t");
    assert_eq!(site.query("SELECT state, exit_code, site FROM forebay_release"), "done|0|site");
    assert_eq!(
        site.query(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = \
             (SELECT oid FROM pg_database WHERE datname = current_database())"
        ),
        "0",
        "nobody keeps the lock"
    );
}

#[test]
fn a_release_that_has_run_is_not_run_again_and_another_one_is() {
    let site = Site::new();
    for (id, runs) in [("", 1), ("", 1), ("a", 2), ("a", 2), ("b", 3), ("a", 3)] {
        let variables = [("FOREBAY_RELEASE_ID", id)];
        let instance = site.start("true", if id.is_empty() { &[] } else { &variables });
        serves(&instance);
        assert_eq!(site.runs(), runs, "{id}: {}", instance.written());
    }
    assert_eq!(site.query("SELECT count(*) FROM forebay_release"), "3");
}

#[test]
fn when_the_first_is_killed_in_the_middle_the_next_one_runs_it() {
    let site = Site::new();
    // Only the first one is slow.
    let release = format!("(test $(wc -l < {}) -gt 1 || sleep 100)", site.counter.display());
    let mut first = site.start(&release, &[]);
    first.wait_for("release phase begins", 1);
    eventually("the command runs", || (site.runs() == 1).then_some(()));
    let others: Vec<_> = (0..3).map(|_| site.start(&release, &[])).collect();
    for other in &others {
        other.wait_for("this one waits", 1);
    }
    assert_eq!(site.query("SELECT state FROM forebay_release"), "running");
    first.kill();
    others.iter().for_each(serves);
    assert_eq!(site.runs(), 2);
    let written: String = others.iter().map(Started::written).collect();
    assert_eq!(written.matches("another one had begun, and was lost").count(), 1, "{written}");
    assert_eq!(site.query("SELECT state FROM forebay_release"), "done");
}

#[test]
fn one_that_is_told_to_stop_in_the_middle_leaves_it_to_the_next() {
    let site = Site::new();
    let release = format!("(test $(wc -l < {}) -gt 1 || sleep 100)", site.counter.display());
    let mut first = site.start(&release, &[]);
    eventually("the command runs", || (site.runs() == 1).then_some(()));
    let mut waiting = site.start(&release, &[]);
    waiting.wait_for("this one waits", 1);
    waiting.signal("TERM");
    assert_eq!(waiting.wait().code(), Some(0), "who waits stops at once");
    let next = site.start(&release, &[]);
    next.wait_for("this one waits", 1);
    first.signal("TERM");
    assert_eq!(first.wait().code(), Some(0));
    serves(&next);
    assert_eq!(site.runs(), 2);
}

#[test]
fn a_failed_release_ends_each_instance_with_its_code_and_each_tries_once() {
    let site = Site::new();
    let mut instances: Vec<_> = (0..2).map(|_| site.start("sleep 1 && exit 7", &[])).collect();
    for instance in &mut instances {
        assert_eq!(instance.wait().code(), Some(7), "{}", instance.written());
        assert_eq!(instance.processes(), 0);
    }
    assert_eq!(site.runs(), 2);
    let written: String = instances.iter().map(Started::written).collect();
    assert_eq!(written.matches("another one has tried, and failed").count(), 1, "{written}");
    assert_eq!(site.query("SELECT state, exit_code FROM forebay_release"), "failed|7");
}

#[test]
fn a_lock_that_is_lost_is_told_loudly_and_nothing_is_recorded() {
    let site = Site::new();
    let instance = site.start("sleep 2", &[]);
    instance.wait_for("release phase begins", 1);
    let mine = "FROM pg_stat_activity WHERE datname = current_database() \
                AND application_name LIKE 'forebay %'";
    assert_eq!(site.query(&format!("SELECT count(pg_terminate_backend(pid)) {mine}")), "1");
    instance.wait_for("the release lock is LOST", 1);
    serves(&instance);
    assert_eq!(site.query("SELECT state FROM forebay_release"), "running");
}

#[test]
fn a_role_that_may_make_no_table_has_the_lock_and_is_told_what_it_lacks() {
    let site = Site::new();
    let role = format!("poor_{}", site.database);
    site.query(&format!("CREATE ROLE {role} LOGIN"));
    site.query("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let url = format!("postgres://{role}@/{}?host={}", site.database, database::directory());
    let variables = [("DATABASE_URL", url.as_str())];
    let instances: Vec<_> = (0..2).map(|_| site.start("sleep 1", &variables)).collect();
    instances.iter().for_each(serves);
    assert_eq!(site.runs(), 2);
    for instance in &instances {
        let written = instance.written();
        for part in ["may not use the table forebay_release", "GRANT CREATE ON SCHEMA public"] {
            assert_eq!(written.matches(part).count(), 1, "{part}: {written}");
        }
    }
    assert_eq!(site.query("SELECT to_regclass('forebay_release') IS NULL"), "t");
}

#[test]
fn a_password_is_given_to_a_verified_server_alone() {
    let server = WithTls::start();
    server.query("CREATE ROLE app LOGIN PASSWORD 's3cr@t'");
    server.query("CREATE DATABASE app OWNER app");
    let (root, port) = (format!("{}/ca.pem", server.directory), server.port);
    let url = |host: &str, more: &str| {
        format!("postgres://app:s3cr%40t@{host}:{port}/app?sslmode=require{more}")
    };
    let believed = format!("&sslrootcert={root}");
    let site = Site::new();
    for (url, part) in [
        (url("localhost", ""), "sslrootcert or PGSSLROOTCERT"),
        (url("127.0.0.1", &believed), "its certificate is for another name"),
    ] {
        let mut instance = site.start("true", &[("DATABASE_URL", &url)]);
        assert_eq!(instance.wait().code(), Some(1));
        assert!(instance.written().contains(part), "{}", instance.written());
        assert!(!instance.written().contains("s3cr"), "{}", instance.written());
    }
    assert!(!server.log().contains("user=app"), "it was not even told the role: {}", server.log());
    let instance = site.start("true", &[("DATABASE_URL", &url("localhost", &believed))]);
    serves(&instance);
    assert_eq!(site.runs(), 1);
    assert!(server.log().contains("user=app database=app"), "{}", server.log());
    assert!(server.log().contains("SSL enabled (protocol=TLSv1.3"), "{}", server.log());
    let wrong = url("localhost", &believed).replace("s3cr%40t", "wrong");
    let mut instance = site.start("true", &[("DATABASE_URL", &wrong)]);
    assert_eq!(instance.wait().code(), Some(1));
    assert!(instance.written().contains("(28P01)"), "{}", instance.written());
}
