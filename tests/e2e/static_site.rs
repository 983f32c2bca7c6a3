//! Static files of a real site, collected by Django, in a real browser; none of them reaches Django.

use std::fs::File;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::every_server::sha256;
use crate::support::browser::Profile;
use crate::support::forebay::{APP_SERVICE, Forebay};
use crate::support::front_end::over_tls;
use crate::support::process::Process;
use crate::support::site::{Site, collect, manifest, released};
use crate::support::tree::Tree;
use crate::support::wire::{Response, message};
use crate::support::{eventually, free_port, python_program, sources};

#[test]
fn the_admin_and_the_browsable_api_look_right_without_django_serving_a_file() {
    let tree = Tree::fresh();
    tree.put("root/favicon.ico", "");
    let office = [("OFFICE", tree.path(""))];
    collect("mysite.office", &office);
    let gunicorn = Site::another("mysite.office:application", &office);
    let (statics, root) = (format!("/static/={}", tree.path("static")), tree.path("root"));
    let flags = ["--static", &*statics, "--static-root", &*root, "--static-variants", "on"];
    // Without a platform: the browser comes without a front end, and as it is.
    let forebay = Forebay::started(gunicorn.address(), &flags, &[]).ready();
    eventually("there are all variants", || {
        forebay.written().contains("variants of static files made in memory").then_some(())
    });

    let page = |path: &str| json!({ "open": format!("http://www.example.com{path}") });
    let log_in = "document.querySelector('#id_username').value = 'alice';
        document.querySelector('#id_password').value = 'wonderland';
        document.querySelector('form [type=submit]').click()";
    let visits = visit(
        &forebay,
        &json!([
            page("/admin/"),
            { "run": log_in },
            page("/admin/auth/user/"),
            page("/admin/auth/user/1/change/"),
            page("/api/users/"),
        ]),
    );
    let titles = [
        "/admin/login/?next=/admin/ Log in | Django site admin",
        "/admin/ Site administration | Django site admin",
        "/admin/auth/user/ Select user to change | Django site admin",
        "/admin/auth/user/1/change/ alice | Change user | Django site admin",
        "/api/users/ Users List – Django REST framework",
    ];
    let mut count = 0;
    for (visit, title) in visits.iter().zip(titles) {
        assert_eq!(visit["where"], format!("http://www.example.com{title}"), "{visit:#}");
        assert_eq!(visit["complaints"], json!([]), "{visit:#}");
        for load in visit["loads"].as_array().unwrap() {
            assert_eq!(load["status"], 200, "{load}");
            let url = load["url"].as_str().unwrap();
            let Some((_, name)) = url.split_once("/static/") else { continue };
            let content = tree.read(&format!("static/{name}"));
            assert_eq!(load["sha256"], sha256(&content), "{load}");
            let is_text = matches!(name.rsplit_once('.'), Some((_, "css" | "js")));
            assert!(!is_text || content.len() < 1000 || load["coding"].is_string(), "{load}");
            count += 1;
        }
    }
    assert_eq!(visits.len(), titles.len());
    assert!(count > 40, "{count} static files: {visits:#?}");

    let log = gunicorn.written();
    assert!(log.contains("GET /admin/auth/user/ ") && log.contains("POST /admin/login/"), "{log}");
    for path in ["/static/", "favicon"] {
        let reached = log.lines().find(|line| line.contains(path));
        assert_eq!(reached, None, "reached gunicorn");
    }
}

