//! Each prober of Azure gets the truth (facts, 4).

use crate::support::{APP_SERVICE, Answer, Application, Forebay, OK};

const WARM_UP: &str =
    "GET /robots933456.txt HTTP/1.1\r\nhost: 127.0.0.1:8020\r\nuser-agent: HealthCheck/1.0\r\n\r\n";
const HEALTH: &str =
    "GET /healthz HTTP/1.1\r\nHost: 169.254.130.4:8000\r\nUser-Agent: HealthCheck/1.0\r\n\r\n";
const FRONT_DOOR: &str = "HEAD / HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Edge Health Probe\r\n\
                          X-Forwarded-For: 147.243.18.238\r\nX-FD-HealthProbe: 1\r\n\r\n";
const APP_GATEWAY: &str = "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";
const KUBERNETES: &str =
    "GET /healthz HTTP/1.1\r\nHost: 10.244.1.17:8000\r\nUser-Agent: kube-probe/1.30\r\n\r\n";
const TRAFFIC_MANAGER: &str = "GET /healthz HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 1.2.3.4\r\n\
                               User-Agent: Azure Traffic Manager Endpoint Monitor\r\n\r\n";
const SAME_NAME: &str = "GET /healthz HTTP/1.1\r\nHost: example-app.azurewebsites.net\r\n\
                         X-Forwarded-For: 10.0.0.1\r\nUser-Agent: HealthCheck/1.0\r\n\r\n";
const ALWAYS_ON: &str =
    "GET / HTTP/1.1\r\nHost: example-app.azurewebsites.net\r\nUser-Agent: AlwaysOn\r\n\r\n";

/// What a prober sees; to HEAD there is no content.
fn probe(forebay: &Forebay, request: &str) -> Answer {
    let mut wire = forebay.connect();
    wire.send(request);
    if request.starts_with("HEAD") { wire.head() } else { wire.answer() }
}

fn quick(application: &str) -> Forebay {
    let flags =
        ["--ready-interval", "50ms", "--ready-deadline", "300ms", "--hold-deadline", "300ms"];
    Forebay::started(application, &flags, APP_SERVICE)
}

#[test]
fn the_warm_up_is_held_until_the_application_answers() {
    let path = Application::fresh_path();
    let forebay = quick(&format!("unix:{}", path.display()));
    let mut wire = forebay.connect();
    wire.send(WARM_UP);
    wire.set_patience(std::time::Duration::from_millis(500));
    assert_eq!(wire.rest().0, b"", "no answer is the truth");
    wire.set_patience(crate::support::PATIENCE);
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    assert_eq!(wire.answer().status, 200);
    assert_eq!(probe(&forebay, WARM_UP).status, 200, "at once from now on");
    assert_eq!(application.heard_text(), [""; 0], "the application never sees it");
    assert_eq!(forebay.line_of("/robots933456.txt")["probe"], "warm_up");
}

#[test]
fn at_four_fifths_of_the_start_limit_a_living_application_is_let_through() {
    let application = Application::ok();
    application
        .set_readiness(Some("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"));
    let flags = ["--ready-interval", "50ms", "--start-limit", "1s"];
    let forebay = Forebay::started(application.address(), &flags, APP_SERVICE);
    assert_eq!(probe(&forebay, WARM_UP).text(), "starting\n");
    assert_eq!(probe(&forebay, HEALTH).status, 503, "it is not ready for all that");
    forebay.wait_for_line("the warning", |line| {
        line.contains("\"WARN\"") && line.contains("WEBSITES_CONTAINER_START_TIME_LIMIT")
    });
}

#[test]
fn every_prober_of_health_is_told_before_while_and_after() {
    let path = Application::fresh_path();
    let forebay = quick(&format!("unix:{}", path.display()));
    let probers = [HEALTH, FRONT_DOOR, APP_GATEWAY, KUBERNETES, TRAFFIC_MANAGER, SAME_NAME];
    for request in probers {
        let answer = probe(&forebay, request);
        assert_eq!((answer.status, answer.code()), (503, Some("FB-20")), "{request}");
    }
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    let forebay = forebay.ready();
    for request in probers {
        let answer = probe(&forebay, request);
        assert_eq!((answer.status, answer.code()), (200, None), "{request}");
        assert_eq!(answer.field("cache-control"), Some("no-store"));
        assert_eq!(answer.field("location"), None);
    }
    assert_eq!(application.heard_text(), [""; 0], "none of them reached the application");
    application.stop();
    forebay.wait_for_line("it is gone", |line| line.contains("the application does not answer"));
    for request in probers {
        let answer = probe(&forebay, request);
        assert_eq!((answer.status, answer.code()), (503, Some("FB-22")), "{request}");
    }
    assert_eq!(forebay.get("/a").code(), Some("FB-25"), "visitors are told, too");
    let _again = Application::on_unix(&path, |visit| visit.answer_all(OK));
    crate::support::eventually("it is back", || {
        (probe(&forebay, HEALTH).status == 200).then_some(())
    });
}

#[test]
fn front_doors_head_gets_exactly_200_and_no_content() {
    let application = Application::ok();
    let forebay = quick(application.address()).ready();
    let mut wire = forebay.connect();
    wire.send(FRONT_DOOR);
    assert_eq!(wire.head().line, "HTTP/1.1 200 OK");
    wire.send(FRONT_DOOR);
    assert_eq!(wire.head().line, "HTTP/1.1 200 OK", "nothing came in between");
    forebay.wait_for_request("it", |line| line["probe"] == "front_door" && line["bytes"] == 0);
}

