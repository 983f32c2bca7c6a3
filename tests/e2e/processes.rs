//! What `forebay run` finds out of a site, and what it keeps running: gunicorn's own configuration,
//! celery, a project as Django makes it.

use std::fs;
use std::process::Command;

use crate::support::start::{Started, fresh_folder, path};
use crate::support::wire::{Response, Wire};
use crate::support::{eventually, python_program};

/// As the front end would send it.
fn visit(site: &Started, path: &str) -> Response {
    let mut wire = Wire::connect(site.address()).unwrap();
    wire.exchange(&format!(
        "GET {path} HTTP/1.1
         Host: www.example.com
         X-Forwarded-For: 203.0.113.10:64769
         X-Forwarded-Proto: https"
    ))
}

const APP_SERVICE: (&str, &str) = ("WEBSITE_SITE_NAME", "example-app");

fn ends(mut site: Started) {
    site.signal("TERM");
    assert_eq!(site.wait().code(), Some(0));
    assert_eq!(site.processes(), 0);
    assert!(site.left_in_tmp().is_empty(), "{:?}", site.left_in_tmp());
}

#[test]
fn gunicorn_s_own_configuration_counts_and_sync_workers_get_a_socket_and_the_visitor() {
    let file = "import multiprocessing\nprint('a file may talk')\nworkers = 1 + 2\n\
                control_socket_disable = True\ntimeout = 240\n";
    let procfile = "web: gunicorn mysite.wsgi\n";
    let files = [("Procfile", procfile), ("gunicorn.conf.py", file)];
    let site = Started::with(&files, &[], &[APP_SERVICE]);
    let home = visit(&site, "/");
    assert_eq!((home.status, home.text()), (200, "home of 203.0.113.10"));
    let written = site.written();
    for part in ["--concurrency 3\"", "--proxy-protocol v2", "/web.sock ", "gives up at 230 s"] {
        assert!(written.contains(part), "{part} is not in {written}");
    }
    ends(site);
}

#[test]
fn threads_get_connections_that_are_kept_and_the_protocol_that_they_expect() {
    let variables = [APP_SERVICE, ("GUNICORN_CMD_ARGS", "--threads 4 --keep-alive 7")];
    let web = ["gunicorn", "--no-control-socket", "-w", "2", "mysite.wsgi"];
    let site = Started::new("", &web, &variables);
    assert_eq!(visit(&site, "/").text(), "home of 127.0.0.1");
    site.wait_for("--concurrency 8", 1);
    site.wait_for("--upstream-keep-alive 6500ms", 1);
    site.wait_for("--upstream-reuse all", 1);
    ends(site);
    let variables = [APP_SERVICE, ("GUNICORN_CMD_ARGS", "--threads 4 --proxy-protocol v1")];
    let site = Started::new("", &web, &variables);
    assert_eq!(visit(&site, "/").text(), "home of 203.0.113.10");
    site.wait_for("--proxy-protocol v1", 1);
    ends(site);
}

#[test]
fn what_the_operator_chose_is_obeyed_and_what_does_not_fit_is_told() {
    let variables = [
        APP_SERVICE,
        ("FOREBAY_CONCURRENCY", "9"),
        ("FOREBAY_PROXY_PROTOCOL", "off"),
        ("WEB_CONCURRENCY", "2"),
    ];
    let site = Started::new("", &["gunicorn", "--no-control-socket", "mysite.wsgi"], &variables);
    assert_eq!(visit(&site, "/").text(), "home of 127.0.0.1");
    site.wait_for("--concurrency is 9, and the application does 2 at once", 1);
    ends(site);
}

