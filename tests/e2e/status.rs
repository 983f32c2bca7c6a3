//! What forebay says about a real site: its processes, its page in a browser, its metrics.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::browser::Profile;
use crate::support::start::Started;
use crate::support::wire::Wire;
use crate::support::{eventually, free_port};

const PROCFILE: &str = "release: python manage.py check
web: gunicorn mysite.wsgi --no-control-socket --workers 2
worker: cd . && python -c 'import time; time.sleep(1); raise SystemExit(3)'
";

/// A site and its admin address.
fn site() -> (Started, String) {
    let admin = format!("127.0.0.1:{}", free_port());
    let site = Started::new(PROCFILE, &[], &[("FOREBAY_ADMIN", &admin)]);
    (site, admin)
}

fn report(admin: &str) -> Value {
    Wire::connect(admin).unwrap().exchange("GET /status HTTP/1.1\nHost: localhost").json()
}

fn process(report: &Value, name: &str) -> Option<Value> {
    report["processes"].as_array()?.iter().find(|it| it["name"] == name).cloned()
}

#[test]
fn gunicorn_and_its_workers_are_told_with_their_memory_and_a_worker_with_its_restarts() {
    let (site, admin) = site();
    assert_eq!(site.get("/").status, 200);
    let report = eventually("the worker was started again twice", || {
        let report = report(&admin);
        (process(&report, "worker")?["restarts"].as_u64()? >= 2).then_some(report)
    });
    let worker = process(&report, "worker").unwrap();
    assert_eq!(worker["last_exit"], "exit code 3", "{worker}");
    let release = process(&report, "release").unwrap();
    assert_eq!(
        (&release["state"], &release["last_exit"]),
        (&"ended".into(), &"exit code 0".into())
    );
    let web = process(&report, "web").unwrap();
    assert_eq!((&web["state"], &web["restarts"]), (&"running".into(), &0.into()));
    // A Python with Django takes tens of MiB, and there are three.
    let own = std::fs::read_to_string(format!("/proc/{}/statm", web["pid"])).unwrap();
    let pages: u64 = own.split(' ').nth(1).unwrap().parse().unwrap();
    let all = web["memory_bytes"].as_u64().unwrap();
    assert!(all > pages * 4096 * 2, "{all} bytes, {pages} pages of the leader alone");
    assert_eq!(report["requests"]["concurrency"], 2, "as gunicorn says");
    let phases: Vec<_> = report["timeline"].as_array().unwrap().iter().collect();
    assert!(phases.iter().any(|it| it["reason"] == "the release command runs"), "{phases:?}");
    assert_eq!(report["phase"], "ready");
}

#[test]
fn a_browser_shows_the_page_and_has_nothing_to_complain_of() {
    let (site, admin) = site();
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.get("/%3Cscript%3Ealert(1)%3C/script%3E").status, 404);
    let profile = Profile::fresh();
    let mut browser = profile.browser(|name| Command::new(name));
    browser.args(["--enable-logging=stderr", "--virtual-time-budget=6000", "--dump-dom"]);
    let output = browser.arg(format!("http://{admin}/")).output().unwrap();
    let page = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    for part in ["<h1>Ready</h1>", "worker", "<svg class=\"bar\"", "class=\"tile\""] {
        assert!(page.contains(part), "{part}: {page}");
    }
    // Its script has asked twice meanwhile, and had answers.
    assert!(page.contains("<p id=\"lost\" class=\"bad\" role=\"status\"></p>"), "{page}");
    assert!(!complaints.contains("CONSOLE"), "{complaints}");
}

#[test]
fn promtool_finds_no_fault_in_the_metrics() {
    if Command::new("promtool").arg("--version").output().is_err() {
        eprintln!(
            "there is no promtool: nothing was checked\nmend: install the package prometheus"
        );
        return;
    }
    let (site, admin) = site();
    assert_eq!(site.get("/").status, 200);
    let answer = Wire::connect(&admin).unwrap().exchange("GET /metrics HTTP/1.1\nHost: localhost");
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("forebay_child_up{process=\"web\",role=\"web\"} 1\n"));
    let mut check = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    check.stdin.take().unwrap().write_all(answer.text().as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