#[test]
fn a_new_release_comes_without_a_gap() {
    let tree = Tree::fresh();
    let variables = released(&tree);
    release(&tree, 1);
    collect("mysite.released", &variables);
    let old = manifest(&tree);

    let nobody = format!("127.0.0.1:{}", free_port());
    let statics = format!("/static/={}", tree.path("static"));
    let flags = ["--static", &*statics, "--static-missing", "404"];
    let forebay = Forebay::started(&nobody, &flags, APP_SERVICE);
    let mut wanted = Wanted::default();
    for (name, hashed) in &old {
        let content = tree.read(&format!("static/{name}"));
        wanted.add(hashed, vec![content.clone()]);
        wanted.add(name, vec![content]);
    }
    let wanted = Mutex::new(wanted);
    let is_over = AtomicBool::new(false);
    let rounds = AtomicUsize::new(0);
    thread::scope(|scope| {
        for coding in ["", "gzip"] {
            let (forebay, wanted, rounds, is_over) = (&forebay, &wanted, &rounds, &is_over);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    let now = wanted.lock().unwrap().clone();
                    now.ask_for_all(forebay, coding);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let ends = Ends(&is_over);
        let several_rounds = || {
            let so_far = rounds.load(Ordering::Relaxed);
            eventually("all was asked for again", || {
                (rounds.load(Ordering::Relaxed) >= so_far + 6).then_some(())
            });
        };
        several_rounds();
        release(&tree, 2);
        {
            // From now on a name that stays may have either content.
            let mut wanted = wanted.lock().unwrap();
            for (name, _) in &old {
                wanted.allow(name, tree.read(&format!("source/{name}")));
            }
        }
        collect("mysite.released", &variables);
        let new = manifest(&tree);
        for (name, hashed) in &new {
            assert!(!old.contains(&(name.clone(), hashed.clone())), "{name} did not change");
            let ever = "max-age=315360000, public, immutable";
            eventually("forebay has seen the new release", || {
                let answer = get(&forebay, &format!("GET /static/{hashed}"), "");
                (answer.status == 200 && answer.field("cache-control") == Some(ever)).then_some(())
            });
            wanted.lock().unwrap().add(hashed, vec![tree.read(&format!("static/{name}"))]);
            eventually("forebay has seen the new content", || {
                let answer = get(&forebay, &format!("GET /static/{name}"), "");
                (answer.body == tree.read(&format!("static/{name}"))).then_some(())
            });
        }
        several_rounds();
        drop(ends);
    });
}

#[test]
fn a_file_that_is_being_written_is_not_there_yet() {
    let tree = Tree::fresh();
    tree.put("changing.txt", "old");
    let nobody = format!("127.0.0.1:{}", free_port());
    let statics = format!("/static/={}", tree.path(""));
    let flags = ["--static", &*statics, "--static-missing=404", "--asset-memory=0B"];
    let forebay = Forebay::started(&nobody, &flags, APP_SERVICE);
    let get = |name: &str| get(&forebay, &format!("GET /static/{name}"), "");
    eventually("the folder was looked at", || (get("changing.txt").status == 200).then_some(()));

    tree.put_at("changing.txt", "new", SystemTime::now());
    let name = "coming.0123456789ab.js";
    let mut file = File::create(tree.path(name)).unwrap();
    file.write_all(b"half ").unwrap();
    // Each of these is a reason for forebay to look at the folder, which looks the same all the time.
    for _ in 0..30 {
        let changed = get("changing.txt");
        assert_eq!((changed.status, changed.text()), (200, "new"), "{changed:?}");
        assert_eq!(get(name).status, 404, "only half of it is there");
    }
    file.write_all(b"and half").unwrap();
    let whole = eventually("it is there", || Some(get(name)).filter(|it| it.status == 200));
    assert_eq!(whole.text(), "half and half");
}

#[test]
fn static_files_need_no_application() {
    let tree = Tree::fresh();
    tree.put("app.css", "a{}");
    let address = format!("127.0.0.1:{}", free_port());
    let statics = format!("/static/={}", tree.path(""));
    let forebay = Forebay::started(&address, &["--static", &*statics], APP_SERVICE);
    let look = || {
        let answer = get(&forebay, "GET /static/app.css", "");
        assert_eq!((answer.status, answer.text()), (200, "a{}"), "{answer:?}");
        let known = format!("If-None-Match: {}", answer.field("etag").unwrap());
        assert_eq!(get(&forebay, "GET /static/app.css", &known).status, 304);
    };
    look();
    assert_eq!(forebay.health().status, 503, "nothing is there yet");
    let mut gunicorn = Site::another_at(&address, "mysite.assets:application", &[]);
    let forebay_is_ready = || (forebay.health().status == 200).then_some(());
    eventually("the application is ready", forebay_is_ready);
    look();
    assert_eq!(get(&forebay, "GET /another", "").text(), "GET /another\n");
    gunicorn.kill();
    eventually("forebay knows", || (forebay.health().status == 503).then_some(()));
    look();
}

fn get(forebay: &Forebay, line: &str, fields: &str) -> Response {
    forebay.exchange(&over_tls(line, "203.0.113.10:64769", fields))
}

/// Takes a browser through steps, by the name that the site has.
fn visit(forebay: &Forebay, steps: &Value) -> Vec<Value> {
    let profile = Profile::fresh();
    let mut command = profile.browser(|name| {
        let mut command = Process::command(&python_program("python"));
        command.arg(sources().join("support/visit.py")).arg(name);
        command
    });
    command
        .arg(format!("--host-resolver-rules=MAP www.example.com:80 {}", forebay.address()))
        .arg("--disable-features=HttpsUpgrades")
        // Else it complains about Django's Cross-Origin-Opener-Policy, which is for https.
        .arg("--unsafely-treat-insecure-origin-as-secure=http://www.example.com")
        .env("STEPS", steps.to_string());
    let mut process = Process::start("visit", command);
    let status = process.wait();
    let written = process.written();
    assert!(status.success(), "{written}");
    serde_json::from_str(written.lines().last().unwrap()).unwrap()
}

/// Writes the files of a release to where they are collected from.
fn release(tree: &Tree, number: usize) {
    let text = |what: &str| format!("/* {what} of release {number} */\n").repeat(300 * number);
    for (name, content) in [
        ("css/app.css", text("style")),
        ("js/app.js", text("script")),
        // Large, and left as it is by whoever compresses.
        ("img/large.png", text("picture").repeat(500)),
    ] {
        // Django collects what is younger than what it collected before.
        let modified = SystemTime::now() + Duration::from_hours(number as u64);
        tree.put_at(&format!("source/{name}"), content, modified);
    }
}

/// Names, and what each of them may bring.
#[derive(Clone, Default)]
struct Wanted(Vec<(String, Vec<Vec<u8>>)>);

impl Wanted {
    fn add(&mut self, name: &str, contents: Vec<Vec<u8>>) {
        self.0.push((name.to_owned(), contents));
    }

    fn allow(&mut self, name: &str, content: Vec<u8>) {
        let (_, contents) = self.0.iter_mut().find(|(known, _)| known == name).unwrap();
        contents.push(content);
    }

    /// Fails where an answer is anything but whole and expected.
    fn ask_for_all(&self, forebay: &Forebay, coding: &str) {
        let mut wire = forebay.connect();
        for (name, contents) in &self.0 {
            let line = format!("GET /static/{name}");
            let fields = format!("Accept-Encoding: {coding}");
            wire.send(&message(&over_tls(&line, "203.0.113.10:64769", &fields)));
            let mut answer = wire.response();
            assert_eq!(answer.status, 200, "{name}: {:?}", answer.fields);
            if answer.field("content-encoding") == Some("gzip") {
                let mut decoded = Vec::new();
                let mut decoder = flate2::read::GzDecoder::new(&*answer.body);
                std::io::copy(&mut decoder, &mut decoded).unwrap();
                answer.body = decoded;
            }
            assert!(
                contents.contains(&answer.body),
                "{name}: {} bytes, {:?}",
                answer.body.len(),
                answer.fields
            );
        }
    }
}

/// Tells those who ask that it is over, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
