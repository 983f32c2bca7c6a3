//! The PostgreSQL leg, between raw clients and servers that answer as no good server does.
//!
//! What a real server says through it is in `tests/e2e/postgres_tls.rs`.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::{Forebay, PATIENCE, Start, fresh_directory, run, text};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const STARTUP: &[u8] = b"\0\0\0\x10\0\x03\0\0user\0a\0\0";

/// A server that answers a request for TLS with these bytes, then closes; or, where there are none,
/// says nothing until its client leaves. It counts connections.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn answering(answer: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || {
                    let mut request = [0; 8];
                    if stream.read_exact(&mut request).is_err() {
                        return;
                    }
                    assert_eq!(request, SSL_REQUEST);
                    match answer {
                        b"" => drop(stream.read_to_end(&mut Vec::new())),
                        b"close" => {}
                        answer => drop(stream.write_all(answer)),
                    }
                });
            }
        });
        Self { address, connections }
    }

    fn tunnel(&self, flags: &[&str]) -> Forebay {
        Forebay::tunnel(&self.address.to_string(), flags)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that comes until the connection ends, after these bytes were sent.
fn exchange(mut stream: impl Read + Write, bytes: &[u8]) -> Vec<u8> {
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(why) if why.kind() != ErrorKind::ConnectionReset => panic!("{why}"),
        _ => answer,
    }
}

/// The fields of an `ErrorResponse`: code, message, hint.
fn error(answer: &[u8]) -> [String; 3] {
    let (kind, rest) = answer.split_at_checked(5).unwrap();
    let length = u32::from_be_bytes(kind[1..].try_into().unwrap()) as usize;
    assert_eq!((kind[0], length), (b'E', answer.len() - 1), "{}", text(answer));
    let field = |kind: u8| {
        let mut fields = rest.split(|byte| *byte == 0);
        text(&fields.find(|it| it.first() == Some(&kind)).unwrap()[1..])
    };
    assert_eq!(field(b'S'), "FATAL");
    [field(b'C'), field(b'M'), field(b'H')]
}

#[test]
fn a_server_without_tls_gets_nothing_of_the_session() {
    for (answer, says) in [
        (&b"N"[..], "has no TLS"),
        (b"S\x16", "sent 1 bytes in the clear where TLS was to begin"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers HTTP"),
        (b"\x05", "does not answer as PostgreSQL does (its first byte is 0x05)"),
        (b"E\0\0\0\x0bFATAL\0\0", "answered with an error in the place of TLS"),
        (b"S\0\0\0\0\0\0\0\0", "sent 8 bytes in the clear"),
    ] {
        let server = Server::answering(answer);
        let forebay = server.tunnel(&[]);
        let [code, message, hint] = error(&exchange(connect(forebay.address()), STARTUP));
        assert_eq!(code, "08006");
        assert!(message.starts_with("forebay: 127.0.0.1:") && message.contains(says), "{message}");
        assert!(!hint.is_empty());
        let line = forebay.wait_for_line(says, |line| line.contains(says));
        assert!(line.contains("\"WARN\"") && line.contains("\"mend\""), "{line}");
        assert_eq!(server.connections.load(Ordering::Relaxed), 1, "{says}: there is no second try");
    }
}

#[test]
fn what_no_tls_record_is_ends_the_handshake() {
    let server = Server::answering(b"S");
    let [code, message, _] = error(&exchange(connect(server.tunnel(&[]).address()), STARTUP));
    assert_eq!(code, "08006");
    assert!(message.contains("before TLS was agreed on"), "{message}");
    assert_eq!(server.connections.load(Ordering::Relaxed), 2, "a second try, and no third");
}

#[test]
fn a_server_that_closes_at_once_is_tried_once_more() {
    let server = Server::answering(b"close");
    let [code, message, _] = error(&exchange(connect(server.tunnel(&[]).address()), STARTUP));
    assert_eq!(code, "08006");
    assert!(message.contains("ended the connection before its answer"), "{message}");
    assert_eq!(server.connections.load(Ordering::Relaxed), 2);
}

#[test]
fn silence_and_a_closed_port_are_told_apart() {
    let server = Server::answering(b"");
    let forebay = server.tunnel(&["--postgres-connect-deadline", "300ms"]);
    let [code, message, _] = error(&exchange(connect(forebay.address()), STARTUP));
    assert_eq!(code, "08006");
    assert!(message.contains("its answer to the request for TLS did not come within 0.3 s"));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let forebay = Forebay::tunnel(&closed.to_string(), &[]);
    let [code, message, _] = error(&exchange(connect(forebay.address()), STARTUP));
    assert_eq!(code, "08001");
    assert!(message.ends_with("refuses the connection: nobody listens there"), "{message}");
}

#[test]
fn a_client_that_asks_for_encryption_is_told_no_and_may_go_on() {
    let server = Server::answering(b"N");
    let forebay = server.tunnel(&[]);
    let mut stream = connect(forebay.address());
    let gss_request = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
    for request in [gss_request, SSL_REQUEST] {
        stream.write_all(&request).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"N");
    }
    assert_eq!(error(&exchange(stream, STARTUP))[0], "08006");
    // One that insists on TLS leaves.
    let mut stream = connect(forebay.address());
    stream.write_all(&SSL_REQUEST).unwrap();
    stream.read_exact(&mut [0]).unwrap();
    drop(stream);
    forebay.wait_for_line("the mend", |line| {
        line.contains("left when it was told that there is no TLS")
            && line.contains("sslmode=disable")
    });
}

