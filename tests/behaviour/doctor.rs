//! `forebay doctor` without Python: its forms, its exit codes, and that no secret leaves it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::support::forebay::Ran;
use crate::support::{Application, fresh_directory, run};

/// A port where nobody listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|why| panic!("{why}: {ran:?}"))
}

fn rules(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().unwrap();
    findings.iter().map(|finding| finding["rule"].as_str().unwrap()).collect()
}

#[test]
fn a_finding_says_what_shows_it_why_it_matters_and_how_to_mend_it() {
    let ran = run(&["doctor", "--offline", "--only", "FD-02"]).ran();
    assert_eq!((ran.code, ran.complaints.as_str()), (Some(1), ""), "{ran:?}");
    for part in ["error   FD-02 ", "\n        found ", "\n        why ", "\n        mend "] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(ran.out.ends_with("1 error, 0 warnings, 0 notes; 0 not looked at; 0 rules in order\n"));
    assert!(ran.out.contains("there is nothing to start"), "{}", ran.out);
}

#[test]
fn what_cannot_be_looked_at_is_said_and_is_no_fault() {
    let ran = run(&["doctor", "--offline", "--json", "--only", "fd-10,FD-70"]).ran();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let report = json(&ran);
    assert_eq!(rules(&report), [""; 0]);
    let not_looked = report["not_looked"].as_array().unwrap();
    let whys: Vec<_> = not_looked.iter().map(|it| it["why"].as_str().unwrap()).collect();
    assert_eq!(whys, ["nothing can be started (FD-02)", "--offline"]);
    assert_eq!(report["in_order"], 0);
}

#[test]
fn notes_are_exit_code_0_and_findings_1() {
    for (arguments, code, severity) in [("--timeout 30", 0, "note"), ("--bind :80", 1, "warning")] {
        let ran = run(&["doctor", "--offline", "--json", "--only", "FD-31", "--", "sleep", "1"])
            .variables(&[("GUNICORN_CMD_ARGS", arguments)])
            .ran();
        assert_eq!(ran.code, Some(code), "{ran:?}");
        assert_eq!(json(&ran)["findings"][0]["severity"], severity);
    }
}

#[test]
fn an_unknown_rule_and_bad_settings_are_exit_code_2() {
    for (arguments, parts) in [
        (&["doctor", "--only", "FD-99"][..], &["there is no rule `FD-99`", "FD-10"][..]),
        (&["doctor", "--only", "FD-02,hosts"], &["there is no rule `hosts`"]),
        (&["doctor", "--threads", "0"], &["threads is `0`"]),
        (&["doctor", "--nonsense"], &[]),
    ] {
        let ran = run(arguments).ran();
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        for part in parts {
            assert!(ran.complaints.contains(part), "{part}: {ran:?}");
        }
    }
    let bundle = ["doctor", "--offline", "--bundle", "/nowhere/bundle.json"];
    let ran = run(&bundle).ran();
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.complaints.contains("cannot write /nowhere/bundle.json"), "{ran:?}");
}

#[test]
fn scripts_are_read_and_their_lines_are_evidence() {
    let ran = run(&["doctor", "--offline", "--json", "--only", "FD-32,FD-33"])
        .file("Procfile", "release: python manage.py makemigrations\nweb: sleep 1\n")
        .file("startup.sh", "#!/bin/sh\npython manage.py migrate\n")
        .ran();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let report = json(&ran);
    assert_eq!(rules(&report), ["FD-32", "FD-33"]);
    let evidence = |place: usize| report["findings"][place]["evidence"].as_str().unwrap();
    assert_eq!(evidence(0), "Procfile:1: release: python manage.py makemigrations");
    assert_eq!(evidence(1), "startup.sh:2: python manage.py migrate");
}

#[test]
fn the_site_that_runs_is_asked_as_a_visitor_over_https_would() {
    let refused = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let circle =
        "HTTP/1.1 301 Moved\r\nLocation: https://www.example.com/\r\nContent-Length: 0\r\n\r\n";
    for (answer, expected) in [
        (refused, &["FD-70"][..]),
        (circle, &["FD-71"]),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[]),
    ] {
        let application = Application::answering(answer);
        let listen = format!("127.0.0.1:{}", free_port());
        let flags = ["doctor", "--json", "--only", "FD-70,FD-71", "--host", "www.example.com"];
        let places = ["--listen", &listen, "--upstream", application.address()];
        let ran = run(&[&flags[..], &places, &["--", "sleep", "1"]].concat()).ran();
        assert_eq!(rules(&json(&ran)), expected, "{ran:?}");
        assert_eq!(ran.code, Some(i32::from(!expected.is_empty())));
        let heard = application.heard_text().concat();
        assert!(heard.contains("X-Forwarded-Proto: https\r\n"), "{heard}");
        assert!(heard.contains("Host: www.example.com\r\n"), "{heard}");
    }
}

#[test]
fn no_secret_is_in_the_report_or_the_bundle() {
    const SECRETS: &[&str] = &[
        "correct-horse",
        "battery%40staple",
        "battery@staple",
        "hunter22",
        "Zm9vYmFyYmF6",
        "sk_live_abc",
        "tok-en-123",
        "from-dot-env",
        "in-the-command",
        "in-the-lock",
        "first-$process",
    ];
    let bundle = fresh_directory().join("bundle.json");
    let path = bundle.to_str().unwrap();
    let web =
        "web: env STRIPE_SECRET_KEY=in-the-command ./missing --dsn postgres://a:hunter22@b/c\n";
    for form in ["--json", "--log=text"] {
        let ran = run(&["doctor", "--offline", "--bundle", path, form])
            .file("Procfile", web)
            .file(".env", "export API_SECRET=\"from-dot-env\"\n")
            .file("start.sh", "curl -H token=tok-en-123 && python manage.py makemigrations\n")
            .variables(&[
                ("DJANGO_SECRET_KEY", "correct-horse"),
                ("DATABASE_URL", "postgres://app:battery%40staple@db.example.com/app"),
                ("AZURE_POSTGRESQL_CONNECTIONSTRING", "dbname=a password=hunter22 host=b"),
                ("STORAGE", "DefaultEndpointsProtocol=https;AccountKey=Zm9vYmFyYmF6"),
                ("STRIPE_KEY", "sk_live_abc"),
                ("MAIL_PASSWORD", "first-"),
                ("APPSETTING_MAIL_PASSWORD", "first-$process"),
                ("GUNICORN_CMD_ARGS", "--bind :80 --env API_TOKEN=tok-en-123"),
                ("FOREBAY_RELEASE_LOCK", "postgres://app:in-the-lock@db.example.com/app"),
                ("WEBSITE_SITE_NAME", "example-app"),
                ("HARMLESS", "shown by its name only"),
            ])
            .ran();
        assert_eq!(ran.code, Some(1), "{ran:?}");
        let written = fs::read_to_string(&bundle).unwrap();
        for secret in SECRETS {
            for (place, text) in
                [("bundle", &written), ("report", &ran.out), ("complaints", &ran.complaints)]
            {
                assert!(!text.contains(secret), "{secret} is in the {place}: {text}");
            }
        }
        let shown: Value = serde_json::from_str(&written).unwrap();
        assert_eq!(shown["variables"]["WEBSITE_SITE_NAME"], "example-app");
        assert_eq!(shown["variables"]["HARMLESS"], "[not shown]");
        assert_eq!(shown["forebay"], env!("CARGO_PKG_VERSION"));
        assert!(rules(&shown["report"]).contains(&"FD-30"), "{written}");
        let mode = fs::metadata(&bundle).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
