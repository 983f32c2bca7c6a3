//! Nothing that can be read in two ways reaches the application.

use crate::support::wire::End;
use crate::support::{Application, Forebay, STREAMING, find, pattern, text};

/// A request, and the status and code that it gets.
type Case<'a> = (&'a str, u16, &'a str);

/// Sends each request on a connection of its own: it gets its answer, marked, the connection is
/// closed in order, and the application hears of nothing but a sound request at the end.
fn each_is_refused(cases: &[Case<'_>]) {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    for &(request, status, code) in cases {
        let mut wire = forebay.connect();
        let answer = wire.exchange(unescaped(request));
        assert_eq!((answer.status, answer.code()), (status, Some(code)), "{request:?}: {answer:?}");
        assert_eq!(answer.field("connection"), Some("close"), "{request:?}");
        assert!(answer.is_whole, "{request:?}");
        assert_eq!(wire.rest(), (vec![], End::Closed), "{request:?}");
    }
    only_the_sentinel_is_heard(&forebay, &application);
}

/// Latin-1 stands for bytes.
fn unescaped(request: &str) -> Vec<u8> {
    request.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect()
}

fn only_the_sentinel_is_heard(forebay: &Forebay, application: &Application) {
    assert_eq!(forebay.get("/sentinel").text(), "ok");
    let heard = application.heard_text();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("GET /sentinel HTTP/1.1\r\n"), "{heard:?}");
}

fn post(rest: &str) -> String {
    format!("POST /evil HTTP/1.1\r\nHost: www.example.com\r\n{rest}")
}

