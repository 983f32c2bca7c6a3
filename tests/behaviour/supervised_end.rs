//! `forebay run`: the end, in every phase, with nobody left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{Forebay, Start, eventually, fresh_directory, lives};

const WEB: &str = "web: python3 web.py\n";

/// Says how often it was told, and ends when it has been told `TIMES`.
const TOLD: &str = r#"
import signal, sys, time
told = 0
def tell(*_):
    global told
    told += 1
    print("told", told, flush=True)
signal.signal(signal.SIGTERM, tell)
print("here", flush=True)
end = None
while end is None or time.monotonic() < end:
    time.sleep(0.05)
    if told and end is None:
        end = time.monotonic() + float(sys.argv[1])
"#;

fn started(procfile: &str, flags: &[&str]) -> Forebay {
    let files = [("Procfile", procfile), ("told.py", TOLD)];
    Forebay::run(&Start { files: &files, flags, ..Start::default() })
}

/// The process whose number a child wrote into a file.
fn noted(forebay: &Forebay, name: &str) -> i64 {
    let path = forebay.directory().join(name);
    eventually(name, || fs::read_to_string(&path).ok()?.trim().parse().ok())
}

#[test]
fn a_stop_in_any_phase_is_an_orderly_end() {
    for (what, procfile, line) in [
        ("release", format!("{WEB}release: sleep 100\n"), "release phase begins"),
        ("start", "web: sh -c 'sleep 100'\n".to_owned(), "\"started\""),
        ("pause", "web: sh -c 'exit 1'\n".to_owned(), "\"pause_ms\":\"1000\""),
        ("ready", WEB.to_owned(), "the application is ready"),
    ] {
        let mut forebay = started(&procfile, &[]);
        forebay.wait_for_line(what, |found| found.contains(line));
        let begun = Instant::now();
        forebay.terminate();
        assert_eq!(forebay.end().code(), Some(0), "{what}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{what}: {:?}", begun.elapsed());
    }
}

#[test]
fn each_process_is_told_once_also_behind_a_shell() {
    let procfile = format!(
        "{WEB}plain: python3 told.py 0.5\n\
         list: cd . && python3 told.py 0.5\n\
         script: sh script.sh\n"
    );
    let files = [
        ("Procfile", procfile.as_str()),
        ("told.py", TOLD),
        ("script.sh", "python3 told.py 0.5\necho never\n"),
    ];
    let mut forebay = Forebay::run(&Start { files: &files, ..Start::default() }).ready();
    for name in ["plain", "list", "script"] {
        forebay.wait_for_word(name, "here");
    }
    forebay.terminate();
    assert_eq!(forebay.end().code(), Some(0));
    for name in ["plain", "list", "script"] {
        let said = forebay.said(name);
        let words: Vec<_> = said.iter().map(|line| line["message"].as_str().unwrap()).collect();
        assert_eq!(words, ["here", "told 1"], "{name}");
    }
}

