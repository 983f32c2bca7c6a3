//! Static files, through the binary.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::support::wire::{End, Wire};
use crate::support::{Answer, Application, Forebay, eventually, fresh_directory, pattern, run};

/// forebay with files, in front of an application that answers everything.
struct World {
    files: PathBuf,
    application: Application,
    forebay: Forebay,
}

impl World {
    /// With some files at `/static/`, and more flags.
    fn new(flags: &[&str]) -> Self {
        let files = fresh_directory();
        fs::create_dir_all(files.join("d")).unwrap();
        put(&files, "a.css", CSS);
        put(&files, "a.css.gz", &gzipped(CSS));
        put(&files, "d/index.html", b"<p>index");
        put(&files, "app.0123456789ab.js", b"hashed");
        put(&files, "a bä.txt", b"name");
        Self::over(files, flags)
    }

    fn over(files: PathBuf, flags: &[&str]) -> Self {
        let application = Application::ok();
        let place = format!("/static/={}", files.display());
        let mut all = vec!["--static", &place];
        // Made in the background, they would come at any moment.
        if !flags.contains(&"--static-variants") {
            all.extend(["--static-variants", "off"]);
        }
        all.extend(flags);
        let forebay = Forebay::with(&application, &all);
        Self { files, application, forebay }
    }

    fn ask(&self, line: &str, fields: &str) -> Answer {
        ask(&mut self.forebay.connect(), line, fields)
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "")
    }

    /// Waits until a path brings this.
    fn wait_for(&self, path: &str, content: &[u8]) {
        eventually(path, || (self.get(path).content == content).then_some(()));
    }
}

const CSS: &[u8] = b"body { color: #333; background: #fff; color: #333; background: #fff }";

fn request(line: &str, fields: &str) -> String {
    let mut head = format!("{line} HTTP/1.1\r\nHost: www.example.com\r\n");
    for field in fields.lines() {
        head.extend([field.trim(), "\r\n"]);
    }
    head + "\r\n"
}

fn ask(wire: &mut Wire, line: &str, fields: &str) -> Answer {
    wire.send(request(line, fields));
    if line.starts_with("HEAD") { wire.head() } else { wire.answer() }
}

/// Writes a file in one step, with the time that it had where it was packed.
fn put(folder: &Path, name: &str, content: &[u8]) {
    let new = folder.join(".new");
    fs::write(&new, content).unwrap();
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    fs::File::options().write(true).open(&new).unwrap().set_modified(then).unwrap();
    fs::rename(new, folder.join(name)).unwrap();
}

fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_first_request_waits_for_the_files_whoever_answers_for_missing_ones() {
    let files = fresh_directory();
    // So many that reading them takes longer than the way of a request.
    for number in 0..5000 {
        put(&files, &format!("{number}.css"), CSS);
    }
    for missing in ["404", "application"] {
        let world = World::over(files.clone(), &["--static-missing", missing]);
        let answer = world.get("/static/4999.css");
        assert_eq!((answer.status, &*answer.content), (200, CSS), "{missing}");
        assert_eq!(world.application.heard().len(), 0, "{missing}");
    }
}

#[test]
fn a_file_is_answered_without_the_application() {
    let world = World::new(&[]);
    let answer = world.get("/static/a.css");
    assert_eq!((answer.status, answer.content.as_slice()), (200, CSS));
    for (name, value) in [
        ("content-type", "text/css; charset=utf-8"),
        ("cache-control", "max-age=60, public"),
        ("access-control-allow-origin", "*"),
        ("x-content-type-options", "nosniff"),
        ("accept-ranges", "bytes"),
        ("vary", "Accept-Encoding"),
    ] {
        assert_eq!(answer.field(name), Some(value), "{answer:?}");
    }
    assert!(answer.field("date").is_some() && answer.field("last-modified").is_some());
    let hashed = world.get("/static/app.0123456789ab.js");
    assert_eq!(hashed.field("cache-control"), Some("max-age=315360000, public, immutable"));
    assert_eq!(world.get("/static/a%20b%C3%A4.txt").text(), "name");
    assert!(world.application.heard().is_empty(), "nothing reached the application");
    let line = world.forebay.line_of("/static/a.css");
    assert_eq!(
        (&line["asset"], &line["status"], &line["bytes"]),
        (&true.into(), &200.into(), &69.into())
    );
    assert_eq!(line["client"], "127.0.0.1");
}