#[test]
fn what_can_be_read_in_two_ways_never_reaches_the_application() {
    let smuggled = "GET /admin HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    let shapes = [
        // CL.TE and TE.CL
        format!("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG{smuggled}"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n{smuggled}0\r\n\r\n"),
        format!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        // TE.TE
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding:\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        // Lengths
        "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd".to_owned(),
        "Content-Length: 3\r\ncontent-length: 0\r\n\r\nabc".to_owned(),
        "Content-Length: 3, 3\r\n\r\nabc".to_owned(),
        "Content-Length: +3\r\n\r\nabc".to_owned(),
        "Content-Length: -3\r\n\r\nabc".to_owned(),
        "Content-Length: 0x3\r\n\r\nabc".to_owned(),
        "Content-Length: 3 0\r\n\r\nabc".to_owned(),
        "Content-Length: 3.0\r\n\r\nabc".to_owned(),
        "Content-Length:\r\n\r\n".to_owned(),
        "Content-Length: 18446744073709551619\r\n\r\nabc".to_owned(),
    ];
    let requests: Vec<_> = shapes.iter().map(|shape| post(shape)).collect();
    let mut cases: Vec<_> =
        requests.iter().map(|request| (request.as_str(), 400, "FB-11")).collect();
    cases.push(("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "FB-11"));
    each_is_refused(&cases);
}

#[test]
fn lines_and_fields_that_break_the_grammar_never_reach_the_application() {
    let with = |rest: &str| format!("GET /evil HTTP/1.1\r\nHost: www.example.com\r\n{rest}\r\n");
    let fields = [
        "X: a\n",
        "X: a\nTransfer-Encoding: chunked\r\n",
        " X: folded\r\n",
        "X: a\r\n\tb: folded\r\n",
        "X : a\r\n",
        "Content-Length : 3\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        "Transfer-Encoding\x0b: chunked\r\n",
        "X\r\n",
        ": a\r\n",
        "X Y: a\r\n",
        "X(: a\r\n",
        "X\u{e9}: a\r\n",
        "X: a\0b\r\n",
        "X: a\rb\r\n",
        "X: a\r\r\n",
        "X: a\x07b\r\n",
        "X: a\x7fb\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
    ];
    let requests: Vec<_> = fields.iter().map(|field| with(field)).collect();
    let mut cases: Vec<_> =
        requests.iter().map(|request| (request.as_str(), 400, "FB-10")).collect();
    for line in [
        "GET /evil HTTP/1.1\nHost: www.example.com\r\n\r\n",
        "GET /evil HTTP/1.1\nHost: www.example.com\n\n",
        "GET  /evil HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /evil  HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /evil HTTP/1.1 \r\nHost: www.example.com\r\n\r\n",
        " GET /evil HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET\t/evil\tHTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /e vil HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "G\"ET /evil HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /evil\r\nHost: www.example.com\r\n\r\n",
        "GET /evil\r\n\r\n",
        "GET /evil HTTP/0.9\r\nHost: www.example.com\r\n\r\n",
        "GET /evil HTTP/1.2\r\nHost: www.example.com\r\n\r\n",
        "GET /evil HTTP/2.0\r\nHost: www.example.com\r\n\r\n",
        "GET /evil HTTP/11\r\nHost: www.example.com\r\n\r\n",
        "GET /evil http/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /evil HTTPS/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /\u{c3}\u{a9} HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "GET /a\\b HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "\r\n\r\nGET /evil HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "\nGET /evil HTTP/1.1\r\nHost: www.example.com\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n",
    ] {
        cases.push((line, 400, "FB-10"));
    }
    each_is_refused(&cases);
}

#[test]
fn a_request_without_exactly_one_host_never_reaches_the_application() {
    each_is_refused(&[
        ("GET / HTTP/1.1\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nhost: a.example\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.0\r\nHost: a.example\r\nHost: a.example\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost: a.example b.example\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost: a.example/path\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost: a.example:x\r\n\r\n", 400, "FB-16"),
        ("GET / HTTP/1.1\r\nHost: \u{e9}.example\r\n\r\n", 400, "FB-16"),
        ("GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n", 400, "FB-16"),
        ("GET http://a.example:81/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "FB-16"),
        ("GET http://u:p@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", 400, "FB-16"),
    ]);
}

#[test]
fn methods_and_targets_that_no_gateway_serves_never_reach_the_application() {
    each_is_refused(&[
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 501, "FB-17"),
        ("CONNECT / HTTP/1.1\r\nHost: a.example\r\n\r\n", 501, "FB-17"),
        ("TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", 501, "FB-17"),
        ("OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n", 501, "FB-17"),
        ("GET a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n", 501, "FB-17"),
    ]);
}

#[test]
fn a_strange_target_gets_a_marked_refusal_and_a_line_in_the_log() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    for target in
        ["evil/path", "?evil", "*", "//", ":80/", "http:///evil", "http://", "x:y:z", "/%"]
    {
        let request = format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
        let answer = forebay.exchange(request);
        let is_the_applications = answer.field("x-from").is_some();
        assert!(is_the_applications || answer.code().is_some(), "{target}: {answer:?}");
    }
    for heard in application.heard_text() {
        assert!(heard.starts_with("GET /"), "{heard}");
    }
    assert_eq!(forebay.get("/sentinel").text(), "ok");
    forebay.line_of("/sentinel");
    assert_eq!(forebay.requests().len(), 10, "{:?}", forebay.lines());
}

#[test]
fn an_absolute_target_arrives_in_origin_form() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    for (target, expected) in [
        ("http://www.example.com/a?b=c", "/a?b=c"),
        ("http://WWW.example.com/a", "/a"),
        ("http://www.example.com/", "/"),
        ("http://www.example.com", "/"),
        ("http://www.example.com?b=c", "/?b=c"),
        ("https://www.example.com/a", "/a"),
    ] {
        let before = application.heard_text().concat().len();
        let request = format!("GET {target} HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
        assert_eq!(forebay.exchange(request).status, 200, "{target}");
        let heard = application.heard_text().concat();
        let line = heard[before..].split("\r\n").next().unwrap().to_owned();
        assert_eq!(line, format!("GET {expected} HTTP/1.1"), "{target}");
        assert!(heard[before..].to_ascii_lowercase().contains("host: www.example.com"), "{heard}");
    }
}

/// Sends `start`, waits until the application has heard `mark`, then sends `rest`.
fn breaks_mid_body(start: &str, mark: &[u8], rest: &str) -> (String, Vec<u8>) {
    // The application is patient: it reads to the end and answers what is whole.
    let application = Application::ok();
    let forebay = Forebay::with(&application, STREAMING);
    let mut wire = forebay.connect();
    wire.send(post(start));
    application.wait_for("the sound part", |kept| find(&kept.visits.first()?.bytes, mark));
    wire.send(rest);
    let heard = application.wait_for_end(0);
    let (bytes, end) = wire.rest();
    assert_eq!(end, End::Closed);
    (text(&bytes), heard.bytes)
}

#[test]
fn a_bad_chunk_cuts_the_applications_connection_without_a_last_chunk() {
    for bad in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "-1\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "3;a\x01b\r\nabc\r\n0\r\n\r\n",
        "0\r\nbad trailer\r\n\r\n",
        "0\r\n\nGET /evil HTTP/1.1\r\n\r\n",
    ] {
        let start = "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        let (answer, heard) = breaks_mid_body(start, b"first", bad);
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{bad:?}: {answer}");
        assert!(answer.contains("x-forebay-error: FB-1"), "{bad:?}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{bad:?}: {answer}");
        assert_eq!(find(&heard, b"\r\n0\r\n"), None, "{bad:?}: {}", text(&heard));
        assert!(heard.ends_with(b"5\r\nfirst\r\n"), "{bad:?}: {}", text(&heard));
    }
}

