//! `forebay status`: against forebay itself, and against scripted sites behind a load balancer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::Arc;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Application, Forebay, Watched, find, fresh_directory, run, text};

const TOKEN: &str = "a-token-of-24-characters";

/// What a site answers: the report of an instance.
fn report(instance: &str, release: &str, phase: &str, uptime: f64) -> Value {
    json!({
        "forebay": "0.1.0",
        "instance": instance,
        "release": release,
        "phase": phase,
        "uptime_seconds": uptime,
    })
}

/// A load balancer and what stands behind it, by the number of the question. It keeps what it heard.
struct Site {
    address: SocketAddr,
    heard: Arc<Watched<Vec<String>>>,
}

impl Site {
    fn answering(answer: impl Fn(usize) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Watched::<Vec<String>>::default());
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().map_while(Result::ok).enumerate() {
                let mut stream = stream;
                let request = head(&mut stream);
                kept.change(|kept| kept.push(text(&request)));
                // Who asked may have gone.
                drop(stream.write_all(answer(number).as_bytes()));
            }
        });
        Self { address, heard }
    }

    /// With a report for each question.
    fn reporting(report: impl Fn(usize) -> Value + Send + 'static) -> Self {
        Self::answering(move |number| ok(&report(number).to_string()))
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn questions(&self) -> usize {
        self.heard.look().len()
    }
}

fn ok(content: &str) -> String {
    // In two chunks, as a front end may send it, with the cookie that pins a visitor.
    let (first, second) = content.split_at(content.len() / 2);
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\
         Set-Cookie: ARRAffinity=abc;Path=/\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
        first.len(),
        second.len()
    )
}

const FAST: &[&str] = &["--interval", "10ms", "--settle", "300ms", "--deadline", "20s"];

/// Reads a request's header section, or what comes of it.
fn head(stream: &mut impl Read) -> Vec<u8> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while find(&request, b"\r\n\r\n").is_none() {
        match stream.read(&mut piece) {
            Ok(length @ 1..) => request.extend_from_slice(&piece[..length]),
            _ => break,
        }
    }
    request
}

#[test]
fn without_a_target_it_finds_the_forebay_of_this_machine() {
    let application = Application::ok();
    let forebay = Forebay::before(&application).ready();
    let folder = forebay.directory().to_str().unwrap().to_owned();
    let here = [("XDG_RUNTIME_DIR", folder.as_str())];
    let ran = run(&["status"]).variables(&here).ran();
    assert_eq!((ran.code, ran.complaints.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.out.starts_with("forebay ") && ran.out.contains("  ready for "), "{ran:?}");
    assert!(!ran.out.contains('\x1b'), "this is no terminal");
    let quiet = run(&["status", "--quiet"]).variables(&here).ran();
    assert_eq!((quiet.code, quiet.out.as_str()), (Some(0), ""));
    let json = run(&["status", "--json"]).variables(&here).ran();
    assert_eq!(serde_json::from_str::<Value>(&json.out).unwrap()["pid"], forebay.id());
    // Another one, of the same user: nobody knows which is meant.
    let user = forebay.admin_socket().file_name().unwrap().to_str().unwrap().to_owned();
    let user = user.rsplit_once('-').unwrap().0.to_owned();
    let other = UnixListener::bind(forebay.directory().join(format!("{user}-1.sock"))).unwrap();
    let ran = run(&["status"]).variables(&here).ran();
    assert_eq!(ran.code, Some(2));
    assert!(ran.complaints.contains("several run here: unix:/"), "{ran:?}");
    drop(other);
    assert_eq!(run(&["status"]).variables(&here).ran().code, Some(0), "a dead one is none");
}

#[test]
fn the_exit_code_says_whether_the_site_is_ready() {
    let path = Application::fresh_path();
    let upstream = format!("unix:{}", path.display());
    let forebay = Forebay::started(&upstream, &[], &[]);
    let socket = format!("unix:{}", forebay.admin_socket().display());
    let ran = run(&["status", &socket]).ran();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("  starting for "), "{ran:?}");
    let ran = run(&["status", "unix:/nowhere/a.sock", "--quiet"]).ran();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.complaints.contains("mend:"), "{ran:?}");
    for arguments in [
        &["status", "nonsense"][..],
        &["status", "--until-restart", "--watch"],
        &["status", "--deadline", "5"],
    ] {
        assert_eq!(run(arguments).ran().code, Some(2), "{arguments:?}");
    }
}

