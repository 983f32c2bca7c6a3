//! One throw-away database cluster for the whole run, made on first use.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

use super::{free_port, fresh_number, python_program, sources};

/// The variables by which libpq finds the database.
pub(crate) fn variables() -> [(&'static str, &'static str); 3] {
    [("PGHOST", directory()), ("PGUSER", "postgres"), ("PGDATABASE", "postgres")]
}

/// A directory that goes away with the cluster, with a path short enough for unix sockets.
pub(crate) fn directory() -> &'static str {
    &CLUSTER.directory
}

/// The first row of an SQL query, its columns joined by `|`.
pub(crate) fn query(sql: &str) -> String {
    query_in("postgres", sql)
}

/// A new database without tables.
pub(crate) fn fresh() -> String {
    let name = format!("fresh_{}", fresh_number());
    query(&format!("CREATE DATABASE {name}"));
    name
}

/// The same as [`query`] in another database.
pub(crate) fn query_in(database: &str, sql: &str) -> String {
    ask(directory(), 5432, database, sql)
}

fn ask(directory: &str, port: u16, database: &str, sql: &str) -> String {
    let output = Command::new("psql")
        .args(["-XAtc", sql])
        .envs([("PGHOST", directory), ("PGUSER", "postgres"), ("PGDATABASE", database)])
        .env("PGPORT", port.to_string())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// A cluster of its own that speaks TLS at a port of `localhost`; its root is in `ca.pem`, what it says
/// in `log`.
pub(crate) struct WithTls {
    pub directory: String,
    pub port: u16,
    _leash: Child,
}

impl WithTls {
    pub(crate) fn start() -> Self {
        let port = free_port();
        let (directory, leash) = start(&["tls", &port.to_string()], "");
        Self { directory, port, _leash: leash }
    }

    /// As [`query`].
    pub(crate) fn query(&self, sql: &str) -> String {
        ask(&self.directory, self.port, "postgres", sql)
    }

    /// What it has written.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(format!("{}/log", self.directory)).unwrap()
    }
}

/// A cluster, running.
pub(crate) struct Cluster {
    /// Where its socket is; it goes away with the cluster.
    pub(crate) directory: String,
    /// Its standard input closes with this process, and that ends the cluster.
    _leash: Child,
}

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    let cluster = Cluster::start("");
    prepare(&cluster.directory, "postgres");
    cluster
});

fn start(arguments: &[&str], flags: &str) -> (String, Child) {
    let mut leash = Command::new("sh")
        .arg(sources().join("support/postgres.sh"))
        .args(arguments)
        .env("POSTGRES_FLAGS", flags)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut directory = String::new();
    BufReader::new(leash.stdout.take().unwrap()).read_line(&mut directory).unwrap();
    let directory = directory.trim_end().to_owned();
    assert!(Path::new(&directory).is_dir(), "PostgreSQL did not start; its words are above");
    (directory, leash)
}

impl Cluster {
    /// A cluster with more flags for its server, with nothing in it.
    pub(crate) fn start(flags: &str) -> Self {
        let (directory, leash) = start(&[], flags);
        Self { directory, _leash: leash }
    }
}

/// Makes the site's tables and what its tests rely on, in an empty database.
pub(crate) fn prepare(directory: &str, name: &str) {
    let output = Command::new(python_program("python"))
        .args(["manage.py", "prepare"])
        .current_dir(sources().join("site"))
        .env_clear()
        .envs([("PGHOST", directory), ("PGUSER", "postgres"), ("PGDATABASE", name)])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