#[test]
fn who_speaks_another_language_is_shown_out() {
    let server = Server::answering(b"N");
    let forebay = server.tunnel(&[]);
    for (bytes, says) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01"[..], "it begins with TLS at once"),
        (b"GET / HTTP/1.1\r\n\r\n", "it speaks HTTP"),
    ] {
        assert_eq!(text(&exchange(connect(forebay.address()), bytes)), "");
        // Of one kind of trouble, one line a minute; here both are of one.
        if says.contains("TLS") {
            forebay.wait_for_line(says, |line| line.contains(says));
        }
    }
    let [code, message, _] =
        error(&exchange(connect(forebay.address()), b"\x7f\xff\xff\xff\0\x03\0\0"));
    assert_eq!(code, "08P01");
    assert!(message.contains("2147483647 bytes"), "{message}");
    let told = exchange(connect(forebay.address()), b"\0\0\0\x08\0\x02\0\0");
    assert_eq!(error(&told)[0], "0A000");
    assert_eq!(server.connections.load(Ordering::Relaxed), 0);
}

#[test]
fn the_log_says_the_same_once_a_minute() {
    let server = Server::answering(b"N");
    let mut forebay = server.tunnel(&[]);
    for _ in 0..50 {
        assert_eq!(error(&exchange(connect(forebay.address()), STARTUP))[0], "08006");
    }
    forebay.signal("TERM");
    assert_eq!(forebay.end().code(), Some(0));
    let lines = forebay.lines();
    let told = lines.iter().filter(|line| line.contains("has no TLS")).count();
    assert_eq!(told, 1);
    assert!(lines.iter().any(|line| line.contains("\"failed\":50")), "{lines:?}");
}

#[test]
fn sessions_beyond_the_limit_are_refused_and_a_place_comes_back() {
    let server = Server::answering(b"");
    let forebay = server.tunnel(&["--postgres-connections", "2"]);
    let mut held = Vec::new();
    for count in 1..=2 {
        let mut stream = connect(forebay.address());
        stream.write_all(STARTUP).unwrap();
        held.push(stream);
        crate::support::eventually("it is connected", || {
            (server.connections.load(Ordering::Relaxed) == count).then_some(())
        });
    }
    let [code, message, hint] = error(&exchange(connect(forebay.address()), STARTUP));
    assert_eq!(code, "53300");
    assert!(message.contains("all 2 connections") && hint.contains("--postgres-connections"));
}

#[test]
fn a_stop_waits_for_sessions_and_not_for_ever() {
    let server = Server::answering(b"");
    let mut forebay = server.tunnel(&["--drain-deadline", "300ms"]);
    let mut stream = connect(forebay.address());
    stream.write_all(STARTUP).unwrap();
    crate::support::eventually("it is connected", || {
        (server.connections.load(Ordering::Relaxed) == 1).then_some(())
    });
    forebay.signal("TERM");
    assert_eq!(forebay.end().code(), Some(1), "what was there was cut");
    let lines = forebay.lines();
    assert!(lines.iter().any(|line| line.contains("\"cut_sessions\":1")), "{lines:?}");
}