#[test]
fn what_does_not_end_is_killed_at_the_deadline() {
    let procfile = format!("{WEB}worker: python3 told.py 100\n");
    let mut forebay = started(&procfile, &["--drain-deadline", "1s"]);
    forebay.wait_for_word("worker", "here");
    let worker = forebay.wait_for_child("worker", 1);
    let begun = Instant::now();
    forebay.terminate();
    assert_eq!(forebay.end().code(), Some(1));
    assert!((1..3).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert!(!lives(worker));
}

#[test]
fn a_second_signal_ends_all_at_once() {
    let procfile = format!("{WEB}worker: python3 told.py 100\n");
    let mut forebay = started(&procfile, &["--drain-deadline", "1h"]);
    forebay.wait_for_word("worker", "here");
    let worker = forebay.wait_for_child("worker", 1);
    forebay.terminate();
    forebay.signal("INT");
    assert_eq!(forebay.end().code(), Some(1));
    assert!(!lives(worker));
}

#[test]
fn the_web_process_is_told_when_no_request_is_left() {
    let procfile = format!("{WEB}worker: python3 told.py 0.1\n");
    let mut forebay = started(&procfile, &["--drain-deadline", "4s"]).ready();
    forebay.wait_for_word("worker", "here");
    let mut wire = forebay.connect();
    wire.send("GET / HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 1\r\n\r\n");
    // A request whose content has not come: the worker is told meanwhile, the web process not.
    eventually("it is read", || (!forebay.get("/").text().is_empty()).then_some(()));
    forebay.terminate();
    forebay.wait_for_word("worker", "told 1");
    assert!(forebay.said("web").is_empty());
    wire.send("x");
    assert_eq!(wire.answer().text(), "ok");
    assert_eq!(forebay.end().code(), Some(0));
    assert_eq!(forebay.said("web")[0]["message"], "web was told");
}

#[test]
fn no_grandchild_is_left_neither_in_the_group_nor_out_of_it() {
    let script = "sleep 100 & echo $! > inside\n\
                  setsid sh -c 'echo $$ > outside; trap \"\" TERM; sleep 100; sleep 100' &\n\
                  exec python3 web.py\n";
    let files = [("Procfile", "web: sh start.sh"), ("start.sh", script)];
    // Longer than the system may take to end what is killed.
    let flags = ["--drain-deadline", "2500ms"];
    let mut forebay = Forebay::run(&Start { files: &files, flags: &flags, ..Start::default() });
    let left = [noted(&forebay, "inside"), noted(&forebay, "outside")];
    assert!(left.into_iter().all(lives));
    forebay.wait_for_child("web", 1);
    forebay.terminate();
    forebay.end();
    assert!(!left.into_iter().any(lives), "{left:?}");
}

#[test]
fn what_a_dead_process_leaves_is_gone_before_it_is_started_again() {
    let script = "sleep 100 & echo $! > left.$$; mv left.$$ left; sleep 0.3; exit 1";
    let flags = ["--crash-limit", "2"];
    let command = ["sh", "-c", script];
    let start = Start { flags: &flags, command: &command, ..Start::default() };
    let mut forebay = Forebay::run(&start);
    let first = noted(&forebay, "left");
    forebay.wait_for_child("web", 2);
    assert!(!lives(first));
    assert_eq!(forebay.end().code(), Some(1));
    assert!(!lives(noted(&forebay, "left")));
}

#[test]
fn as_the_first_process_of_a_container_it_takes_leave_of_orphans() {
    let procfile = format!(
        "{WEB}worker: sh -c 'while :; do setsid sh -c \"sleep 0.05 &\"; sleep 0.05; done'\n"
    );
    let files = [("Procfile", procfile.as_str())];
    let within = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let start = Start { files: &files, within: &within, ..Start::default() };
    let mut forebay = Forebay::run(&start);
    assert_eq!(forebay.get("/").text(), "ok");
    let id = forebay.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let first: i64 = children.trim().parse().unwrap();
    // Each orphan becomes a child of the first process, which must notice its end.
    let orphans = || {
        let list = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
        let ids: Vec<i64> = list.split(' ').filter_map(|id| id.trim().parse().ok()).collect();
        ids
    };
    let mut seen = std::collections::BTreeSet::new();
    eventually("many orphans have come", || {
        seen.extend(orphans());
        (seen.len() > 20).then_some(())
    });
    let dead = |id: &i64| !lives(*id);
    eventually("those that have ended are gone", || {
        (orphans().iter().filter(|id| dead(id)).count() <= 1).then_some(())
    });
    Command::new("kill").args(["-TERM", &first.to_string()]).status().unwrap();
    assert_eq!(forebay.end().code(), Some(0));
}

#[test]
fn a_stop_while_django_is_asked_is_not_lost_not_even_as_the_first_process() {
    let environment = fresh_directory();
    let (python, noted) = (environment.join("bin/python"), environment.join("pid"));
    fs::create_dir(environment.join("bin")).unwrap();
    fs::write(&python, "#!/bin/sh\necho $$ > $VIRTUAL_ENV/pid; sleep 100\n").unwrap();
    fs::set_permissions(&python, fs::Permissions::from_mode(0o755)).unwrap();
    let mut unshare = Command::new("unshare")
        .args(["--pid", "--fork", "--mount-proc", "--kill-child"])
        .args([
            env!("CARGO_BIN_EXE_forebay"),
            "run",
            "--listen",
            "127.0.0.1:0",
            "--",
            "sleep",
            "100",
        ])
        .env("VIRTUAL_ENV", &environment)
        .env("DJANGO_SETTINGS_MODULE", "a.settings")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    eventually("Python is asked", || noted.exists().then_some(()));
    let id = unshare.id();
    let first = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let begun = Instant::now();
    Command::new("kill").args(["-TERM", first.trim()]).status().unwrap();
    assert_eq!(unshare.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn as_a_child_of_bash_it_ends_in_order_too() {
    let files = [("Procfile", WEB)];
    let within = ["bash", "-c", "\"$@\" & echo $! > id; wait; wait %1; exit $?", "bash"];
    let mut forebay = Forebay::run(&Start { files: &files, within: &within, ..Start::default() });
    assert_eq!(forebay.get("/").text(), "ok");
    let web = forebay.wait_for_child("web", 1);
    let id = noted(&forebay, "id");
    Command::new("kill").args(["-TERM", &id.to_string()]).status().unwrap();
    forebay.end();
    assert!(!lives(web));
    assert!(forebay.lines().iter().any(|line| line.contains("\"stopped\"")));
}

#[test]
fn a_hang_up_is_not_passed_to_a_process_that_would_end() {
    let command = ["python3", "web.py"];
    let mut forebay = Forebay::run(&Start { command: &command, ..Start::default() }).ready();
    forebay.signal("HUP");
    forebay.wait_for_line("it says so", |line| line.contains("nothing was done"));
    assert_eq!(forebay.get("/").text(), "ok");
    forebay.terminate();
    assert_eq!(forebay.end().code(), Some(0));
    assert_eq!(forebay.children("web").len(), 1);
}

#[test]
fn many_starts_and_stops_leave_nobody() {
    let procfile =
        "release: true\nweb: sh -c 'sleep 100 & exec python3 web.py'\nworker: cd . && sleep 100\n";
    for round in 0..8 {
        let mut forebay = started(procfile, &[]);
        if round % 2 == 0 {
            forebay.wait_for_child("worker", 1);
        }
        forebay.terminate();
        assert_eq!(forebay.end().code(), Some(0));
        // Everything that forebay starts has its directory.
        let here = fs::canonicalize(forebay.directory()).unwrap();
        let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let left = entries
            .filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|it| it == here));
        assert_eq!(left.count(), 0, "round {round}");
    }
}
