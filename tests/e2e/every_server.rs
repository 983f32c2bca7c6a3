//! What must hold behind forebay, whatever runs the site: the same tests for each server.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::database::query;
use crate::support::forebay::Forebay;
use crate::support::front_end::{over_http, over_tls};
use crate::support::wire::{Response, Wire, message};
use crate::support::{fresh_address, fresh_number, gate::Gate, python_program, site};

/// Makes a module per server, with each function of this file as a test in it.
macro_rules! on_every_server {
    ($($test:ident,)*) => {
        on_every_server!(@server gunicorn_sync, Forebay::before(site::SYNC.address()), $($test)*);
        on_every_server!(@server gunicorn_threads, Forebay::before(site::THREADS.address()), $($test)*);
        on_every_server!(@server uvicorn, Forebay::before(site::UVICORN.address()), $($test)*);
        on_every_server!(@server gunicorn_proxy_protocol, Forebay::with(
            site::PROXIED.address(),
            &["--proxy-protocol", "v2"],
        ), $($test)*);
    };
    (@server $server:ident, $forebay:expr, $($test:ident)*) => {
        mod $server {
            use super::{Forebay, site};
            $(#[test] fn $test() { super::$test(&$forebay); })*
        }
    };
}

on_every_server! {
    the_webhook_row_has_the_bare_address,
    a_webhook_with_a_wrong_signature_is_kept_and_refused,
    the_warm_up_gets_200,
    the_health_check_gets_200,
    https_is_seen_and_nothing_redirects,
    plain_http_is_redirected_once,
    the_host_is_the_one_that_the_visitor_used,
    a_login_passes_the_csrf_check,
    a_form_from_elsewhere_fails_the_csrf_check,
    a_throttle_counts_an_address_over_all_its_ports,
    a_body_arrives_as_it_was_sent,
    a_body_without_a_length_arrives_as_it_was_sent,
    a_file_is_uploaded,
    a_streamed_answer_arrives_as_it_was_sent,
    events_arrive_one_by_one,
    a_head_request_gets_no_body,
    nothing_that_a_stranger_claims_gets_through,
}

fn the_webhook_row_has_the_bare_address(forebay: &Forebay) {
    let Event { id, body, signature } = fresh_event();
    let head = post_event("54.187.205.235:46066", &signature);
    let answer = forebay.exchange_with_body(&head, body.as_bytes());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(webhook_row(&id), "54.187.205.235|t|t");
}

fn a_webhook_with_a_wrong_signature_is_kept_and_refused(forebay: &Forebay) {
    let Event { id, body, .. } = fresh_event();
    let head = post_event("54.187.205.235:46066", "t=1586275881,v1=42a2");
    assert_eq!(forebay.exchange_with_body(&head, body.as_bytes()).status, 400);
    assert_eq!(webhook_row(&id), "54.187.205.235|f|f");
}

fn the_warm_up_gets_200(forebay: &Forebay) {
    for host in ["127.0.0.1:8020", "169.254.130.4:8000"] {
        let answer = forebay.exchange(&format!(
            "GET /robots933456.txt HTTP/1.1
             host: {host}
             user-agent: HealthCheck/1.0"
        ));
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

fn the_health_check_gets_200(forebay: &Forebay) {
    for host in ["169.254.130.4:8000", "www.example.com", "example-app.azurewebsites.net"] {
        let answer = forebay.exchange(&format!(
            "GET /healthz HTTP/1.1
             Host: {host}
             User-Agent: HealthCheck/1.0"
        ));
        assert_eq!(answer.status, 200, "{host}: {answer:?}");
    }
}

fn https_is_seen_and_nothing_redirects(forebay: &Forebay) {
    let home = forebay.exchange(&over_tls("GET /", VISITOR, ""));
    assert_eq!((home.status, home.text()), (200, "home\n"));

    let seen = forebay.exchange(&over_tls("GET /echo/", VISITOR, "")).json();
    assert_eq!(seen["is_secure"], true);
    assert_eq!(seen["absolute_uri"], "https://www.example.com/echo/");
    assert_eq!(seen["meta"]["HTTP_X_FORWARDED_PROTO"], "https");
}

fn plain_http_is_redirected_once(forebay: &Forebay) {
    let home = forebay.exchange(&over_http("GET /?a=b", VISITOR, ""));
    assert_eq!(home.status, 301);
    assert_eq!(home.field("location"), Some("https://www.example.com/?a=b"));

    let seen = forebay.exchange(&over_http("GET /echo/", VISITOR, "")).json();
    assert_eq!(seen["is_secure"], false);
    assert_eq!(seen["meta"]["HTTP_X_FORWARDED_PROTO"], "http");
}

fn the_host_is_the_one_that_the_visitor_used(forebay: &Forebay) {
    let seen = forebay.exchange(&over_tls("GET /echo/?q=%C3%A9&r=a+b", VISITOR, "")).json();
    assert_eq!(seen["host"], "www.example.com");
    assert_eq!(seen["path"], "/echo/?q=%C3%A9&r=a+b");

    // ALLOWED_HOSTS keeps its meaning, for a foreign name and for an address from outside.
    for host in ["evil.example", "169.254.130.4:8000"] {
        let head = over_tls("GET /echo/", VISITOR, "").replace("www.example.com", host);
        assert_eq!(forebay.exchange(&head).status, 400, "{host}");
    }
}

fn a_login_passes_the_csrf_check(forebay: &Forebay) {
    let refused = forebay.exchange(&over_tls("GET /account/", VISITOR, ""));
    assert_eq!(refused.field("location"), Some("/accounts/login/?next=/account/"));

    let answer = log_in(forebay, "https://www.example.com");
    assert_eq!((answer.status, answer.field("location")), (302, Some("/account/")), "{answer:?}");

    let cookie = format!("Cookie: sessionid={}", answer.cookie("sessionid").unwrap());
    let account = forebay.exchange(&over_tls("GET /account/", VISITOR, &cookie));
    assert_eq!((account.status, account.text()), (200, "account of alice\n"));
}

fn a_form_from_elsewhere_fails_the_csrf_check(forebay: &Forebay) {
    assert_eq!(log_in(forebay, "https://evil.example").status, 403);
    assert_eq!(log_in(forebay, "http://www.example.com").status, 403);
}

fn a_throttle_counts_an_address_over_all_its_ports(forebay: &Forebay) {
    let address = fresh_address();
    let statuses: Vec<u16> = (50_001..50_006)
        .map(|port| forebay.exchange(&quote(&format!("{address}:{port}"))).status)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 429, 429], "three a minute");

    let another = fresh_address();
    assert_eq!(forebay.exchange(&quote(&format!("{another}:50001"))).status, 200);
}

fn a_body_arrives_as_it_was_sent(forebay: &Forebay) {
    // Django takes 2.5 MiB into memory at most.
    for length in [0, 1, 70_000, 2_000_001] {
        let body = pattern(length);
        let head = over_tls("POST /echo/", VISITOR, "Content-Type: application/octet-stream");
        let seen = forebay.exchange_with_body(&head, &body).json();
        assert_eq!(seen["method"], "POST");
        assert_eq!(seen["content_type"], "application/octet-stream");
        assert_eq!(seen["body_bytes"], length);
        assert_eq!(seen["body_sha256"], sha256(&body));
    }
}

fn a_file_is_uploaded(forebay: &Forebay) {
    let file = pattern(3_000_000); // more than Django keeps in memory
    let boundary = "------------------------d74496d66958873e";
    let mut body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"é.bin\"\r\n\r\n"
    )
    .into_bytes();
    body.extend(&file);
    body.extend(format!("\r\n--{boundary}--\r\n").as_bytes());
    let field = format!("Content-Type: multipart/form-data; boundary={boundary}");
    let head = over_tls("POST /upload/", VISITOR, &field);
    let seen = forebay.exchange_with_body(&head, &body).json();
    assert_eq!(seen["name"], "é.bin");
    assert_eq!(seen["bytes"], file.len());
    assert_eq!(seen["sha256"], sha256(&file));
}