#[test]
fn passwords_cross_no_network_in_the_clear_unless_it_is_asked_for() {
    let ran = run(&["tunnel", "--listen", "0.0.0.0:0", "--to", "db.example.com"]).ran();
    assert_eq!(ran.code, Some(2));
    for part in ["postgres-listen", "--postgres-exposed on", "passwords"] {
        assert!(ran.complaints.contains(part), "{}", ran.complaints);
    }
    let flags = ["--listen", "0.0.0.0:0", "--postgres-exposed", "on"];
    assert!(Forebay::tunnel("db.example.com", &flags).is_running());
    let ran = run(&["tunnel"]).ran();
    assert_eq!(ran.code, Some(2));
    assert!(ran.complaints.contains("--to "), "{}", ran.complaints);
}

#[test]
fn a_unix_socket_serves_as_well_and_goes_at_the_end() {
    let server = Server::answering(b"N");
    let path = fresh_directory().join(".s.PGSQL.5432");
    let place = format!("unix:{}", path.display());
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(["tunnel", "--listen", &place, "--to", &server.address.to_string()]).env_clear();
    command.stdout(std::process::Stdio::null());
    let mut forebay = command.spawn().unwrap();
    let stream = crate::support::eventually("it listens", || UnixStream::connect(&path).ok());
    assert_eq!(error(&exchange(stream, STARTUP))[0], "08006");
    let id = forebay.id().to_string();
    std::process::Command::new("sh").args(["-c", "kill -TERM $0", &id]).status().unwrap();
    assert_eq!(forebay.wait().unwrap().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn what_is_started_finds_the_leg_by_its_variables() {
    let url =
        "postgres://u%40x:p%24a$b@db.example.com:5432/site?sslmode=verify-full&sslrootcert=/a";
    for server in ["db.example.com", "auto"] {
        let forebay = Forebay::run(&Start {
            flags: &["--postgres", server, "--postgres-listen", "127.0.0.1:0"],
            command: &[
                "sh",
                "-c",
                "echo \"$DATABASE_URL $PGHOST $PGSSLMODE $OTHER\"; exec python3 web.py",
            ],
            variables: &[
                ("DATABASE_URL", url),
                ("PGHOST", "db.example.com"),
                ("PGSSLMODE", "require"),
                ("OTHER", "db.example.com"),
            ],
            ..Start::default()
        });
        let line = forebay.wait_for_line("where the leg is", |line| line.contains("\"listens\""));
        let (_, rest) = line.split_once("\"listens\":\"").unwrap();
        let place = rest.split('"').next().unwrap();
        let expected = format!(
            "postgres://u%40x:p%24a$b@{place}/site?sslmode=disable 127.0.0.1 disable db.example.com"
        );
        crate::support::eventually("the child tells", || {
            (forebay.said("web").first()?["message"] == expected.as_str()).then_some(())
        });
        let line = forebay.wait_for_line("names", |line| line.contains("these variables lead"));
        assert!(line.contains("DATABASE_URL PGHOST PGPORT PGSSLMODE"), "{line}");
        assert!(!line.contains("p%24"), "no values");
    }
}

#[test]
fn variables_stay_as_they_are_when_that_is_asked_for_and_none_is_worth_a_warning() {
    let command = &["sh", "-c", "echo \"$DATABASE_URL\"; exec python3 web.py"];
    let listen = ["--postgres", "db.example.com", "--postgres-listen", "127.0.0.1:0"];
    let forebay = Forebay::run(&Start {
        flags: &[&listen[..], &["--postgres-env", "off"]].concat(),
        command,
        variables: &[("DATABASE_URL", "postgres://db.example.com/site")],
        ..Start::default()
    });
    forebay.wait_for_word("web", "postgres://db.example.com/site");
    let forebay = Forebay::run(&Start {
        flags: &listen,
        command,
        variables: &[("DATABASE_URL", "postgres://other.example.com/site")],
        ..Start::default()
    });
    forebay.wait_for_word("web", "postgres://other.example.com/site");
    forebay.wait_for_line("a warning", |line| line.contains("no variable names the PostgreSQL"));
}