#[test]
fn a_rolling_release_over_three_instances_is_followed_to_its_end() {
    // By turns; one after the other becomes new, and starts for a while.
    let site = Site::reporting(|number| {
        let instance = number % 3;
        let becomes_new = 10 + instance * 15;
        let (release, phase) = match number {
            _ if number < becomes_new => ("old", "ready"),
            _ if number < becomes_new + 9 => ("new-release", "starting"),
            _ => ("new-release", "ready"),
        };
        report(["a", "b", "c"][instance], release, phase, 5.0)
    });
    let url = site.url();
    let arguments = [&["status", &url, "--until-release", "new-rel"], FAST].concat();
    let ran = run(&arguments).ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for instance in ["a", "b", "c"] {
        for state in [
            "release old  old  ready",
            "release new-release  new  starting",
            "release new-release  new  ready",
        ] {
            assert!(ran.out.contains(&format!("instance {instance}  {state}")), "{ran:?}");
        }
    }
    assert!(ran.out.lines().last().unwrap().contains("reached: 3 of 3 instances"), "{ran:?}");
    // The last one is ready at question 49, and each of the three has six answers afterwards.
    assert!(site.questions() >= 49 + 17, "{}", site.questions());
    let heard = site.heard.look();
    assert!(heard.iter().all(|it| !it.to_ascii_lowercase().contains("cookie")), "{heard:?}");
    assert!(heard[0].starts_with("GET /.forebay/status HTTP/1.1\r\n"), "{heard:?}");
}

#[test]
fn an_instance_that_stays_old_keeps_it_waiting_until_the_deadline() {
    let site = Site::reporting(|number| match number % 4 {
        3 => report("b", "old", "ready", 5.0),
        _ => report("a", "new", "ready", 5.0),
    });
    let url = site.url();
    let deadline = ["--interval", "5ms", "--settle", "50ms", "--deadline", "1s"];
    let ran = run(&[&["status", &url, "--until-release", "new"], &deadline[..]].concat()).ran();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("not reached by the deadline: 1 of 2 instances"), "{ran:?}");
}

#[test]
fn a_restart_is_seen_through_silence_and_errors() {
    let site = Site::answering(|number| match number {
        0..5 => ok(&report("a", "r", "ready", 1000.0).to_string()),
        5..8 => String::new(),
        8..10 => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => ok(&report("a", "r", "ready", 0.0001).to_string()),
    });
    let url = site.url();
    let ran = run(&[&["status", &url, "--until-restart"], FAST].concat()).ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("no answer: "), "{ran:?}");
    assert!(ran.out.contains("answers 503"), "{ran:?}");
    assert!(ran.out.contains("instance a  release r  old  ready"), "{ran:?}");
    assert!(ran.out.contains("instance a  release r  new  ready"), "{ran:?}");
}

#[test]
fn a_wrong_token_is_told_at_once_and_the_right_one_is_sent() {
    let application = Application::ok();
    let variables = [("FOREBAY_STATUS_TOKEN", TOKEN)];
    let forebay = Forebay::started(application.address(), &[], &variables).ready();
    let url = format!("http://{}", forebay.address());
    let ran = run(&["status", &url]).variables(&variables).ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for more in [&[][..], &["--watch"], &["--until-restart"]] {
        let arguments = [&["status", &url, "--token", "the-wrong-token-of-some"], more].concat();
        let ran = run(&arguments).ran();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.complaints.contains("the token is missing or wrong (401"), "{ran:?}");
        assert!(!ran.complaints.contains("the-wrong-token"), "{ran:?}");
    }
    let ran = run(&["status", "http://192.0.2.1:8000"]).variables(&variables).ran();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.complaints.contains("not sent to http://192.0.2.1:8000"), "{ran:?}");
    // Without a token on the site, the application answers.
    let forebay = Forebay::before(&application).ready();
    let ran = run(&["status", &format!("http://{}", forebay.address())]).ran();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.complaints.contains("mend:  set FOREBAY_STATUS_TOKEN"), "{ran:?}");
}