fn a_streamed_answer_arrives_as_it_was_sent(forebay: &Forebay) {
    for length in [0, 1, 3_000_001] {
        let line = format!("GET /download/?bytes={length}");
        let answer = forebay.exchange(&over_tls(&line, VISITOR, ""));
        assert_eq!(answer.status, 200);
        assert!(answer.body == pattern(length), "{length} bytes were sent");
    }
}

fn events_arrive_one_by_one(forebay: &Forebay) {
    let gate = Gate::closed();
    let mut wire = forebay.connect();
    wire.send(&message(&over_tls(&gate.events(), VISITOR, "")));
    assert_eq!(wire.head().field("content-type"), Some("text/event-stream"));
    assert_eq!(wire.chunk().unwrap(), b"data: first\n\n");
    gate.open();
    assert_eq!(wire.chunk().unwrap(), b"data: last\n\n");
    assert_eq!(wire.chunk(), None);
}

fn a_head_request_gets_no_body(forebay: &Forebay) {
    let mut wire = forebay.connect();
    wire.send(&message(&over_tls("HEAD /", VISITOR, "")));
    assert_eq!(wire.head().status, 200);
    // The next answer on the connection begins where the first one ended.
    assert_eq!(wire.exchange(&over_tls("GET /", VISITOR, "")).text(), "home\n");
}

