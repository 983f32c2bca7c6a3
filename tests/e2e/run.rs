//! `forebay run` with real gunicorn, uvicorn and Django, and nothing but a Procfile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::process::Process;
use crate::support::random::number_from_environment;
use crate::support::start::Started;
use crate::support::wire::{Wire, message};
use crate::support::{database, eventually, free_port, fresh_number};

const PROCFILE: &str = "release: python manage.py check
web: gunicorn mysite.wsgi --no-control-socket --bind 0.0.0.0:$PORT --workers ${WEB_CONCURRENCY:-2}
clock: cd . && python -c 'import time; print(\"tick\", flush=True); time.sleep(1000)'
";

/// Runs `during` while visitors ask for the home page; returns how many answers they got.
fn visited(site: &Started, during: impl FnOnce(&AtomicUsize)) -> usize {
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));
    let request = message("GET / HTTP/1.1\nHost: www.example.com");
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let mut wire = Wire::connect(site.address()).unwrap();
                    for _ in 0..5 {
                        let response = wire.try_exchange(&request).unwrap();
                        assert_eq!(response.status, 200, "{response:?}");
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        during(&answers);
        stop.store(true, Ordering::Relaxed);
    });
    answers.into_inner()
}

fn more_answers(answers: &AtomicUsize) {
    let before = answers.load(Ordering::Relaxed);
    eventually("visitors have more answers", || {
        (answers.load(Ordering::Relaxed) > before + 40).then_some(())
    });
}

#[test]
fn no_visitor_sees_a_cold_start_or_a_reload_and_nobody_is_left_at_the_end() {
    let mut site = Started::new(PROCFILE, &[], &[]);
    let answers = visited(&site, |answers| {
        // They ask while the release command runs and gunicorn starts.
        site.wait_for("release phase begins", 1);
        more_answers(answers);
        for round in 1..=2 {
            site.signal("HUP");
            site.wait_for("Handling signal: hup", round);
            site.wait_for("Worker exiting", 2 * round);
            more_answers(answers);
        }
    });
    assert!(answers > 120, "{answers}");
    let written = site.written();
    assert!(
        !written.contains("X-Forebay-Error") && !written.contains("\"FB-"),
        "no code was given"
    );
    for part in ["System check identified no issues", "--concurrency 2\"", "\"tick\""] {
        assert!(written.contains(part), "{part}");
    }
    assert!(site.processes() > 4);
    site.signal("TERM");
    assert_eq!(site.wait().code(), Some(0));
    assert_eq!(site.processes(), 0);
}

#[test]
fn static_files_are_served_as_django_s_settings_say_from_the_first_moment() {
    // The site itself would answer 404: nothing in it serves files.
    let procfile = "release: sleep 1000\nweb: gunicorn mysite.wsgi\n";
    let site = Started::new(procfile, &[], &[]);
    let file = site.get("/assets/app.css");
    assert_eq!((file.status, file.text()), (200, "body {}"));
    assert!(!site.written().contains("\"started\""), "the site has not even been started");
    for part in [r#""static_prefix":"/assets/""#, r#""settings":"mysite.small""#, "/collected"] {
        site.wait_for(part, 1);
    }
}

#[test]
fn a_site_whose_settings_cannot_be_loaded_says_so_and_goes_on() {
    let variables = [("DJANGO_SETTINGS_MODULE", "mysite.missing")];
    let site = Started::new("", &["sleep", "1000"], &variables);
    site.wait_for("the settings `mysite.missing` cannot be loaded: ModuleNotFoundError", 1);
    site.wait_for("\"started\"", 1);
}

