//! The release lock without a database: what is found, what is out of reach, what is refused.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Forebay, Start, eventually, run};

const PROCFILE: &str = "web: python3 web.py\nrelease: echo released\n";

const FILES: &[(&str, &str)] = &[("Procfile", PROCFILE)];

fn start(variables: &[(&str, &str)], flags: &[&str]) -> Forebay {
    Forebay::run(&Start { files: FILES, flags, variables, ..Start::default() })
}

/// Starts it, waits for its end and returns its complaints. Nothing has run then.
fn refused(variables: &[(&str, &str)], flags: &[&str]) -> String {
    let mut forebay = start(variables, flags);
    assert_eq!(forebay.end().code(), Some(1), "{variables:?}");
    let complaints = eventually("it complains", || {
        Some(forebay.complaints()).filter(|text| text.contains("mend:"))
    });
    assert!(forebay.said("release").is_empty() && forebay.children("web").is_empty());
    let lines = forebay.lines().join("\n");
    assert!(!complaints.contains("s3cret") && !lines.contains("s3cret"), "{complaints}\n{lines}");
    complaints
}

/// A server that keeps what it reads and answers once; without an answer it hangs up.
struct Fake {
    address: String,
    read: Arc<Mutex<Vec<u8>>>,
}

impl Fake {
    fn at(address: &str, answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let read = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&read);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, answer, &kept);
            }
        });
        Self { address, read }
    }

    fn read(&self) -> Vec<u8> {
        self.read.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &[u8], kept: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 1024];
    let Ok(count) = stream.read(&mut buffer) else { return };
    kept.lock().unwrap().extend(&buffer[..count]);
    if answer.is_empty() {
        return;
    }
    drop(stream.write_all(answer));
    // Whatever is said behind that is kept as well.
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        kept.lock().unwrap().extend(&buffer[..count]);
    }
}

/// PostgreSQL, "Message Formats": `ErrorResponse`, of 51 bytes behind its first.
const WRONG_PASSWORD: &[u8] = b"E\0\0\0\x33SFATAL\0C28P01\0Mpassword authentication failed\0\0";

#[test]
fn without_postgresql_the_release_runs_once_per_start_and_that_is_said() {
    for (variables, flags, said) in [
        (&[][..], &[][..], "no database is named"),
        (&[("DATABASE_URL", "sqlite:///db.sqlite3")], &[], "the database is not PostgreSQL"),
        (&[("DATABASE_URL", "postgres://u@h/d")], &["--release-lock", "off"], "once per start"),
    ] {
        let forebay = start(variables, flags).ready();
        let lines = forebay.lines().join("\n");
        assert!(lines.contains(said), "{said}: {lines}");
        assert!(lines.contains(r#""runs":"once per start""#), "{lines}");
        assert_eq!(forebay.said("release").len(), 1);
    }
}

#[test]
fn a_database_that_cannot_be_read_ends_the_start_without_its_password() {
    let complaints = refused(&[("DATABASE_URL", "postgres://u:s3cret@h:port/d")], &[]);
    for part in ["did not run", "DATABASE_URL does not name the database", "port", "%40"] {
        assert!(complaints.contains(part), "{part}: {complaints}");
    }
    let ran = run(&["run", "--release-lock", "mysql://u:s3cret@h/d", "--", "true"]).ran();
    let err = ran.complaints;
    assert!(err.contains("[redacted]") && !err.contains("s3cret"), "{err}");
}

#[test]
fn the_settings_are_shown_without_the_password() {
    let url = "postgres://u:s3cret@h/d";
    let ran = run(&["config", "--release-lock", url, "--release-id", "abc"]).ran();
    let out = ran.out;
    assert!(out.contains("[redacted]") && out.contains("abc"), "{out}");
    assert!(!out.contains("s3cret"), "{out}");
}

#[test]
fn a_database_out_of_reach_is_waited_for_and_then_told() {
    let url = "postgres://u:s3cret@127.0.0.1:1/d";
    let flags = ["--release-lock-deadline", "2s"];
    let complaints = refused(&[("DATABASE_URL", url)], &flags);
    for part in ["cannot connect to 127.0.0.1:1", "nobody listens there"] {
        assert!(complaints.contains(part), "{part}: {complaints}");
    }
    let complaints = refused(&[("DATABASE_URL", "postgres://u:s3cret@db.invalid/d")], &flags);
    assert!(complaints.contains("db.invalid:5432 cannot be resolved"), "{complaints}");
}

#[test]
fn a_stop_does_not_wait_for_the_database() {
    let url = "postgres://u@127.0.0.1:1/d";
    let mut forebay = start(&[("DATABASE_URL", url)], &["--drain-deadline", "20s"]);
    forebay.wait_for_line("it waits", |line| line.contains("waits for the database"));
    forebay.terminate();
    assert_eq!(forebay.end().code(), Some(0));
    assert!(forebay.said("release").is_empty());
}

#[test]
fn a_server_without_tls_never_gets_the_password_where_tls_is_demanded() {
    let server = Fake::at("127.0.0.1:0", b"N");
    let url = format!("postgres://u:s3cret@{}/d?sslmode=require", server.address);
    let complaints = refused(&[("DATABASE_URL", &url)], &[]);
    assert!(complaints.contains("speaks no TLS"), "{complaints}");
    assert_eq!(server.read(), [0, 0, 0, 8, 4, 210, 22, 47], "it was asked for TLS and no more");
}

#[test]
fn a_wrong_password_is_told_at_once() {
    let server = Fake::at("127.0.0.1:0", WRONG_PASSWORD);
    let url = format!("postgres://u:s3cret@{}/d", server.address);
    let complaints = refused(&[("DATABASE_URL", &url)], &["--release-lock-deadline", "1h"]);
    for part in ["password authentication failed (28P01)", "correct user and password"] {
        assert!(complaints.contains(part), "{part}: {complaints}");
    }
}

#[test]
fn a_pooler_is_passed_by() {
    // Port 6432 is a pooler's; the server is at 5432 of the same host, or nowhere.
    let server = Fake::at("127.64.32.1:5432", WRONG_PASSWORD);
    let pooler = Fake::at("127.64.32.1:6432", b"");
    let complaints = refused(&[("DATABASE_URL", "postgres://u:s3cret@127.64.32.1:6432/d")], &[]);
    assert!(complaints.contains("127.64.32.1:5432 refused"), "{complaints}");
    assert!(!server.read().is_empty());
    assert!(pooler.read().is_empty(), "it was not asked");
    let _pooler = Fake::at("127.64.32.2:6432", b"");
    let complaints = refused(&[("DATABASE_URL", "postgres://u:s3cret@127.64.32.2:6432/d")], &[]);
    for part in ["127.64.32.2:6432 is a connection pooler", "--release-lock postgres://"] {
        assert!(complaints.contains(part), "{part}: {complaints}");
    }
}