#[test]
fn the_settings_of_a_run_are_shown_before_it() {
    let folder = fresh_folder();
    fs::write(folder.join("Procfile"), "web: gunicorn a.wsgi --workers 3 --threads 2\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(["config", "--run"]).env_clear().env("PATH", path()).current_dir(&folder);
    let output = command.output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let line = shown.lines().find(|line| line.starts_with("concurrency ")).unwrap();
    assert!(line.contains(" 6 ") && line.ends_with("the application server's configuration"));
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn celery_ends_what_it_works_on_and_takes_the_rest_up_again() {
    let procfile = "release: python manage.py migrate --no-input
web: gunicorn --no-control-socket --workers 2 mysite.wsgi
worker: celery -A mysite.queued worker --loglevel info --concurrency 2
";
    let variables =
        [("DJANGO_SETTINGS_MODULE", "mysite.queued"), ("FOREBAY_DRAIN_DEADLINE", "30s")];
    let mut site = Started::new(procfile, &[], &variables);
    assert_eq!(visit(&site, "/users").text(), "0 users", "the database was made in time");
    let is_there = |name: &str| site.folder().join(name).exists();
    assert_eq!(visit(&site, "/enqueue/first/0").status, 200);
    eventually("the first is done", || is_there("first.done").then_some(()));
    assert_eq!(visit(&site, "/enqueue/second/3").status, 200);
    eventually("the second is begun", || is_there("second.begun").then_some(()));
    assert!(!is_there("second.done"));
    site.signal("TERM");
    assert_eq!(site.wait().code(), Some(0));
    assert!(site.folder().join("second.done").exists(), "{}", site.written());
    assert_eq!(site.processes(), 0);
    let written = site.written();
    let worker = |part: &str| {
        let of_worker = written.lines().filter(|line| line.contains("\"process\":\"worker\""));
        of_worker.filter(|line| line.contains(part)).count()
    };
    assert!(worker("Warm shutdown") == 1, "{written}");
    assert_eq!(worker("succeeded in"), 2, "{written}");
    let succeeded = written.lines().find(|line| line.contains("succeeded in")).unwrap();
    assert!(succeeded.contains("\"level\":\"INFO\""), "celery's level is kept: {succeeded}");
}

#[test]
fn a_project_as_django_makes_it_starts_with_nothing_but_a_procfile() {
    let folder = fresh_folder();
    let made = Command::new(python_program("django-admin"))
        .args(["startproject", "gettingstarted", "."])
        .current_dir(&folder)
        .status();
    assert!(made.unwrap().success());
    let settings = folder.join("gettingstarted/settings.py");
    let hosts = fs::read_to_string(&settings).unwrap() + "\nALLOWED_HOSTS = ['www.example.com']\n";
    fs::write(settings, hosts).unwrap();
    let procfile = "web: gunicorn gettingstarted.wsgi --log-file - --bind 0.0.0.0:$PORT
release: ./manage.py migrate --no-input
";
    fs::write(folder.join("Procfile"), procfile).unwrap();
    fs::write(folder.join("app.json"), "{}").unwrap();
    let web_concurrency = ("WEB_CONCURRENCY", "2");
    let site = Started::within(folder, &[], &[web_concurrency, ("PORT", "8000")]);
    let login = visit(&site, "/admin/login/");
    assert_eq!(login.status, 200);
    assert!(login.text().contains("Django administration"));
    site.wait_for("Applying sessions.0001_initial... OK", 1);
    site.wait_for("--concurrency 2\"", 1);
    ends(site);
}

#[test]
fn a_start_that_takes_longer_than_the_platform_waits_is_not_the_end() {
    let web = ["sh", "-c", "sleep 3; exec gunicorn --no-control-socket mysite.wsgi"];
    let variables = [APP_SERVICE, ("WEBSITES_CONTAINER_START_TIME_LIMIT", "2")];
    let site = Started::new("", &web, &variables);
    let mut wire = Wire::connect(site.address()).unwrap();
    let warm_up = wire.exchange("GET /robots933456.txt HTTP/1.1\nHost: 169.254.130.4:8000");
    assert_eq!(warm_up.status, 200, "before the platform ends the container");
    assert!(!site.written().contains("Listening at"), "long before gunicorn listens");
    assert_eq!(visit(&site, "/").text(), "home of 127.0.0.1", "a visitor waits for it");
    ends(site);
}

#[test]
fn in_a_crash_loop_everybody_is_told_at_once() {
    let variables = [APP_SERVICE, ("FOREBAY_CRASH_LIMIT", "50")];
    let web = ["gunicorn", "--no-control-socket", "mysite.missing"];
    let site = Started::new("", &web, &variables);
    // Whoever waits since before the first death is told by it.
    let told = visit(&site, "/");
    assert_eq!((told.status, told.field("x-forebay-error")), (503, Some("FB-28")));
    assert_eq!(visit(&site, "/").field("x-forebay-error"), Some("FB-28"), "and whoever comes then");
    site.wait_for("ModuleNotFoundError", 1);
    ends(site);
}