/// Both ways through forebay, one of which does without the parser, say the same.
#[test]
fn the_short_way_and_the_long_way_give_the_same_answers() {
    let world = World::new(&[]);
    let tag = world.get("/static/a.css").field("etag").unwrap().to_owned();
    let packed = world.ask("GET /static/a.css", "Accept-Encoding: gzip");
    let packed = packed.field("etag").unwrap().to_owned();
    for fields in [
        String::new(),
        "Accept-Encoding: gzip, br".to_owned(),
        "Accept-Encoding: gzip;q=0".to_owned(),
        format!("If-None-Match: {tag}"),
        format!("Accept-Encoding: gzip\nIf-None-Match: W/{packed}"),
        "If-Modified-Since: Fri, 31 Dec 2094 23:59:59 GMT".to_owned(),
        "If-Match: \"x\"".to_owned(),
        "Range: bytes=1-3".to_owned(),
        "Range: bytes=1000-".to_owned(),
    ] {
        for line in ["GET /static/a.css", "HEAD /static/a.css", "GET /static/a.css?v=1"] {
            let described = |answer: Answer| {
                let mut kept = answer.fields;
                kept.retain(|(name, _)| name != "date");
                kept.sort();
                (answer.status, kept, answer.content)
            };
            let mut wire = world.forebay.connect();
            let short = described(ask(&mut wire, line, &fields));
            let long = described(ask(&mut wire, line, &format!("TE: trailers\n{fields}")));
            let again = described(ask(&mut wire, line, &fields));
            assert_eq!(short, long, "{line} {fields}");
            assert_eq!(short, again, "{line} {fields}");
        }
    }
}

#[test]
fn a_connection_goes_back_and_forth_between_files_and_the_application() {
    let world = World::new(&[]);
    let mut wire = world.forebay.connect();
    for _ in 0..20 {
        assert_eq!(wire.exchange(request("GET /static/a.css", "")).content, CSS);
        assert_eq!(wire.exchange(request("GET /page", "")).text(), "ok");
        assert_eq!(wire.exchange(request("POST /form", "Content-Length: 0")).text(), "ok");
        assert_eq!(wire.exchange(request("GET /static/d/index.html", "")).text(), "<p>index");
    }
    // All at once: the answers come in order.
    let mut all = String::new();
    for _ in 0..10 {
        all += &request("GET /static/a.css", "");
        all += &request("GET /page", "");
        all += &request("HEAD /static/a.css", "");
        all += &request("GET /static/d/index.html", "");
    }
    wire.send(&all);
    for _ in 0..10 {
        assert_eq!(wire.answer().content, CSS);
        assert_eq!(wire.answer().text(), "ok");
        assert_eq!(wire.head().field("content-length"), Some("69"));
        assert_eq!(wire.answer().text(), "<p>index");
    }
    // In pieces, with a pause that parks the connection.
    let whole = request("GET /static/a.css", "");
    for at in [3, 15, 40, whole.len() - 1] {
        wire.send(&whole[..at]);
        let begun = Instant::now();
        eventually("the connection is parked", || (begun.elapsed() > PARKED).then_some(()));
        wire.send(&whole[at..]);
        assert_eq!(wire.answer().content, CSS, "cut at {at}");
    }
}

/// Longer than a connection must be idle to give its buffers back.
const PARKED: Duration = Duration::from_millis(150);

