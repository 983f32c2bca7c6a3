//! What forebay says about itself: on its admin socket, on the public port, in its log.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::{
    APP_SERVICE, Answer, Application, Forebay, Start, eventually, fresh_directory, lives, run,
};

const TOKEN: &str = "a-token-of-24-characters";
const PATH: &str = "/.forebay/status";

/// In front of an application that answers, and ready.
fn ready(flags: &[&str], variables: &[(&str, &str)]) -> (Application, Forebay) {
    let application = Application::ok();
    let forebay = Forebay::started(application.address(), flags, variables).ready();
    (application, forebay)
}

fn ask(forebay: &Forebay, more: &str) -> Answer {
    forebay.exchange(format!("GET {PATH} HTTP/1.1\r\nHost: www.example.com\r\n{more}\r\n"))
}

/// A metric without its fraction.
fn number(metrics: &str, line: &str) -> u64 {
    let found = metrics.lines().find_map(|it| it.strip_prefix(line)?.strip_prefix(' '));
    let found = found.unwrap_or_else(|| panic!("no {line} in {metrics}"));
    found.split('.').next().unwrap().parse().unwrap()
}

#[test]
fn the_admin_socket_tells_what_happens() {
    let (_application, forebay) = ready(&[], &[("WEBSITE_INSTANCE_ID", "1a2b3c4d5e6f")]);
    assert_eq!(forebay.get("/a?secret=1").text(), "ok");
    assert_eq!(forebay.get("/healthz").status, 200);
    let report = eventually("both are counted", || {
        Some(forebay.report()).filter(|report| report["requests"]["total"] == 2)
    });
    assert_eq!(report["phase"], "ready");
    assert_eq!(report["instance"], "1a2b3c4d");
    assert_eq!(report["pid"], forebay.id());
    assert_eq!(report["requests"]["by_route"]["upstream"]["2xx"], 1);
    assert_eq!(report["requests"]["by_route"]["probe"]["2xx"], 1);
    assert_eq!(report["latency"]["first_byte"]["count"], 1);
    assert!(report["latency"]["total"]["p99_seconds"].as_f64().unwrap() > 0.0);
    let timeline = report["timeline"].as_array().unwrap();
    assert_eq!(timeline.last().unwrap()["phase"], "ready");
    assert_eq!(timeline[0]["phase"], "starting");
    assert!(report["start"]["limit_seconds"].is_null(), "there is no platform");
    assert!(!report.to_string().contains("secret"));
    let mode = fs::metadata(forebay.admin_socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn errors_are_kept_and_probes_are_none_of_them() {
    let answer = "HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\noh";
    let application = Application::answering(answer);
    let forebay = Forebay::before(&application);
    let script = forebay.get("/%3Cb%3E?token=secret");
    assert_eq!(script.status, 500);
    assert_eq!(forebay.exchange("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").status, 400);
    let report = eventually("both errors", || {
        Some(forebay.report()).filter(|it| it["errors"].as_array().unwrap().len() == 2)
    });
    let errors = report["errors"].as_array().unwrap();
    let own = errors.iter().find(|it| it["status"] == 500).unwrap();
    assert_eq!(
        (&own["method"], &own["path"], &own["code"]),
        (&"GET".into(), &"/%3Cb%3E".into(), &Value::Null)
    );
    let refused = errors.iter().find(|it| it["status"] == 400).unwrap();
    assert!(refused["code"].as_str().unwrap().starts_with("FB-1"), "{refused}");
}

#[test]
fn a_browser_at_the_admin_socket_gets_a_page_and_a_scraper_metrics() {
    let (_application, forebay) = ready(&[], &[]);
    assert_eq!(forebay.get("/a").text(), "ok");
    let page = forebay.ask_admin("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n");
    for part in ["HTTP/1.1 200 OK\r\n", "text/html", "<h1>Ready</h1>", "content-security-policy: "]
    {
        assert!(page.contains(part), "{part}: {page}");
    }
    let metrics = eventually("it is counted", || {
        let metrics = forebay.ask_admin("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        metrics
            .contains("forebay_requests_total{route=\"upstream\",class=\"2xx\"} 1\n")
            .then_some(metrics)
    });
    assert!(metrics.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    let histogram = "forebay_request_duration_seconds";
    assert_eq!(number(&metrics, &format!("{histogram}_count{{route=\"upstream\"}}")), 1);
    let all = format!("{histogram}_bucket{{route=\"upstream\",le=\"+Inf\"}}");
    assert_eq!(number(&metrics, &all), 1);
    assert_eq!(number(&metrics, "forebay_phase{phase=\"ready\"}"), 1);
    assert!(number(&metrics, "process_resident_memory_bytes") > 1_000_000);
    assert!(number(&metrics, "process_open_fds") > 3);
    assert_eq!(number(&metrics, "forebay_upstream_connections"), 1, "it is kept");
    assert_eq!(number(&metrics, "forebay_upstream_connections_idle"), 1);
    let head = forebay.ask_admin("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
    for (request, status) in [("GET /x", "404"), ("POST /status", "405")] {
        let answer = forebay.ask_admin(&format!("{request} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
}

#[test]
fn a_left_over_socket_is_replaced_and_a_living_one_is_not() {
    let application = Application::ok();
    let path = fresh_directory().join("admin.sock");
    let address = format!("unix:{}", path.display());
    let flags = ["--admin", address.as_str()];
    let mut first = Forebay::with(&application, &flags);
    first.wait_for_line("it says where", |line| line.contains("admin address"));
    let second =
        ["proxy", "--upstream", "127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", &address];
    let ran = run(&second).ran();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.complaints.contains("somebody answers at the admin socket"), "{ran:?}");
    assert!(ran.complaints.contains("mend:  end the other forebay"), "{ran:?}");
    first.signal("KILL");
    first.end();
    assert!(path.exists(), "nobody could remove it");
    let mut third = Forebay::with(&application, &flags);
    third.wait_for_line("it says where", |line| line.contains("admin address"));
    let ran = run(&["status", &address, "--json"]).ran();
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["pid"], third.id());
    third.terminate();
    third.end();
    assert!(!path.exists(), "it is removed at the end");
}

#[test]
fn a_default_socket_that_cannot_be_had_is_a_warning_and_a_chosen_one_an_error() {
    let application = Application::ok();
    let long = fresh_directory().join("a".repeat(100));
    fs::create_dir(&long).unwrap();
    // The path of a unix socket has 107 bytes.
    let within = [("TMPDIR", long.to_str().unwrap())];
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.args(["proxy", "--upstream", application.address(), "--listen", "127.0.0.1:0"]);
    command.env_clear().envs(within).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let out = child.stdout.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out)).map_while(Result::ok);
    let warning = lines.find(|line| line.contains("will not find this process")).unwrap();
    assert!(warning.contains("\"WARN\"") && warning.contains("mend"), "{warning}");
    child.kill().unwrap();
    child.wait().unwrap();
    let address = format!("unix:{}/missing/a.sock", long.display());
    let ran = run(&[
        "proxy",
        "--upstream",
        "127.0.0.1:1",
        "--listen",
        "127.0.0.1:0",
        "--admin",
        &address,
    ]);
    let ran = ran.ran();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.complaints.contains("mend:  set --admin to a path of at most 107 bytes"),
        "{ran:?}"
    );
}

#[test]
fn over_tcp_only_an_address_or_localhost_is_a_host_and_openness_is_warned_of() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--admin", "127.0.0.1:0"]);
    let line = forebay.wait_for_line("it says where", |line| line.contains("admin address"));
    let line: Value = serde_json::from_str(&line).unwrap();
    let address = line["address"].as_str().unwrap().parse().unwrap();
    for (host, status) in [("127.0.0.1:9", 200), ("localhost", 200), ("evil.example", 403)] {
        let request = format!("GET /status HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(
            crate::support::Wire::connect(address).exchange(request).status,
            status,
            "{host}"
        );
    }
    let forebay = Forebay::with(&application, &["--admin", "0.0.0.0:0"]);
    forebay.wait_for_line("a warning", |line| line.contains("open to whoever reaches it"));
    let forebay = Forebay::with(&application, &["--admin", "off"]).ready();
    assert!(!forebay.admin_socket().exists());
}

#[test]
fn many_idle_connections_do_not_close_the_admin_socket_for_ever() {
    let (_application, forebay) = ready(&[], &[]);
    let path = forebay.admin_socket();
    let connect = || std::os::unix::net::UnixStream::connect(&path).unwrap();
    let idle: Vec<_> = (0..16).map(|_| connect()).collect();
    // All places are taken; they end at the header deadline.
    assert_eq!(forebay.report()["phase"], "ready");
    drop(idle);
}

#[test]
fn without_a_token_the_path_is_the_applications() {
    let (application, forebay) = ready(&[], &[]);
    assert_eq!(ask(&forebay, "Authorization: Bearer x\r\n").text(), "ok");
    assert!(application.heard_text()[0].starts_with("GET /.forebay/status "));
}

#[test]
fn with_a_token_the_public_port_shows_the_status_to_those_who_have_it() {
    let (application, forebay) = ready(&[], &[("FOREBAY_STATUS_TOKEN", TOKEN)]);
    let refused = ask(&forebay, "");
    assert_eq!((refused.status, refused.code()), (401, Some("FB-60")));
    let challenge = refused.field("www-authenticate").unwrap();
    assert!(challenge.starts_with("Basic realm="), "{challenge}");
    assert_eq!(ask(&forebay, "Authorization: Bearer wrong\r\n").code(), Some("FB-60"));
    let shown = ask(&forebay, &format!("Authorization: Bearer {TOKEN}\r\n"));
    assert_eq!(shown.status, 200);
    assert_eq!(shown.field("cache-control"), Some("no-store"));
    let report: Value = serde_json::from_slice(&shown.content).unwrap();
    assert_eq!(report["phase"], "ready");
    // `me:a-token-of-24-characters`.
    let basic = "Authorization: Basic bWU6YS10b2tlbi1vZi0yNC1jaGFyYWN0ZXJz\r\n";
    let page = ask(&forebay, &format!("{basic}Accept: text/html\r\n"));
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.field("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(page.text().contains("<h1>Ready</h1>"));
    let line = forebay.line_of(PATH);
    assert!(!line.to_string().contains(TOKEN));
    assert!(application.heard().is_empty(), "the application is not asked");
    let post =
        format!("POST {PATH} HTTP/1.1\r\nHost: www.example.com\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(forebay.exchange(post).text(), "ok", "only reading is forebay's");
}

#[test]
fn who_guesses_is_turned_away_for_a_minute() {
    let (_application, forebay) = ready(&["--status-token", TOKEN], &[]);
    for _ in 0..10 {
        assert_eq!(ask(&forebay, "Authorization: Bearer wrong\r\n").status, 401);
    }
    let answer = ask(&forebay, &format!("Authorization: Bearer {TOKEN}\r\n"));
    assert_eq!((answer.status, answer.code()), (429, Some("FB-61")));
    assert_eq!(answer.field("retry-after"), Some("60"));
    let other = format!("X-Forwarded-For: 203.0.113.9\r\nAuthorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask(&forebay, &other).status, 429, "nobody's word counts without a platform");
}

#[test]
fn the_status_is_there_while_the_application_is_not_and_while_forebay_stops() {
    let variables = [("FOREBAY_STATUS_TOKEN", TOKEN), APP_SERVICE[0]];
    let path = Application::fresh_path();
    let upstream = format!("unix:{}", path.display());
    let forebay = Forebay::started(&upstream, &["--drain-deadline", "10s"], &variables);
    let authorized = format!("Authorization: Bearer {TOKEN}\r\n");
    let starting = ask(&forebay, &authorized);
    let report: Value = serde_json::from_slice(&starting.content).unwrap();
    assert_eq!((starting.status, report["phase"].as_str()), (200, Some("starting")));
    assert_eq!(report["start"]["limit_seconds"], 230.0);
    assert!(report["start"]["share"].as_f64().unwrap() < 0.5);
    assert!(report["reason"].is_string());
    // A request that is not answered, so that the stop takes a while.
    let _application = Application::on_unix(&path, |visit| {
        visit.head();
        visit.rest();
    });
    let mut open = forebay.connect();
    let waiting = format!("GET {PATH} HTTP/1.1\r\nHost: www.example.com\r\n{authorized}\r\n");
    assert_eq!(open.exchange(&waiting).status, 200);
    let mut busy = forebay.connect();
    busy.send("GET /slow HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
    eventually("it is in the application", || {
        (forebay.report()["requests"]["in_flight"] == 1).then_some(())
    });
    forebay.terminate();
    let report = forebay.report();
    assert_eq!(report["phase"], "draining");
}

#[test]
fn a_token_over_plain_http_is_warned_of_once() {
    let variables = [("FOREBAY_STATUS_TOKEN", TOKEN), APP_SERVICE[0]];
    let (_application, forebay) = ready(&[], &variables);
    let outside = format!(
        "X-Forwarded-For: 203.0.113.9:5000\r\nX-Forwarded-Proto: SCHEME\r\nAuthorization: Bearer {TOKEN}\r\n"
    );
    let told =
        || forebay.lines().iter().filter(|line| line.contains("came over plain http")).count();
    assert_eq!(ask(&forebay, &outside.replace("SCHEME", "https")).status, 200);
    assert_eq!(ask(&forebay, &outside.replace("SCHEME", "http")).status, 200);
    assert_eq!(ask(&forebay, &outside.replace("SCHEME", "http")).status, 200);
    forebay.wait_for_line("a warning", |line| line.contains("came over plain http"));
    assert_eq!(ask(&forebay, &outside.replace("SCHEME", "https")).status, 200);
    assert_eq!(told(), 1);
}

#[test]
fn the_token_is_shown_nowhere_and_no_child_gets_it() {
    let ran = run(&["config"]).variables(&[("FOREBAY_STATUS_TOKEN", TOKEN)]).ran();
    assert!(ran.out.contains("[redacted]") && !ran.out.contains(TOKEN), "{ran:?}");
    let ran = run(&["config"]).variables(&[("FOREBAY_STATUS_TOKEN", "too-short")]).ran();
    assert_eq!(ran.code, Some(2));
    assert!(ran.complaints.contains("16 to 256 letters"), "{ran:?}");
    assert!(!format!("{ran:?}").contains("too-short"), "{ran:?}");
    let ran =
        run(&["config"]).file("forebay.toml", "status-token = [\"secret-secret-secret\"]\n").ran();
    assert_eq!(ran.code, Some(2));
    assert!(!ran.complaints.contains("secret-secret"), "{ran:?}");
    let script = "import os; print(sorted(it for it in os.environ if 'TOKEN' in it), flush=True); \
                  import time; time.sleep(100)";
    let start = Start {
        command: &["python3", "-c", script],
        variables: &[("FOREBAY_STATUS_TOKEN", TOKEN), ("OTHER_TOKEN", "x")],
        ..Start::default()
    };
    let forebay = Forebay::run(&start);
    forebay.wait_for_word("web", "['OTHER_TOKEN']");
    assert!(!forebay.lines().iter().any(|line| line.contains(TOKEN)));
}

#[test]
fn processes_are_told_with_their_restarts_and_their_memory() {
    let procfile =
        "web: python3 web.py\nworker: sh -c 'sleep 0.2; exit 4'\nrelease: sh -c 'exit 0'\n";
    let start = Start { files: &[("Procfile", procfile)], ..Start::default() };
    let mut forebay = Forebay::run(&start).ready();
    let report = eventually("the worker was started again", || {
        let report = forebay.report();
        let worker = report["processes"].as_array()?.iter().find(|it| it["name"] == "worker")?;
        (worker["restarts"].as_u64()? > 0 && worker["last_exit"].is_string())
            .then_some(report.clone())
    });
    let of = |name: &str| {
        let processes = report["processes"].as_array().unwrap();
        processes.iter().find(|it| it["name"] == name).unwrap().clone()
    };
    assert_eq!(of("worker")["last_exit"], "exit code 4");
    assert_eq!(of("worker")["role"], "other");
    let web = of("web");
    assert_eq!((web["state"].as_str(), web["role"].as_str()), (Some("running"), Some("web")));
    assert_eq!(web["pid"], forebay.wait_for_child("web", 1));
    assert!(web["memory_bytes"].as_u64().unwrap() > 1 << 20, "{web}");
    assert_eq!(
        (of("release")["state"].as_str(), of("release")["last_exit"].as_str()),
        (Some("ended"), Some("exit code 0"))
    );
    let phases: Vec<_> =
        report["timeline"].as_array().unwrap().iter().map(|it| it["phase"].clone()).collect();
    assert_eq!(phases.last().unwrap(), "ready");
    let metrics = forebay.ask_admin("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(number(&metrics, "forebay_child_up{process=\"web\",role=\"web\"}"), 1);
    assert!(number(&metrics, "forebay_child_restarts_total{process=\"worker\"}") > 0);
    let child = forebay.wait_for_child("web", 1);
    forebay.terminate();
    forebay.end();
    assert!(!lives(child));
    assert!(!forebay.admin_socket().exists());
}

#[test]
fn phases_and_a_slow_start_are_in_the_log() {
    let path = Application::fresh_path();
    let upstream = format!("unix:{}", path.display());
    let forebay = Forebay::started(&upstream, &["--start-limit", "1s"], APP_SERVICE);
    let warning = forebay.wait_for_line("a warning", |line| line.contains("three fifths"));
    assert!(warning.contains("WEBSITES_CONTAINER_START_TIME_LIMIT"), "{warning}");
    let _application = Application::on_unix(&path, |visit| visit.answer_all(crate::support::OK));
    let line = forebay.wait_for_line("the phase", |line| {
        line.contains("\"message\":\"phase\"") && line.contains("\"phase\":\"ready\"")
    });
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["previous"], "starting");
    assert!(line["start_limit_used_percent"].as_u64().unwrap() >= 60, "{line}");
    assert!(line["lasted_ms"].is_u64(), "{line}");
    assert_eq!(forebay.lines().iter().filter(|line| line.contains("three fifths")).count(), 1);
}