#[test]
fn a_client_that_leaves_mid_body_never_ends_the_applications_request() {
    for (start, mark) in [
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n", &b"first"[..]),
        ("Content-Length: 100\r\n\r\nfirst", b"first"),
    ] {
        let application = Application::ok();
        let forebay = Forebay::with(&application, STREAMING);
        let mut wire = forebay.connect();
        wire.send(post(start));
        application.wait_for("the sound part", |kept| find(&kept.visits.first()?.bytes, mark));
        drop(wire);
        let heard = application.wait_for_end(0).bytes;
        assert_eq!(find(&heard, b"\r\n0\r\n"), None, "{}", text(&heard));
        forebay.wait_for_request("who left", |line| line["code"] == "FB-40");
    }
}

#[test]
fn junk_behind_a_good_request_is_refused_after_the_good_answer() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    for junk in ["\0\x01junk\r\n\r\n", "GET /evil HTTP/1.1\nHost: a\n\n", "GET / HTTP/9.9\r\n\r\n"]
    {
        let mut wire = forebay.connect();
        let good = "GET /good HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
        wire.send([good.as_bytes(), junk.as_bytes()].concat());
        let answer = wire.answer();
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{junk:?}");
        let refusal = wire.answer();
        assert_eq!((refusal.status, refusal.code()), (400, Some("FB-10")), "{junk:?}");
        assert_eq!(wire.rest(), (vec![], End::Closed));
    }
    for heard in application.heard_text() {
        assert!(!heard.contains("evil") && !heard.contains("junk"), "{heard}");
    }
}

#[test]
fn junk_behind_a_good_request_waits_until_a_slow_reader_has_its_answer() {
    let content = pattern(8_000_000);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.len());
    let application = Application::answering([head.as_bytes(), &content].concat());
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    wire.send("GET /good HTTP/1.1\r\nHost: www.example.com\r\n\r\nGET / HTTP/1.1\nX\n\n");
    // Until the sockets between are full and forebay has to hold back the rest.
    application.wait_for("the request", |kept| (!kept.visits.is_empty()).then_some(()));
    let answer = wire.answer();
    assert!(answer.is_whole && answer.content == content, "{} bytes", answer.content.len());
    assert_eq!(wire.answer().code(), Some("FB-10"));
}

#[test]
fn content_that_looks_like_a_request_stays_content() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, STREAMING);
    let content = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    let request = post(&format!("Content-Length: {}\r\n\r\n{content}", content.len()));
    let mut wire = forebay.connect();
    assert_eq!(wire.exchange(&request).text(), "ok");
    let request =
        post(&format!("Transfer-Encoding: chunked\r\n\r\n1f;x=y\r\n{content}\r\n0\r\n\r\n"));
    assert_eq!(wire.exchange(&request).text(), "ok", "{}", content.len());
    let heard = application.heard_text();
    assert!(heard[0].ends_with(&format!("content-length: 31\r\n\r\n{content}")), "{heard:?}");
    let chunked = format!("transfer-encoding: chunked\r\n\r\n1f\r\n{content}\r\n0\r\n\r\n");
    assert!(heard[1].ends_with(&chunked), "the extension is gone: {heard:?}");
    assert_eq!(heard.len(), 2, "{heard:?}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let application = Application::playing(|visit| {
        while let Some((head, content)) = visit.request() {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let text = format!("{path}:{}", text(&content));
            visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()));
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    let host = "Host: www.example.com\r\n";
    wire.send(format!(
        "GET /1 HTTP/1.1\r\n{host}\r\nPOST /2 HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc\
         \r\nPOST /3 HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n\
         HEAD /4 HTTP/1.1\r\n{host}\r\nGET /5 HTTP/1.1\r\n{host}Connection: close\r\n\r\n"
    ));
    assert_eq!(wire.answer().text(), "/1:");
    assert_eq!(wire.answer().text(), "/2:abc");
    assert_eq!(wire.answer().text(), "/3:de");
    assert_eq!(wire.head().field("content-length"), Some("3"));
    assert_eq!(wire.answer().text(), "/5:");
    assert_eq!(wire.rest(), (vec![], End::Closed));
}