#[test]
fn what_is_no_forebay_is_told_as_what_it_is() {
    let redirect =
        "HTTP/1.1 301 Moved\r\nLocation: https://a.example/\x1b[2J\r\nContent-Length: 0\r\n\r\n";
    for (answer, told) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "answers 200 OK there is no status"),
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answers 404 Not Found there"),
        ("not HTTP", "no answer: "),
        ("", "no answer: "),
        (&redirect.replace("\x1b[2J", "x"), "sends one to https://a.example/x"),
    ] {
        let answer = answer.to_owned();
        let site = Site::answering(move |_| answer.clone());
        let ran = run(&["status", &site.url()]).ran();
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.complaints.contains(told), "{told}: {ran:?}");
    }
    let endless = Site::answering(|_| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n{}", "x".repeat(3_000_000))
    });
    assert_eq!(run(&["status", &endless.url()]).ran().code, Some(2));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let ran = run(&["status", &url, "--deadline", "300ms"]).ran();
    assert_eq!(ran.code, Some(2));
    assert!(ran.complaints.contains("no answer within"), "{ran:?}");
}

#[test]
fn watching_writes_a_line_for_each_change_where_there_is_no_terminal() {
    let site = Site::reporting(|number| {
        report("a", "r", if number < 5 { "starting" } else { "ready" }, 5.0)
    });
    let url = site.url();
    let flags = ["--watch", "--interval", "20ms", "--deadline", "1s"];
    let ran = run(&[&["status", &url], &flags[..]].concat()).ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let lines: Vec<_> = ran.out.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(lines[0].ends_with("instance a  starting  release r"), "{ran:?}");
    assert!(lines[1].ends_with("instance a  ready  release r"), "{ran:?}");
    assert!(site.questions() > 7);
}

/// A certificate for localhost and 127.0.0.1 of an authority of its own.
fn certificate(folder: &std::path::Path) {
    let script = "set -e
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=ours
        openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=localhost
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' > names
        openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \\
            -extfile names -out certificate.pem";
    let output = Command::new("sh").args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn https_is_believed_with_the_authority_that_is_named_and_else_not() {
    let folder = fresh_directory();
    certificate(&folder);
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let address = tls_site(&read("certificate.pem"), &read("key.pem"));
    let ca = folder.join("ca.pem");
    let url = format!("https://localhost:{}", address.port());
    let token = ["--token", TOKEN];
    let ca = ["--ca", ca.to_str().unwrap()];
    let ran = run(&[&["status", &url], &token[..], &ca].concat()).ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let numbered = format!("https://{address}");
    assert_eq!(run(&[&["status", &numbered], &ca[..]].concat()).ran().code, Some(1), "no token");
    let ran = run(&["status", &url]).ran();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.complaints.contains("UnknownIssuer"), "{ran:?}");
    let ran = run(&["status", &url, "--ca", "missing.pem"]).ran();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.complaints.contains("cannot read missing.pem"), "{ran:?}");
}

/// Answers ready to whoever has the token, and else that it starts.
fn tls_site(certificate: &[u8], key: &[u8]) -> SocketAddr {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_slice(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let request = head(&mut stream);
            let has_token = find(&request, format!("Bearer {TOKEN}\r\n").as_bytes()).is_some();
            let phase = if has_token { "ready" } else { "starting" };
            drop(stream.write_all(ok(&report("a", "r", phase, 5.0).to_string()).as_bytes()));
            stream.conn.send_close_notify();
            drop(stream.flush());
        }
    });
    address
}
