//! The application names a file and forebay sends it.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::support::wire::{Answer, End};
use super::support::{Application, Forebay, Gate, fresh_directory, pattern};

const CONTENT: &[u8] = b"The content of a protected file.";

/// A directory for `/protected/` with a file, a secret beside it, and forebay in front of an
/// application that names what stands in the query: `/?X-Sendfile==/a` brings `X-Sendfile: /a`.
struct World {
    media: PathBuf,
    outside: PathBuf,
    application: Application,
    forebay: Forebay,
}

impl World {
    fn new() -> Self {
        Self::with("")
    }

    /// With more fields in the application's answers.
    fn with(fields: &str) -> Self {
        let directory = fresh_directory();
        let (media, outside) = (directory.join("media"), directory.join("outside"));
        fs::create_dir_all(media.join("sub")).unwrap();
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("secret.txt"), "secret").unwrap();
        put(&media.join("a.txt"), CONTENT);
        put(&media.join("sub/b c.txt"), CONTENT);
        let fields = fields.to_owned();
        let application = Application::playing(move |visit| {
            while let Some((head, _)) = visit.request() {
                let named = head.split(['?', ' ']).nth(2).unwrap().replace("==", ": ");
                let content = "the application's own content";
                visit.send(format!(
                    "HTTP/1.1 200 OK\r\n{named}\r\n{fields}Content-Length: {}\r\n\r\n",
                    content.len()
                ));
                if !head.starts_with("HEAD") {
                    visit.send(content);
                }
            }
        });
        let place = format!("/protected/={}", media.display());
        let forebay = Forebay::with(&application, &["--send-file", &place]);
        Self { media, outside, application, forebay }
    }

    fn accel(&self, path: &str) -> Answer {
        self.forebay.get(&format!("/?X-Accel-Redirect=={path}"))
    }

    fn sendfile(&self, path: &Path) -> Answer {
        self.forebay.get(&format!("/?X-Sendfile=={}", path.display()))
    }

    fn ask(&self, method: &str, fields: &str) -> Answer {
        let mut wire = self.forebay.connect();
        wire.send(format!(
            "{method} /?X-Accel-Redirect==/protected/a.txt HTTP/1.1\r\nHost: www.example.com\r\n\
             {fields}\r\n"
        ));
        if method == "HEAD" { wire.head() } else { wire.answer() }
    }

    /// The cause in the log line of the only request with this code.
    fn cause(&self, code: &str) -> String {
        let line = self.forebay.wait_for_request("a refusal", |line| line["code"] == code);
        line["cause"].as_str().unwrap().to_owned()
    }
}

/// A file that was modified long ago.
fn put(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(784_111_777)).unwrap();
}