#[test]
fn a_visitor_who_plays_prober_reaches_the_application() {
    let application = Application::ok();
    let forebay = quick(application.address());
    for request in [
        "GET /robots933456.txt HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        "GET /robots933456.txt HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Forwarded-For: 1.2.3.4\r\n\
         User-Agent: HealthCheck/1.0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
        "POST /healthz HTTP/1.1\r\nHost: 169.254.130.4:8000\r\nContent-Length: 0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
    ] {
        assert_eq!(forebay.exchange(request).text(), "ok", "{request}");
    }
}

#[test]
fn container_apps_probes_by_connecting_alone() {
    let application = Application::ok();
    let variables = [("CONTAINER_APP_NAME", "shop")];
    let forebay = Forebay::started(application.address(), &[], &variables).ready();
    for _ in 0..10 {
        drop(forebay.connect());
    }
    assert_eq!(forebay.get("/sentinel").text(), "ok");
    forebay.line_of("/sentinel");
    assert_eq!(forebay.requests().len(), 1, "{:?}", forebay.lines());
    assert_eq!(application.heard().len(), 1);
}

#[test]
fn always_on_keeps_the_application_warm_unless_told_otherwise() {
    let application = Application::ok();
    let forebay = quick(application.address());
    assert_eq!(probe(&forebay, ALWAYS_ON).text(), "ok");
    assert_eq!(application.heard().len(), 1);

    let application = Application::ok();
    let flags = ["--always-on", "answer"];
    let forebay = Forebay::started(application.address(), &flags, APP_SERVICE).ready();
    assert_eq!(probe(&forebay, ALWAYS_ON).text(), "ready\n");
    assert_eq!(application.heard_text(), [""; 0]);
    assert_eq!(forebay.wait_for_request("it", |line| line["probe"] == "always_on")["status"], 200);
}

#[test]
fn the_application_is_asked_as_a_visitor_would() {
    let application = Application::ok();
    let flags = ["--health-path", "/up"];
    let _forebay = Forebay::started(application.address(), &flags, APP_SERVICE).ready();
    let question = application.questions().remove(0).to_ascii_lowercase();
    assert!(question.starts_with("get /up http/1.1\r\n"), "{question}");
    for field in ["host: www.example.com", "x-forwarded-proto: https", "x-forwarded-for: 127.0.0.1"]
    {
        assert!(question.contains(&format!("\r\n{field}\r\n")), "{question}");
    }
}

#[test]
fn any_answer_below_500_is_readiness_and_500_is_not() {
    for (status, is_ready) in [("404 Not Found", true), ("302 Found", true), ("500 Oops", false)] {
        let application = Application::ok();
        application.set_readiness(Some(&format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")));
        let forebay = quick(application.address());
        let wanted = if is_ready { "the application is ready" } else { "it answered 500" };
        forebay.wait_for_line(wanted, |line| line.contains(wanted));
        assert_eq!(probe(&forebay, HEALTH).status, if is_ready { 200 } else { 503 }, "{status}");
        if !is_ready {
            application.set_readiness(Some("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
            forebay.ready();
        }
    }
}

#[test]
fn what_is_no_answer_is_no_readiness() {
    for (answer, reason) in [
        (Some("rubbish\r\n\r\n"), "without a valid answer"),
        (Some(""), "without a valid answer"),
        (None, "does not answer"),
    ] {
        let application = Application::ok();
        application.set_readiness(answer);
        let forebay = quick(application.address());
        forebay.wait_for_line(reason, |line| line.contains(reason));
        assert_eq!(probe(&forebay, HEALTH).code(), Some("FB-20"), "{answer:?}");
    }
}

#[test]
fn an_application_that_refuses_every_host_is_ready_with_a_warning() {
    let application = Application::ok();
    application.set_readiness(Some("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"));
    let forebay = quick(application.address()).ready();
    let warning = forebay.wait_for_line("the warning", |line| line.contains("\"WARN\""));
    for part in ["www.example.com", "--host", "ALLOWED_HOSTS"] {
        assert!(warning.contains(part), "{warning}");
    }
    assert_eq!(probe(&forebay, HEALTH).status, 200);
}

#[test]
fn a_second_host_is_tried_when_the_first_is_refused() {
    let application = Application::ok();
    application.accept_only("other.example");
    let forebay = Forebay::with(&application, &["--host", "other.example"]).ready();
    let questions = application.questions();
    assert!(questions[0].contains("host: www.example.com\r\n"), "{questions:?}");
    assert!(questions[1].contains("host: other.example\r\n"), "{questions:?}");
    assert_eq!(questions.len(), 2, "the second was accepted: {questions:?}");
    assert!(!forebay.lines().concat().contains("\"WARN\""), "{:?}", forebay.lines());
}

#[test]
fn a_worker_that_is_busy_is_no_reason_to_take_the_instance_out() {
    let application = Application::ok();
    let forebay = quick(application.address()).ready();
    application.set_readiness(None);
    // As long as visitors are answered, silence to questions does not count.
    let end = tokio::time::Instant::now() + std::time::Duration::from_millis(1800);
    while tokio::time::Instant::now() < end {
        assert_eq!(forebay.get("/a").text(), "ok");
        assert_eq!(probe(&forebay, HEALTH).status, 200);
    }
    forebay.wait_for_line("it is silent now", |line| line.contains("does not answer"));
    assert_eq!(probe(&forebay, HEALTH).code(), Some("FB-22"));
}