#[test]
fn a_site_without_a_procfile_is_found_and_so_are_other_servers_and_wrappers() {
    let uvicorn = ["uvicorn", "mysite.asgi:application", "--port", "8000", "--host", "0.0.0.0"];
    let granian = ["granian", "--interface", "wsgi", "mysite.wsgi:application", "--port", "8000"];
    let module = ["python", "-m", "gunicorn", "--no-control-socket", "mysite.wsgi", "-b", ":8000"];
    let shell = ["sh", "-c", "gunicorn --no-control-socket mysite.wsgi; exit 1"];
    let arguments = [("GUNICORN_CMD_ARGS", "--no-control-socket --bind 0.0.0.0:8000")];
    for command in [&[][..], &uvicorn, &granian, &module, &shell] {
        let mut site = Started::new("", command, &arguments);
        let home = site.get("/");
        assert_eq!((home.status, home.text()), (200, "home of 127.0.0.1"), "{command:?}");
        site.signal("TERM");
        assert_eq!(site.wait().code(), Some(0), "{command:?}");
        assert_eq!(site.processes(), 0, "{command:?}");
    }
}

#[test]
fn over_a_unix_socket_of_its_own_choice_gunicorn_knows_the_visitor() {
    let command = ["gunicorn", "--proxy-protocol", "v2", "--workers", "2", "mysite.wsgi"];
    let socket = format!("unix:{}/run-{}.sock", database::directory(), fresh_number());
    let variables = [
        ("FOREBAY_UPSTREAM", socket.as_str()),
        ("FOREBAY_PROXY_PROTOCOL", "v2"),
        ("WEBSITE_SITE_NAME", "example-app"),
        ("GUNICORN_CMD_ARGS", "--no-control-socket"),
    ];
    let mut site = Started::new("", &command, &variables);
    let mut wire = Wire::connect(site.address()).unwrap();
    let home = wire.exchange(
        "GET / HTTP/1.1
         Host: www.example.com
         X-Forwarded-For: 203.0.113.10:64769
         X-Forwarded-Proto: https",
    );
    assert_eq!((home.status, home.text()), (200, "home of 203.0.113.10"));
    site.signal("TERM");
    assert_eq!(site.wait().code(), Some(0));
    assert_eq!(site.processes(), 0);
}

#[test]
fn a_module_that_cannot_be_imported_ends_forebay_with_gunicorns_code() {
    let command = ["gunicorn", "--no-control-socket", "mysite.missing"];
    let mut site = Started::new("", &command, &[("FOREBAY_CRASH_LIMIT", "2")]);
    assert_eq!(site.wait().code(), Some(3));
    let written = site.written();
    assert!(
        written.contains("| ModuleNotFoundError: No module named 'mysite.missing'"),
        "{written}"
    );
    assert_eq!(site.processes(), 0);
}

#[test]
fn whoever_can_connect_can_stop_it() {
    let web = ["--", "sleep", "100"];
    let (proxy, run): (&[&str], &[&str]) = (&["proxy", "--upstream", "127.0.0.1:1"], &["run"]);
    for (words, web) in [(proxy, &web[..0]), (run, &web)] {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Process::command(env!("CARGO_BIN_EXE_forebay"));
        command.args(words).args(["--listen", &address, "--host", "www.example.com"]).args(web);
        let mut process = Process::start("stopped", command);
        // Without a pause: what is looked for may be over in a millisecond.
        while Wire::connect(&address).is_err() {
            process.assert_running();
        }
        assert!(process.catches(SIGTERM), "{words:?}");
        process.signal("TERM");
        assert_eq!(process.wait().code(), Some(0), "{words:?}");
    }
}

#[test]
fn starts_and_stops_leave_nobody() {
    for round in 0..number_from_environment("FOREBAY_TEST_ROUNDS", 4) {
        // A worker that gunicorn forks while it is told to stop may miss that; it waits so long then.
        let variables = [("GUNICORN_CMD_ARGS", "--graceful-timeout 3")];
        let mut site = Started::new(PROCFILE, &[], &variables);
        // Each round ends in another phase.
        match round % 4 {
            0 => {}
            1 => site.wait_for("release phase begins", 1),
            2 => site.wait_for("\"started\"", 2),
            _ => assert_eq!(site.get("/").status, 200),
        }
        site.signal("TERM");
        assert_eq!(site.wait().code(), Some(0), "round {round}");
        assert_eq!(site.processes(), 0, "round {round}");
        assert!(site.left_in_tmp().is_empty(), "round {round}: {:?}", site.left_in_tmp());
    }
}

/// Its number on Linux.
const SIGTERM: u32 = 15;