#[test]
fn a_named_file_is_sent_with_the_applications_fields() {
    let world = World::with(
        "Content-Type: text/x-own\r\nContent-Disposition: attachment\r\nSet-Cookie: a=b\r\n\
         Set-Cookie: c=d\r\nCache-Control: private\r\n",
    );
    for answer in [
        world.accel("/protected/a.txt"),
        world.accel("/protected/sub/b%20c.txt"),
        world.accel("/protected//a.txt"),
        world.accel("/%70rotected/a.txt"),
        world.sendfile(&world.media.join("a.txt")),
    ] {
        assert_eq!((answer.status, answer.content.as_slice()), (200, CONTENT), "{answer:?}");
        assert_eq!(answer.field("content-length"), Some(&*CONTENT.len().to_string()));
        assert_eq!(answer.field("content-type"), Some("text/x-own"));
        assert_eq!(answer.field("content-disposition"), Some("attachment"));
        assert_eq!(answer.field("cache-control"), Some("private"));
        assert_eq!(answer.field("last-modified"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        assert_eq!(answer.field("accept-ranges"), Some("bytes"));
        let cookies = answer.fields.iter().filter(|(name, _)| name == "set-cookie").count();
        assert_eq!(cookies, 2);
        for name in ["x-accel-redirect", "x-sendfile", "x-forebay-error"] {
            assert_eq!(answer.field(name), None, "{name}");
        }
    }
    let line = world.forebay.wait_for_request("the first", |line| line["status"] == 200);
    assert_eq!(line["bytes"], CONTENT.len());
}

#[test]
fn without_a_place_the_fields_are_not_forebays() {
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /protected/a.txt\r\nX-Sendfile: /srv/a\r\n\
         Content-Length: 3\r\n\r\nown",
    );
    let forebay = Forebay::before(&application);
    let answer = forebay.get("/");
    assert_eq!(answer.field("x-accel-redirect"), Some("/protected/a.txt"));
    assert_eq!(answer.field("x-sendfile"), Some("/srv/a"));
    assert_eq!(answer.text(), "own");
}

#[test]
fn a_path_that_leads_elsewhere_is_refused_and_told_to_the_log_alone() {
    let world = World::new();
    let (media, outside) = (&world.media, &world.outside);
    symlink(outside.join("secret.txt"), media.join("link")).unwrap();
    symlink("../outside", media.join("folder")).unwrap();
    symlink("loop", media.join("loop")).unwrap();
    let fifo = media.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(media.join("socket")).unwrap();
    symlink("/dev/zero", media.join("device")).unwrap();
    for path in [
        "/protected/../outside/secret.txt",
        "/protected/%2e%2e/outside/secret.txt",
        "/protected/.%2E/outside/secret.txt",
        "/protected/%2e%2e%2foutside%2fsecret.txt",
        "/protected/%252e%252e/outside/secret.txt",
        "/protected/%252e%252e%252foutside%252fsecret.txt",
        "/protected/sub/../a.txt",
        "/protected/./a.txt",
        "/protected/a.txt%00.jpg",
        "/protected/..%5coutside%5csecret.txt",
        "/protected/link",
        "/protected/folder/secret.txt",
        "/protected/loop",
        "/protected/fifo",
        "/protected/socket",
        "/protected/device",
        "/protected/sub",
        "/protected/sub/",
        "/protected/",
        "/protected",
        "/protectedmore/a.txt",
        "/other/a.txt",
        "/etc/passwd",
        "a.txt",
        "http://127.0.0.1/protected/a.txt",
    ] {
        let answer = world.accel(path);
        assert_eq!((answer.status, answer.code()), (502, Some("FB-36")), "{path}");
        assert!(!answer.text().contains("secret") && !answer.text().contains("fb-"), "{path}");
    }
    for path in [
        outside.join("secret.txt"),
        outside.join("nothing"),
        media.join("../outside/secret.txt"),
        media.join("link"),
        media.join("fifo"),
        media.join("sub"),
        media.clone(),
        PathBuf::from("/etc/passwd"),
        PathBuf::from("a.txt"),
        media.strip_prefix("/").unwrap().join("a.txt"),
    ] {
        let answer = world.sendfile(&path);
        assert_eq!((answer.status, answer.code()), (502, Some("FB-36")), "{}", path.display());
    }
    let lines = world.forebay.wait_for_request("all are logged", |line| {
        line["cause"].as_str().is_some_and(|cause| cause.contains("beneath no place"))
    });
    assert_eq!(lines["code"], "FB-36");
    for part in ["outside of", "not a regular file", "percent-encoded twice", "a back-slash"] {
        world.forebay.wait_for_request(part, |line| {
            line["cause"].as_str().is_some_and(|cause| cause.contains(part))
        });
    }
}

#[test]
fn a_link_within_the_root_is_followed_also_when_it_is_absolute() {
    let world = World::new();
    symlink("sub/b c.txt", world.media.join("relative")).unwrap();
    symlink(world.media.join("a.txt"), world.media.join("absolute")).unwrap();
    // The root itself may be a link.
    let alias = world.media.parent().unwrap().join("alias");
    symlink(&world.media, &alias).unwrap();
    for path in ["/protected/relative", "/protected/absolute"] {
        assert_eq!(world.accel(path).content, CONTENT, "{path}");
    }
    let place = format!("/p={}", alias.display());
    let forebay = Forebay::with(&world.application, &["--send-file", &place]);
    for path in [alias.join("a.txt"), world.media.join("a.txt")] {
        let answer = forebay.get(&format!("/?X-Sendfile=={}", path.display()));
        assert_eq!(answer.content, CONTENT, "{}", path.display());
    }
    assert_eq!(forebay.get("/?X-Accel-Redirect==/p/a.txt").content, CONTENT);
}

#[test]
fn a_missing_file_is_not_found() {
    let world = World::new();
    symlink("nowhere", world.media.join("broken")).unwrap();
    for path in [
        "/protected/nothing",
        "/protected/nothing/at/all",
        "/protected/a.txt/b",
        "/protected/broken",
    ] {
        let answer = world.accel(path);
        assert_eq!((answer.status, answer.code()), (404, Some("FB-37")), "{path}");
        assert_eq!(answer.field("cache-control"), Some("no-store"));
    }
    let cause = world.cause("FB-37");
    assert!(cause.contains("media/nothing"), "{cause}");
}

#[test]
fn the_innermost_prefix_counts() {
    let world = World::new();
    let places = [
        format!("/={}", world.outside.display()),
        format!("/protected/={}", world.media.display()),
    ];
    let flags = ["--send-file", &*places[0], "--send-file", &*places[1]];
    let forebay = Forebay::with(&world.application, &flags);
    assert_eq!(forebay.get("/?X-Accel-Redirect==/protected/a.txt").content, CONTENT);
    assert_eq!(forebay.get("/?X-Accel-Redirect==/secret.txt").text(), "secret");
}

#[test]
fn two_names_in_one_answer_are_refused() {
    let world = World::with("X-Sendfile: /srv/b\r\n");
    let answer = world.accel("/protected/a.txt");
    assert_eq!((answer.status, answer.code()), (502, Some("FB-36")));
    assert!(world.cause("FB-36").contains("more than one"));
}

#[test]
fn conditions_and_ranges_are_the_clients() {
    let world = World::with("Content-Type: text/plain\r\n");
    let tag = world.ask("GET", "").field("etag").unwrap().to_owned();
    assert!(tag.starts_with('"'), "{tag}");
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    let all = CONTENT;
    for (method, fields, status, content) in [
        ("GET", format!("If-None-Match: {tag}\r\n"), 304, &b""[..]),
        ("GET", format!("If-None-Match: \"x\", W/{tag}\r\n"), 304, b""),
        ("GET", "If-None-Match: *\r\n".to_owned(), 304, b""),
        ("GET", "If-None-Match: \"x\"\r\n".to_owned(), 200, all),
        ("GET", format!("If-Modified-Since: {date}\r\n"), 304, b""),
        ("GET", format!("If-Match: {tag}\r\n"), 200, all),
        ("GET", "If-Match: \"x\"\r\n".to_owned(), 412, b""),
        ("GET", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n".to_owned(), 412, b""),
        ("GET", "Range: bytes=0-0\r\n".to_owned(), 206, b"T"),
        ("GET", "Range: bytes=4-10\r\n".to_owned(), 206, b"content"),
        ("GET", "Range: bytes=-5\r\n".to_owned(), 206, b"file."),
        ("GET", "Range: bytes=1000-\r\n".to_owned(), 416, b""),
        ("GET", "Range: bytes=0-,0-,0-,0-\r\n".to_owned(), 200, all),
        ("GET", format!("Range: bytes=0-0\r\nIf-Range: {tag}\r\n"), 206, b"T"),
        ("GET", format!("Range: bytes=0-0\r\nIf-Range: {date}\r\n"), 206, b"T"),
        ("GET", "Range: bytes=0-0\r\nIf-Range: \"x\"\r\n".to_owned(), 200, all),
        ("HEAD", "Range: bytes=0-0\r\n".to_owned(), 200, b""),
        ("HEAD", format!("If-None-Match: {tag}\r\n"), 304, b""),
        ("POST", format!("If-None-Match: {tag}\r\nContent-Length: 0\r\n"), 200, all),
    ] {
        let answer = world.ask(method, &fields);
        assert_eq!((answer.status, &*answer.content), (status, content), "{method} {fields}");
        assert_eq!(answer.code(), None);
        if method == "HEAD" && status == 200 {
            assert_eq!(answer.field("content-length"), Some(&*all.len().to_string()));
        }
        if status == 416 {
            let range = format!("bytes */{}", all.len());
            assert_eq!(answer.field("content-range"), Some(&*range));
        }
        if status == 304 {
            assert_eq!(answer.field("etag"), Some(&*tag));
        }
    }
    let answer = world.ask("GET", "Range: bytes=0-2,-5\r\n");
    assert_eq!(answer.status, 206);
    let kind = answer.field("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let text = answer.text();
    let parts: Vec<_> = text.split(&format!("--{boundary}")).collect();
    assert_eq!(parts.len(), 4, "{text}");
    assert!(parts[1].ends_with("Content-Range: bytes 0-2/32\r\n\r\nThe\r\n"), "{text}");
    assert!(parts[2].ends_with("Content-Range: bytes 27-31/32\r\n\r\nfile.\r\n"), "{text}");
    // The application sees what the client said.
    let heard = world.application.heard_text().concat().to_ascii_lowercase();
    assert!(heard.contains("if-none-match: *\r\n") && heard.contains("range: bytes=0-2,-5\r\n"));
}

#[test]
fn a_connection_goes_on_after_a_file_on_both_sides() {
    let world = World::new();
    let mut wire = world.forebay.connect();
    for method in ["GET", "GET", "HEAD", "GET"] {
        wire.send(format!(
            "{method} /?X-Accel-Redirect==/protected/a.txt HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
        ));
        if method == "HEAD" {
            assert_eq!(wire.head().field("content-length"), Some("32"));
        } else {
            assert_eq!(wire.answer().content, CONTENT);
        }
    }
    assert_eq!(world.application.heard().len(), 1, "the application's content was read");
}

#[test]
fn the_worker_is_free_before_the_client_has_the_file() {
    let directory = fresh_directory();
    let content = pattern(24 * 1024 * 1024);
    put(&directory.join("large"), &content);
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /p/large\r\nContent-Length: 0\r\n\r\n",
    );
    let place = format!("/p/={}", directory.display());
    let forebay = Forebay::with(&application, &["--send-file", &place]);
    let mut wire = forebay.connect();
    wire.send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    let head = wire.head();
    assert_eq!(head.field("content-length"), Some(&*content.len().to_string()));
    // Nothing of the content was taken, and the application's connection serves the next client.
    assert_eq!(forebay.get("/").status, 200);
    assert_eq!(application.heard().len(), 1);
    assert!(wire.bytes(content.len()) == content);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_cuts_the_answer_short() {
    let directory = fresh_directory();
    let path = directory.join("large");
    let length = 32 * 1024 * 1024;
    put(&path, &pattern(length));
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /p/large\r\nContent-Length: 0\r\n\r\n",
    );
    let place = format!("/p/={}", directory.display());
    let forebay = Forebay::with(&application, &["--send-file", &place]);
    let mut wire = forebay.connect();
    wire.send("GET /shrinking HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert_eq!(wire.head().status, 200);
    // More than buffers hold is still unread.
    File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    let (rest, end) = wire.rest();
    assert!(rest.len() < length && end != End::Open, "{} bytes, {end:?}", rest.len());
    assert!(rest == pattern(length)[..rest.len()], "only bytes of the file");
    let line = forebay.line_of("/shrinking");
    assert_eq!((&line["code"], &line["status"]), (&"FB-38".into(), &200.into()), "{line}");
    assert!(line["cause"].as_str().unwrap().contains("shorter"), "{line}");
}

#[test]
fn a_file_that_is_replaced_while_it_is_sent_stays_the_same() {
    let directory = fresh_directory();
    let path = directory.join("large");
    let content = pattern(24 * 1024 * 1024);
    put(&path, &content);
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /p/large\r\nContent-Length: 0\r\n\r\n",
    );
    let place = format!("/p/={}", directory.display());
    let forebay = Forebay::with(&application, &["--send-file", &place]);
    let mut wire = forebay.connect();
    wire.send("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    assert_eq!(wire.head().status, 200);
    fs::write(directory.join("new"), "another").unwrap();
    fs::rename(directory.join("new"), &path).unwrap();
    assert!(wire.bytes(content.len()) == content);
    assert_eq!(forebay.get("/").text(), "another");
}

#[test]
fn an_application_that_never_ends_its_own_content_does_not_hold_the_file_up() {
    let directory = fresh_directory();
    put(&directory.join("a"), CONTENT);
    let gate = Arc::new(Gate::default());
    let inner = Arc::clone(&gate);
    let application = Application::playing(move |visit| {
        visit.request();
        visit.send("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /p/a\r\nContent-Length: 99\r\n\r\nx");
        inner.wait();
    });
    let place = format!("/p/={}", directory.display());
    let forebay = Forebay::with(&application, &["--send-file", &place]);
    assert_eq!(forebay.get("/").content, CONTENT);
    gate.open();
}

#[test]
fn other_statuses_keep_their_own_content_and_lose_the_name() {
    for status in ["404 Not Found", "302 Found", "206 Partial Content"] {
        let application = Application::answering(format!(
            "HTTP/1.1 {status}\r\nX-Accel-Redirect: /p/a\r\nContent-Length: 3\r\n\r\nown"
        ));
        let forebay = Forebay::with(&application, &["--send-file", "/p/=/tmp"]);
        let answer = forebay.get("/");
        assert_eq!(answer.text(), "own", "{status}");
        assert_eq!(answer.field("x-accel-redirect"), None);
    }
}

#[test]
fn a_file_comes_over_http2_too() {
    let world = World::new();
    let content = pattern(300_000);
    put(&world.media.join("large"), &content);
    let mut client = world.forebay.connect_http2();
    let answer = client.get("/?X-Accel-Redirect==/protected/large");
    assert_eq!(answer.status, Some(200));
    assert!(answer.content == content);
}

#[test]
fn a_bad_place_ends_the_start() {
    let directory = fresh_directory();
    let file = directory.join("file");
    File::create(&file).unwrap().write_all(b"x").unwrap();
    for place in [
        "/protected/".to_owned(),
        "/protected/=relative".to_owned(),
        format!("/protected/={}", directory.join("nothing").display()),
        format!("/protected/={}", file.display()),
        format!("protected={}", directory.display()),
    ] {
        let flags = ["proxy", "--upstream", "127.0.0.1:1", "--send-file", &*place];
        let ran = super::support::run(&flags).ran();
        assert_eq!(ran.code, Some(2), "{place}: {ran:?}");
        assert!(ran.complaints.contains("send-file"), "{ran:?}");
    }
}