#[test]
fn what_the_guard_refuses_is_refused_for_files_too() {
    let world = World::new(&[]);
    for (head, code) in [
        ("GET /static/a.css HTTP/1.1\r\nHost: a\n\r\n", "FB-10"),
        ("GET /static/a.css HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "FB-16"),
        ("GET /static/a.css HTTP/1.1\r\n\r\n", "FB-16"),
        ("GET /static/a.css HTTP/1.1\r\nHost: a b\r\n\r\n", "FB-16"),
        ("GET /static/a.css HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n", "FB-10"),
        (
            "GET /static/a.css HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\
             Transfer-Encoding: chunked\r\n\r\n",
            "FB-11",
        ),
    ] {
        let answer = world.forebay.exchange(head);
        assert_eq!((answer.status, answer.code()), (400, Some(code)), "{head}");
    }
}

#[test]
fn a_file_can_be_read_and_nothing_else() {
    let world = World::new(&[]);
    // Only requests that look wait for the first table.
    assert_eq!(world.get("/static/a.css").status, 200);
    for method in ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"] {
        let line = format!("{method} /static/a.css");
        let answer = world.ask(&line, "Content-Length: 0");
        assert_eq!((answer.status, answer.code()), (405, Some("FB-51")), "{method}");
        assert_eq!(answer.field("allow"), Some("GET, HEAD, OPTIONS"));
    }
    let options = world.ask("OPTIONS /static/a.css", "Origin: https://b.example");
    assert_eq!((options.status, options.field("allow")), (204, Some("GET, HEAD, OPTIONS")));
    assert_eq!(options.field("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert!(world.application.heard().is_empty());
}

#[test]
fn what_is_not_written_as_the_table_has_it_is_the_applications() {
    let world = World::new(&[]);
    put(&world.files, ".env", b"secret");
    fs::write(world.files.with_extension("outside"), "secret").unwrap();
    for path in [
        "/static/missing.css",
        "/static/",
        "/static//a.css",
        "/static/./a.css",
        "/static/d/../a.css",
        "/static/%2e%2e/a.css",
        "/static/..%2fa.css",
        "/static/%252e%252e/a.css",
        "/static/..%5ca.css",
        "/static/a.css%00",
        "/static/a.css.gz",
        "/static/.env",
        "/static/%ff",
        "/static/a.css/",
        "/Static/a.css",
        "/a.css",
    ] {
        assert_eq!(world.get(path).field("x-from"), Some("application"), "{path}");
        let seen = world.application.heard_text().concat();
        assert!(seen.contains(&format!("GET {path} HTTP")), "as it came: {seen}");
    }
}

#[test]
fn missing_files_end_here_when_told_so() {
    let world = World::new(&["--static-missing", "404"]);
    let answer = world.get("/static/missing.css");
    assert_eq!((answer.status, answer.code()), (404, Some("FB-50")));
    assert_eq!(world.get("/static/a.css").content, CSS);
    assert_eq!(world.get("/elsewhere").text(), "ok");
}

#[test]
fn links_that_lead_out_and_what_is_no_file_are_passed_over() {
    let files = fresh_directory();
    let outside = fresh_directory();
    put(&outside, "secret.txt", b"secret");
    put(&files, "a.txt", b"a");
    symlink(outside.join("secret.txt"), files.join("link.txt")).unwrap();
    symlink(&outside, files.join("folder")).unwrap();
    symlink("nowhere", files.join("broken.txt")).unwrap();
    symlink("a.txt", files.join("inside.txt")).unwrap();
    assert!(Command::new("mkfifo").arg(files.join("fifo")).status().unwrap().success());
    let world = World::over(files.clone(), &[]);
    assert_eq!(world.get("/static/a.txt").text(), "a");
    assert_eq!(world.get("/static/inside.txt").text(), "a");
    for name in ["link.txt", "folder/secret.txt", "broken.txt", "fifo"] {
        assert_eq!(world.get(&format!("/static/{name}")).text(), "ok", "{name}");
    }
    for part in ["leads out", "leads nowhere", "neither a file"] {
        world.forebay.wait_for_line(part, |line| line.contains(part) && line.contains("WARN"));
    }
    let all = World::over(files, &["--static-links", "anywhere"]);
    assert_eq!(all.get("/static/link.txt").text(), "secret");
    assert_eq!(all.get("/static/folder/secret.txt").text(), "secret");
}

#[test]
fn files_at_the_top_never_hide_a_probe() {
    let top = fresh_directory();
    fs::create_dir(top.join(".well-known")).unwrap();
    for name in ["favicon.ico", "robots933456.txt", "healthz", ".well-known/security.txt", ".env"] {
        fs::write(top.join(name), name).unwrap();
    }
    let root = top.display().to_string();
    let application = Application::ok();
    let forebay = Forebay::on_app_service(&application, &["--static-root", &root]).ready();
    assert_eq!(forebay.get("/favicon.ico").text(), "favicon.ico");
    assert_eq!(forebay.get("/.well-known/security.txt").text(), ".well-known/security.txt");
    assert_eq!(forebay.get("/.env").text(), "ok");
    assert_eq!(forebay.get("/robots933456.txt").text(), "ok", "a visitor's is the application's");
    let probe = forebay.exchange("GET /robots933456.txt HTTP/1.1\r\nHost: 169.254.130.4\r\n\r\n");
    assert_eq!(probe.field("x-from"), None, "{probe:?}");
    assert_ne!(probe.text(), "robots933456.txt");
    assert_eq!(forebay.line_of("/robots933456.txt")["status"], 200);
}

#[test]
fn an_index_stands_for_its_directory_and_the_query_is_kept() {
    let world = World::new(&["--static-index", "index.html"]);
    assert_eq!(world.get("/static/d/").text(), "<p>index");
    for (path, location) in [
        ("/static/d", "d/"),
        ("/static/d?a=1&b=%20", "d/?a=1&b=%20"),
        ("/static/d/index.html", "./"),
        ("/static/d/index.html?a", "./?a"),
    ] {
        let answer = world.get(path);
        assert_eq!((answer.status, answer.field("location")), (302, Some(location)), "{path}");
        assert_eq!(answer.field("cache-control"), Some("max-age=60, public"));
    }
    assert_eq!(world.ask("POST /static/d", "Content-Length: 0").status, 405);
}

#[test]
fn the_operator_describes_files_otherwise() {
    let world = World::new(&[
        "--static-max-age",
        "off",
        "--static-cors",
        "off",
        "--static-charset",
        "latin1",
        "--static-immutable",
        r"\.css$",
        "--static-type",
        ".js=text/x-own",
        "--static-field",
        r"/d/ X-Frame-Options: DENY",
        "--static-field",
        r"/d/ Cache-Control: no-store",
    ]);
    let css = world.get("/static/a.css");
    assert_eq!(css.field("cache-control"), Some("max-age=315360000, public, immutable"));
    assert_eq!(css.field("access-control-allow-origin"), None);
    let script = world.get("/static/app.0123456789ab.js");
    assert_eq!(script.field("content-type"), Some("text/x-own; charset=latin1"));
    assert_eq!(script.field("cache-control"), None);
    let index = world.get("/static/d/index.html");
    assert_eq!(index.field("x-frame-options"), Some("DENY"));
    assert_eq!(index.field("cache-control"), Some("no-store"));
}

#[test]
fn a_stale_variant_is_ignored_and_told() {
    let world = World::new(&[]);
    put(&world.files, "a.css", b"changed {}");
    world.wait_for("/static/a.css", b"changed {}");
    let answer = world.ask("GET /static/a.css", "Accept-Encoding: gzip");
    assert_eq!(answer.content, b"changed {}");
    assert_eq!(answer.field("content-encoding"), None);
    world.forebay.wait_for_line("the stale variant", |line| {
        line.contains("a.css.gz")
            && line.contains("WARN")
            && line.contains("the variant is ignored")
    });
    put(&world.files, "a.css.gz", &gzipped(b"changed {}"));
    eventually("the new variant is served", || {
        let answer = world.ask("GET /static/a.css", "Accept-Encoding: gzip");
        (answer.content == gzipped(b"changed {}")).then_some(())
    });
}

#[test]
fn new_changed_and_deleted_files_are_noticed_without_a_gap() {
    let world = World::new(&[]);
    world.wait_for("/static/a.css", CSS);
    put(&world.files, "new.css", b"new");
    world.wait_for("/static/new.css", b"new");
    put(&world.files, "new.css", b"newer");
    world.wait_for("/static/new.css", b"newer");
    fs::remove_file(world.files.join("new.css")).unwrap();
    world.wait_for("/static/new.css", b"ok");
    // A directory that is exchanged whole, as a deployment does.
    let next = fresh_directory();
    put(&next, "a.css", b"next");
    let old = world.files.with_extension("old");
    fs::rename(&world.files, &old).unwrap();
    assert_eq!(world.get("/static/a.css").content, CSS, "the table stands until there is another");
    fs::rename(&next, &world.files).unwrap();
    world.wait_for("/static/a.css", b"next");
}

#[test]
fn what_may_still_be_written_is_not_kept_for_ever() {
    let files = fresh_directory();
    fs::write(files.join("app.0123456789ab.js"), "new").unwrap();
    let world = World::over(files, &[]);
    let cache =
        || world.get("/static/app.0123456789ab.js").field("cache-control").unwrap().to_owned();
    assert_eq!(cache(), "max-age=60, public");
    eventually("it has rested", || cache().contains("immutable").then_some(()));
}

#[test]
fn a_directory_may_come_later() {
    let folder = fresh_directory().join("staticfiles");
    let world = World::over(folder.clone(), &[]);
    assert_eq!(world.get("/static/a.css").text(), "ok");
    world.forebay.wait_for_line("it is missing", |line| line.contains("no such directory"));
    fs::create_dir(&folder).unwrap();
    put(&folder, "a.css", b"late");
    world.wait_for("/static/a.css", b"late");
}

#[test]
fn variants_are_made_in_memory_where_none_lie_beside_a_file() {
    let files = fresh_directory();
    let script = b"function f() { return 1 } ".repeat(400);
    put(&files, "a.js", &script);
    let world = World::over(files.clone(), &["--static-variants", "on"]);
    for coding in ["br", "gzip"] {
        let answer = eventually(coding, || {
            let answer = world.ask("GET /static/a.js", &format!("Accept-Encoding: {coding}"));
            (answer.field("content-encoding") == Some(coding)).then_some(answer)
        });
        assert!(answer.content.len() < script.len() / 10);
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
    }
    let names: Vec<_> =
        fs::read_dir(&files).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a.js"], "nothing is written");
}

#[test]
fn what_has_no_room_in_memory_is_read_when_it_is_asked_for() {
    let files = fresh_directory();
    let large = pattern(3_000_000);
    put(&files, "large.bin", &large);
    let world = World::over(files.clone(), &["--asset-memory", "1MiB"]);
    let whole = world.get("/static/large.bin");
    assert_eq!((whole.status, whole.content == large), (200, true));
    let part = world.ask("GET /static/large.bin", "Range: bytes=1000000-1000009");
    assert_eq!((part.status, part.content.as_slice()), (206, &large[1_000_000..1_000_010]));
    let parts = world.ask("GET /static/large.bin", "Range: bytes=0-0,-1");
    assert_eq!(parts.status, 206);
    assert!(parts.field("content-type").unwrap().starts_with("multipart/byteranges"));
    let tag = whole.field("etag").unwrap();
    let same = world.ask("GET /static/large.bin", &format!("If-None-Match: {tag}"));
    assert_eq!((same.status, same.content.len()), (304, 0));
    // It is another file from now on, although the table does not know it yet.
    let other = pattern(2_000_000);
    put(&files, "large.bin", &other);
    let changed = world.get("/static/large.bin");
    assert_eq!((changed.status, changed.content == other), (200, true));
    assert_ne!(changed.field("etag"), Some(tag));
    fs::remove_file(files.join("large.bin")).unwrap();
    let gone = world.get("/static/large.bin");
    assert!(gone.code() == Some("FB-50") || gone.text() == "ok", "{gone:?}");
    world.wait_for("/static/large.bin", b"ok");
}

/// From 64 KiB on the kernel sends a content from a sealed file in memory.
#[test]
fn a_large_file_in_memory_is_the_same_on_all_ways() {
    let files = fresh_directory();
    let large = pattern(1_500_000);
    put(&files, "large.bin", &large);
    put(&files, "large.txt", &b"text ".repeat(40_000));
    let world = World::over(files, &["--static-variants", "on"]);
    let mut wire = world.forebay.connect();
    for _ in 0..3 {
        let short = ask(&mut wire, "GET /static/large.bin", "");
        assert!(short.content == large);
        let long = ask(&mut wire, "GET /static/large.bin", "TE: trailers");
        assert!(long.content == large);
        let head = ask(&mut wire, "HEAD /static/large.bin", "");
        assert_eq!(head.field("content-length"), Some("1500000"));
        let part = ask(&mut wire, "GET /static/large.bin", "Range: bytes=200000-400000");
        assert!(part.content == large[200_000..=400_000]);
        let parts = ask(&mut wire, "GET /static/large.bin", "Range: bytes=0-0,1400000-1400001");
        assert_eq!(parts.status, 206);
    }
    assert!(world.forebay.connect_http2().get("/static/large.bin").content == large);
    eventually("a sealed file gets variants", || {
        let answer = world.ask("GET /static/large.txt", "Accept-Encoding: br");
        (answer.field("content-encoding") == Some("br")).then_some(())
    });
    // A client that reads slowly, and one that leaves in the middle.
    let mut slow = world.forebay.connect();
    slow.send(request("GET /static/large.bin", ""));
    slow.head();
    let start = slow.bytes(1000);
    let mut gone = world.forebay.connect();
    gone.send(request("GET /static/large.bin", ""));
    gone.head();
    gone.reset();
    assert!(world.get("/static/large.bin").content == large);
    assert!([start, slow.bytes(1_499_000)].concat() == large);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_in_an_error() {
    let files = fresh_directory();
    let large = pattern(64_000_000);
    put(&files, "large.bin", &large);
    let world = World::over(files.clone(), &["--asset-memory", "0B"]);
    let mut wire = world.forebay.connect();
    wire.send(request("GET /static/large.bin", ""));
    let head = wire.head();
    assert_eq!(head.field("content-length"), Some("64000000"));
    fs::OpenOptions::new()
        .write(true)
        .open(files.join("large.bin"))
        .unwrap()
        .set_len(1_000_000)
        .unwrap();
    let (rest, end) = wire.rest();
    assert!(rest.len() < large.len(), "it broke off");
    assert_eq!(rest, large[..rest.len()], "and brought no other bytes");
    assert!(matches!(end, End::Closed | End::Reset), "{end:?}");
    let line = world.forebay.wait_for_request("it is told", |line| line["code"] == "FB-38");
    assert_eq!(line["asset"], true);
}

#[test]
fn http_2_gets_the_same_files() {
    let world = World::new(&[]);
    let mut http2 = world.forebay.connect_http2();
    let answer = http2.get("/static/a.css");
    assert_eq!((answer.status, answer.content.as_slice()), (Some(200), CSS));
}

#[test]
fn files_are_served_while_nothing_listens_behind() {
    let files = fresh_directory();
    put(&files, "a.css", CSS);
    let place = format!("/static/={}", files.display());
    let forebay = Forebay::started("127.0.0.1:9", &["--static", &place], &[]);
    assert_eq!(forebay.get("/static/a.css").content, CSS);
}

#[test]
fn explain_says_that_a_file_answers() {
    let files = fresh_directory();
    put(&files, "a.css", CSS);
    let place = format!("/static/={}", files.display());
    let ran = run(&["explain", "--static", &place]).input(request("GET /static/a.css", "")).ran();
    assert_eq!(ran.code, Some(0), "{}", ran.complaints);
    assert!(ran.out.contains("forebay answers with a static file: 200"), "{}", ran.out);
}

#[test]
fn settings_of_static_files_are_checked() {
    let ran = run(&[
        "proxy",
        "--upstream",
        "127.0.0.1:1",
        "--static",
        "static=x",
        "--static-field",
        "( X-A: b",
        "--static-missing",
        "410",
        "--static-root",
        "/etc/passwd",
    ])
    .ran();
    assert_eq!(ran.code, Some(2));
    for setting in ["static", "static-field", "static-missing", "static-root"] {
        let fault = format!("error: {setting} is `");
        assert!(ran.complaints.contains(&fault), "{setting}: {}", ran.complaints);
    }
}

#[test]
fn a_stop_ends_connections_in_order_that_ask_for_files() {
    let mut world = World::new(&[]);
    let mut busy = world.forebay.connect();
    let mut idle = world.forebay.connect();
    assert_eq!(ask(&mut idle, "GET /static/a.css", "").content, CSS);
    assert_eq!(ask(&mut busy, "GET /static/a.css", "").content, CSS);
    world.forebay.terminate();
    // What was on its way when the stop came is still answered.
    assert_eq!(ask(&mut busy, "GET /static/a.css", "").content, CSS);
    assert_eq!(busy.rest(), (Vec::new(), End::Closed));
    assert_eq!(idle.rest(), (Vec::new(), End::Closed));
    assert!(world.forebay.end().success());
}
