//! `forebay run`: what starts, what is started again, what children say.

use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{APP_SERVICE, Forebay, Start, eventually, fresh_directory, lives, run};

const WEB: &str = "web: python3 web.py\n";

fn position(lines: &[String], part: &str) -> usize {
    lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("no {part}"))
}

#[test]
fn the_release_command_comes_first_and_then_all_others() {
    let procfile =
        format!("{WEB}release: echo released\nworker: sh -c 'echo working; sleep 100'\n");
    let mut forebay =
        Forebay::run(&Start { files: &[("Procfile", &procfile)], ..Start::default() });
    assert_eq!(forebay.get("/").text(), "ok", "who comes early waits");
    forebay.wait_for_word("worker", "working");
    let lines = forebay.lines();
    let parts = ["release phase begins", "\"released\"", "release phase is done", "\"started\""];
    let places = parts.map(|part| position(&lines, part));
    assert!(places.is_sorted(), "{places:?}");
    assert!(lines[places[0]].contains(r#""runs":"once per start""#));
    let children = [forebay.wait_for_child("web", 1), forebay.wait_for_child("worker", 1)];
    forebay.terminate();
    assert_eq!(forebay.end().code(), Some(0));
    assert!(!children.into_iter().any(lives));
    assert_eq!(forebay.said("web")[0]["message"], "web was told");
}

#[test]
fn a_failed_release_ends_forebay_with_its_code_and_its_last_lines() {
    let procfile = format!("{WEB}release: sh -c 'echo one; echo two >&2; exit 7'\n");
    let mut forebay =
        Forebay::run(&Start { files: &[("Procfile", &procfile)], ..Start::default() });
    assert_eq!(forebay.end().code(), Some(7));
    eventually("it complains", || forebay.complaints().contains("mend:").then_some(()));
    let complaints = forebay.complaints();
    for part in ["error: the release command `sh -c", "exit code 7", "| one\n", "| two\n"] {
        assert!(complaints.contains(part), "{part} is not in {complaints}");
    }
    assert!(forebay.children("web").is_empty());
}

#[test]
fn a_container_is_not_killed_in_the_middle_of_its_release() {
    let procfile = format!("{WEB}release: sleep 3\n");
    let start = Start {
        files: &[("Procfile", &procfile)],
        flags: &["--start-limit", "1s"],
        variables: APP_SERVICE,
        ..Start::default()
    };
    let forebay = Forebay::run(&start);
    let warm_up = "GET /robots933456.txt HTTP/1.1\r\nHost: 169.254.130.4:8000\r\n\r\n";
    assert_eq!(forebay.exchange(warm_up).status, 200, "before the limit has passed");
    assert!(forebay.children("web").is_empty());
    forebay.wait_for_line("why", |line| line.contains("the release command runs"));
    assert_eq!(forebay.get("/").text(), "ok", "a visitor waits until it really is there");
}

#[test]
fn nor_while_its_application_loads_without_listening() {
    let command = ["sh", "-c", "sleep 3; exec python3 web.py"];
    let flags = ["--start-limit", "1s"];
    let start =
        Start { command: &command, flags: &flags, variables: APP_SERVICE, ..Start::default() };
    let forebay = Forebay::run(&start);
    let warm_up = "GET /robots933456.txt HTTP/1.1\r\nHost: 169.254.130.4:8000\r\n\r\n";
    assert_eq!(forebay.exchange(warm_up).status, 200, "before the limit has passed");
    forebay.wait_for_line("why", |line| line.contains("runs and does not listen yet"));
    assert_eq!(forebay.get("/").text(), "ok", "a visitor waits until it really is there");
}

#[test]
fn a_release_that_takes_too_long_is_ended() {
    let procfile = format!("{WEB}release: sh -c 'sleep 100 & echo $! > pid; wait'\n");
    let start = Start {
        files: &[("Procfile", &procfile)],
        flags: &["--release-deadline", "700ms"],
        ..Start::default()
    };
    let mut forebay = Forebay::run(&start);
    assert_eq!(forebay.end().code(), Some(1));
    let id = std::fs::read_to_string(forebay.directory().join("pid")).unwrap();
    assert!(!lives(id.trim().parse().unwrap()));
}

#[test]
fn a_web_process_that_keeps_dying_ends_forebay_with_its_code() {
    for (script, limit, code) in
        [("echo broken >&2; exit 3", "3", 3), ("kill -SEGV $$", "1", 139), ("exit 0", "1", 0)]
    {
        let start = Start {
            flags: &["--crash-limit", limit],
            command: &["sh", "-c", script],
            ..Start::default()
        };
        let mut forebay = Forebay::run(&start);
        assert_eq!(forebay.end().code(), Some(code), "{script}");
        assert_eq!(forebay.children("web").len().to_string(), limit);
        let complaints = eventually("it complains", || {
            Some(forebay.complaints()).filter(|text| text.contains("mend:"))
        });
        assert!(
            complaints.contains(&format!("`web` ended {limit} times in a row")),
            "{complaints}"
        );
        assert_eq!(complaints.contains("| broken"), code == 3, "{complaints}");
    }
}

#[test]
fn a_web_process_that_dies_is_started_again_while_visitors_wait() {
    let command = ["python3", "web.py"];
    let forebay = Forebay::run(&Start { command: &command, ..Start::default() }).ready();
    let first = forebay.wait_for_child("web", 1);
    Command::new("kill").args(["-KILL", &first.to_string()]).status().unwrap();
    eventually("it has ended", || (!lives(first)).then_some(()));
    assert_eq!(forebay.get("/").text(), "ok");
    assert!(lives(forebay.wait_for_child("web", 2)));
    forebay.wait_for_line("why", |line| line.contains("signal 9") && line.contains("\"web\""));
}

#[test]
fn a_worker_that_dies_takes_the_site_down_only_if_it_is_essential() {
    let procfile = format!("{WEB}worker: sh -c 'sleep 0.2; exit 4'\n");
    let files = [("Procfile", procfile.as_str())];
    let flags = ["--crash-limit", "2", "--essential", "worker"];
    let forebay = Forebay::run(&Start { files: &files, flags: &flags[..2], ..Start::default() });
    forebay.wait_for_line("it says so", |line| line.contains("it keeps dying"));
    assert_eq!(forebay.get("/").text(), "ok");
    let mut forebay = Forebay::run(&Start { files: &files, flags: &flags, ..Start::default() });
    assert_eq!(forebay.end().code(), Some(4));
    assert!(!lives(forebay.children("web")[0]));
}

#[test]
fn a_program_that_is_not_there_is_told_with_its_name_and_a_mend() {
    for (command, code, cause) in
        [("./nowhere/gunicorn", 127, "No such file"), ("./web.py", 126, "Permission denied")]
    {
        let mut forebay = Forebay::run(&Start { command: &[command], ..Start::default() });
        assert_eq!(forebay.end().code(), Some(code));
        let complaints = eventually("it complains", || {
            Some(forebay.complaints()).filter(|text| text.contains("mend:"))
        });
        for part in ["error: cannot start `web`: `", command, "\ncause: ", cause] {
            assert!(complaints.contains(part), "{part} is not in {complaints}");
        }
    }
    let ran = run(&["run"]).ran();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.complaints.contains("there is nothing to start"), "{ran:?}");
    assert!(
        ran.complaints.contains(
            "mend:  change to the directory of manage.py, write `forebay run -- gunicorn"
        ),
        "{ran:?}"
    );
}

#[test]
fn the_environment_comes_byte_for_byte() {
    let secret = b"x$mCyu&'\"\\ `id`\n\xff";
    let script = "import os; print(os.environb[b'SECRET'].hex(), os.environ['PORT']); input()";
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(["run", "--crash-limit", "1", "--listen", "127.0.0.1:0", "--"]);
    command.args(["python3", "-c", script]).current_dir(fresh_directory());
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("PORT", "80");
    command.env("SECRET", std::ffi::OsStr::from_bytes(secret)).stdin(Stdio::null());
    let out = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let hex = secret.map(|byte| format!("{byte:02x}")).concat();
    let line = out.lines().find(|line| line.contains(&hex));
    let line: Value = serde_json::from_str(line.unwrap_or_else(|| panic!("{out}"))).unwrap();
    let (_, port) = line["message"].as_str().unwrap().split_once(' ').unwrap();
    assert!(out.contains(&format!("\"upstream\":\"127.0.0.1:{port}\"")), "{out}");
}

#[test]
fn what_children_say_is_told_with_its_process_its_level_and_its_traceback() {
    let talk = "import sys, time
def say(stream, text):
    print(text, file=stream, flush=True)
    time.sleep(0.1)
say(sys.stdout, 'plain')
say(sys.stderr, '[2026-11-24 15:54:10 +0000] [7] [CRITICAL] WORKER TIMEOUT')
say(sys.stdout, '{\"message\": \"structured\", \"level\": \"info\"}')
try:
    1 / 0
except ZeroDivisionError:
    import logging
    logging.exception('Internal Server Error: /a')
time.sleep(100)
";
    let procfile = format!("{WEB}worker: python3 talk.py\n");
    let files = [("Procfile", procfile.as_str()), ("talk.py", talk)];
    let forebay = Forebay::run(&Start { files: &files, ..Start::default() });
    let said =
        eventually("four records", || Some(forebay.said("worker")).filter(|said| said.len() == 4));
    let seen: Vec<_> =
        said.iter().map(|it| (it["level"].as_str(), it["stream"].as_str())).collect();
    let (out, err) = (Some("stdout"), Some("stderr"));
    let (info, error) = (Some("INFO"), Some("ERROR"));
    assert_eq!(seen, [(info, out), (error, err), (info, out), (error, err)]);
    assert_eq!(said[2]["record"]["message"], "structured");
    let trace = said[3]["message"].as_str().unwrap();
    assert!(trace.starts_with("ERROR:root:Internal Server Error: /a\nTraceback "), "{trace}");
    assert!(trace.ends_with("\nZeroDivisionError: division by zero"), "{trace}");
    drop(forebay);
    let flags = ["--log", "text"];
    let forebay = Forebay::run(&Start { files: &files, flags: &flags, ..Start::default() });
    forebay.wait_for_line("text", |line| line.contains(" INFO worker| plain"));
    forebay.wait_for_line("text", |line| {
        line.ends_with(" worker| ZeroDivisionError: division by zero")
    });
}

#[test]
fn a_flood_neither_blocks_the_child_nor_eats_memory() {
    let directory = fresh_directory();
    let script = "head -c 100000000 /dev/zero | tr '\\0' 'x'; yes 'a line of words' | head -n 2000000; touch done; sleep 100";
    let mut forebay = Command::new(env!("CARGO_BIN_EXE_forebay"))
        .args(["run", "--listen", "127.0.0.1:0", "--", "sh", "-c", script])
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Nobody reads what forebay writes.
    eventually("the child has said it all", || directory.join("done").exists().then_some(()));
    let status = std::fs::read_to_string(format!("/proc/{}/status", forebay.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 48 * 1024, "{kib} KiB");
    Command::new("kill").arg(forebay.id().to_string()).status().unwrap();
    let mut out = String::new();
    forebay.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    forebay.wait().unwrap();
    assert!(out.contains("log lines were lost"), "{}", out.len());
}