fn nothing_that_a_stranger_claims_gets_through(forebay: &Forebay) {
    let claims = "X-MS-CLIENT-PRINCIPAL: mallory
         X-MS-CLIENT-PRINCIPAL-NAME: mallory
         X-MS-CLIENT-PRINCIPAL-ID: mallory
         X-MS-TOKEN-AAD-ACCESS-TOKEN: mallory
         X_MS_CLIENT_PRINCIPAL: mallory
         Remote-User: mallory
         REMOTE_USER: mallory
         SCRIPT_NAME: /mallory
         PATH_INFO: /mallory
         Proxy: http://mallory.example
         X-Forwarded-Host: mallory.example
         X-Original-Host: mallory.example
         X_Forwarded_For: 6.6.6.6
         X_Forwarded_Proto: mallory
         X-Forwarded-Protocol: ssl
         X-Forwarded-Ssl: off
         X-Real-IP: 6.6.6.6
         X-Original-For: 6.6.6.6:80
         Forwarded: for=6.6.6.6;proto=http;host=mallory.example
         X-Forwarded-For: 6.6.6.6
         Connection: X-Forwarded-For, X-Forwarded-Proto, keep-alive";
    // The front end's own field is the last of its name.
    let genuine = "X-Forwarded-For: 203.0.113.10:64769";
    let head = over_tls("GET /echo/", VISITOR, "").replace(genuine, claims);
    let seen = forebay.exchange(&format!("{head}\n{genuine}")).json();
    assert_eq!(seen["host"], "www.example.com");
    assert_eq!(seen["path"], "/echo/");
    assert_eq!(seen["script_name"], "");
    assert_eq!(seen["is_secure"], true);
    assert_eq!(seen["meta"]["HTTP_X_FORWARDED_FOR"], "203.0.113.10");
    let all = seen.to_string();
    assert!(!all.contains("6.6.6.6") && !all.contains("mallory"), "{seen:#}");
    assert_eq!(seen["meta"]["HTTP_X_FORWARDED_PROTOCOL"], Value::Null);
    assert_eq!(seen["meta"]["HTTP_X_FORWARDED_SSL"], Value::Null);
}

/// Django under WSGI would take it for empty: see `a_body_without_a_length_is_lost`.
fn a_body_without_a_length_arrives_as_it_was_sent(forebay: &Forebay) {
    let body = pattern(200_001);
    let seen = post_in_chunks(&mut forebay.connect(), &body).json();
    assert_eq!(seen["body_bytes"], body.len());
    assert_eq!(seen["body_sha256"], sha256(&body));
}