#[test]
fn one_empty_line_before_a_request_is_passed_over() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    let request = "\r\nGET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
    let mut wire = forebay.connect();
    assert_eq!(wire.exchange(request).text(), "ok");
    assert_eq!(wire.exchange(request).text(), "ok");
    assert!(application.heard_text()[0].starts_with("GET /a HTTP/1.1\r\n"));
}

#[test]
fn random_bytes_never_yield_500_and_never_end_the_process() {
    const ROUNDS: usize = 400;
    let application = Application::ok();
    let deadlines = ["--header-deadline", "50ms", "--body-idle-deadline", "50ms"];
    let more = ["--idle-deadline", "50ms"];
    let mut forebay = Forebay::with(&application, &[&deadlines[..], &more].concat());
    let sound: [&[u8]; 5] = [
        b"GET /a?b HTTP/1.1\r\nHost: www.example.com\r\nX-Forwarded-For: 1.2.3.4:5\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.0\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x04\x01\x05\0\0\0\x01\x82\x84\x87\x41",
        b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ];
    std::thread::scope(|scope| {
        for lane in 0..8_u32 {
            let (forebay, sound) = (&forebay, &sound);
            scope.spawn(move || {
                let mut dice = Dice(0x9e37_79b9_u32.wrapping_mul(lane + 1));
                for _ in 0..ROUNDS / 8 {
                    let chosen = dice.below(sound.len());
                    let bytes = dice.spoil(sound[chosen]);
                    let mut wire = forebay.connect();
                    // It may be refused before all of it is sent.
                    drop(wire.try_send(&bytes));
                    if dice.below(4) == 0 {
                        wire.end_sending();
                    }
                    let answer = wire.rest().0;
                    assert_sane(&bytes, &answer);
                }
            });
        }
    });
    assert!(forebay.is_running());
    assert_eq!(forebay.complaints(), "");
    assert_eq!(forebay.get("/sentinel").text(), "ok");
    for heard in application.heard() {
        assert_well_formed(&heard);
    }
}

/// What came back is the application's, or marked, or frames of HTTP/2, or nothing.
fn assert_sane(sent: &[u8], answer: &[u8]) {
    let shown = text(answer);
    for (place, _) in shown.match_indices("HTTP/1.") {
        let head = shown[place..].split("\r\n\r\n").next().unwrap_or_default();
        let status = head.split(' ').nth(1).unwrap_or_default();
        let is_known = head.contains("x-forebay-error: FB-") || head.contains("x-from: ");
        let is_interim = status == "100";
        assert!(is_known || is_interim, "{} got {shown}", sent.escape_ascii());
        assert!(status != "500", "{} got {shown}", sent.escape_ascii());
    }
}

/// Every request line that the application sees is one it can read in one way only.
fn assert_well_formed(heard: &[u8]) {
    let head = &heard[..find(heard, b"\r\n\r\n").unwrap_or(heard.len())];
    let lines: Vec<_> = head.split(|&byte| byte == b'\n').collect();
    for line in &lines[..lines.len() - 1] {
        assert!(line.ends_with(b"\r"), "{}", heard.escape_ascii());
    }
    let words: Vec<_> = lines[0].split(|&byte| byte == b' ').collect();
    assert_eq!(words.len(), 3, "{}", heard.escape_ascii());
    assert!(words[1].starts_with(b"/") && words[1].is_ascii(), "{}", heard.escape_ascii());
    assert_eq!(words[2].trim_ascii(), b"HTTP/1.1", "{}", heard.escape_ascii());
}

/// Numbers that look random and are the same in every run.
struct Dice(u32);

impl Dice {
    fn next(&mut self) -> u32 {
        // xorshift
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next()).unwrap() % most
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[1]
    }

    /// Changes, removes or adds a few bytes; sometimes nothing but junk is left.
    fn spoil(&mut self, sound: &[u8]) -> Vec<u8> {
        if self.below(6) == 0 {
            let length = self.below(200);
            return (0..length).map(|_| self.byte()).collect();
        }
        let mut bytes = sound.to_vec();
        for _ in 0..=self.below(4) {
            let place = self.below(bytes.len());
            let liked = b"\r\n\0 :;,\tx0\x80\xff"[self.below(12)];
            match self.below(4) {
                0 => bytes[place] = self.byte(),
                1 => bytes[place] = liked,
                2 => bytes.insert(place, liked),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes
    }
}