const VISITOR: &str = "203.0.113.10:64769";

/// A Stripe event, its JSON and the signature that its endpoint expects.
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) body: String,
    pub(crate) signature: String,
}

/// An event that nobody sent before.
pub(crate) fn fresh_event() -> Event {
    let id = format!("evt_e2e_{:04}", fresh_number());
    // Blanks and an escape that a parser would not write again: the signature covers the bytes.
    let body = format!(
        r#"{{"id": "{id}",  "object": "event", "api_version": "2024-06-20", "created": 1586275881,
  "livemode": false, "pending_webhooks": 1, "request": null, "type": "balance.available",
  "data": {{"object": {{"object": "balance", "note": "\u00e9 é"}}}} }}"#
    );
    let sign = "import hmac, sys, time
t = int(time.time())
v1 = hmac.new(b'whsec_e2e', b'%d.' % t + sys.stdin.buffer.read(), 'sha256').hexdigest()
print(f't={t},v1={v1}', end='')";
    let signature =
        piped(Command::new(python_program("python")).args(["-c", sign]), body.as_bytes());
    Event { id, body, signature }
}

/// How Stripe posts an event from `client`.
pub(crate) fn post_event(client: &str, signature: &str) -> String {
    let fields = format!(
        "Content-Type: application/json; charset=utf-8
         Cache-Control: no-cache
         User-Agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)
         Accept: */*; q=0.5, application/xml
         Stripe-Signature: {signature}"
    );
    over_tls("POST /stripe/webhook/00000000-0000-4000-8000-000000000001/", client, &fields)
}

/// A call of the throttled API.
pub(crate) fn quote(client: &str) -> String {
    over_tls("GET /api/quote/", client, "")
}

/// Posts a body of unknown length to `/echo/`.
pub(crate) fn post_in_chunks(wire: &mut Wire, body: &[u8]) -> Response {
    wire.send(&message(&over_tls("POST /echo/", VISITOR, "Transfer-Encoding: chunked")));
    for chunk in body.chunks(7_919) {
        wire.send(format!("{:x}\r\n", chunk.len()).as_bytes());
        wire.send(chunk);
        wire.send(b"\r\n");
    }
    wire.send(b"0\r\n\r\n");
    wire.response()
}

fn webhook_row(event: &str) -> String {
    query(&format!(
        "select host(remote_ip), valid, processed from djstripe_webhookeventtrigger \
         where body like '%{event}%'"
    ))
}

/// Sends the login form as a browser does that shows a page of `origin`.
fn log_in(forebay: &Forebay, origin: &str) -> Response {
    let page = forebay.exchange(&over_tls("GET /accounts/login/?next=/account/", VISITOR, ""));
    assert_eq!(page.status, 200, "{page:?}");
    let (_, rest) = page.text().split_once(r#"name="csrfmiddlewaretoken" value=""#).unwrap();
    let (token, _) = rest.split_once('"').unwrap();
    let fields = format!(
        "Content-Type: application/x-www-form-urlencoded
         Origin: {origin}
         Referer: {origin}/accounts/login/?next=/account/
         Cookie: csrftoken={}",
        page.cookie("csrftoken").unwrap()
    );
    let form = format!(
        "csrfmiddlewaretoken={token}&username=alice&password=wonderland&next=%2Faccount%2F"
    );
    let head = over_tls("POST /accounts/login/", VISITOR, &fields);
    forebay.exchange_with_body(&head, form.as_bytes())
}

/// The bytes that `/download/` sends: 0, 1, … 250, 0, …
fn pattern(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

/// The hash of bytes, in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let line = piped(&mut Command::new("sha256sum"), bytes);
    line.split(' ').next().unwrap().to_owned()
}

/// What a program prints that reads `input`.
pub(crate) fn piped(program: &mut Command, input: &[u8]) -> String {
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}
