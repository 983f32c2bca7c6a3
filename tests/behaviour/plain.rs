//! Plain requests, which are read and answered without hyper: nobody can tell.

use std::sync::Arc;

use crate::support::wire::End;
use crate::support::{Answer, Application, Forebay, Visit, Wire, find, pattern, text};

/// What an application answers to each path.
fn answer(path: &str) -> &'static str {
    match path {
        "/sized" => {
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nSet-Cookie: c\r\n\r\nhello"
        }
        "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "/chunked" => {
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n\
             5\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n"
        }
        "/until-close" => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        "/none" => "HTTP/1.1 204 No Content\r\nX-Own: a\r\n\r\n",
        "/known" => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
        "/strange" => "HTTP/1.1 299 As I Like It\r\nContent-Length: 1\r\n\r\na",
        "/early" => {
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        }
        "/broken" => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        _ => {
            "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\n\r\ngone"
        }
    }
}

fn play(visit: &mut Visit) {
    while let Some((head, _)) = visit.request() {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let whole = answer(&path);
        let end = whole.rfind("\r\n\r\n").unwrap() + 4;
        // Neither does an application send content to HEAD, nor the last chunk of none.
        let first = whole.find("\r\n\r\n").unwrap() + 4;
        let end = if path == "/chunked" { first } else { end };
        visit.send(if head.starts_with("HEAD") { &whole[..end] } else { whole });
        if ["/until-close", "/broken"].contains(&path.as_str()) {
            return;
        }
    }
}

/// What a client gets, without the order of fields with different names, which means nothing.
fn described(answer: Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let mut fields = answer.fields;
    fields.retain(|(name, value)| name != "date" || value.starts_with("Sat, 28 Nov 2026 12:00"));
    // To HEAD hyper does not say what trailers would come.
    fields.retain(|(name, _)| name != "trailer");
    fields.sort();
    (answer.status, fields, answer.content)
}

const PATHS: [&str; 10] = [
    "/sized",
    "/empty",
    "/chunked",
    "/none",
    "/known",
    "/strange",
    "/early",
    "/gone?a=b",
    "/until-close",
    "/broken",
];

/// With nothing a request is plain; what concerns trailers is not, and ends at forebay.
const WAYS: [&str; 2] = ["", "TE: trailers\r\n"];

/// Sends every request, as long as that lasts on one connection; with what every request says, also
/// about the connection.
fn exchange_all(says: &str, connection: &str) -> (Vec<String>, Vec<String>) {
    let application = Application::playing(play);
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    let mut answers = Vec::new();
    for path in PATHS {
        for (line, content) in [("GET", ""), ("HEAD", ""), ("POST", "a=b"), ("DELETE", "")] {
            let is_head = line == "HEAD";
            if is_head && path == "/broken" {
                continue; // it would not be broken
            }
            let length = if content.is_empty() {
                String::new()
            } else {
                format!("Content-Length: {}\r\n", content.len())
            };
            wire.send(format!(
                "{line} {path} HTTP/1.1\r\nHost: www.example.com\r\nX-Own: \t a \r\n{says}\
                 Cookie: a=b\r\nX-Empty:\r\n{length}Connection: {connection}\r\n\r\n{content}"
            ));
            let answer = if is_head { wire.head() } else { wire.answer() };
            let is_whole = is_head || answer.is_whole;
            answers.push(format!("{line} {path}: {:?} {is_whole}", described(answer)));
            if connection == "close" && is_whole {
                assert_eq!(wire.rest(), (Vec::new(), End::Closed), "{line} {path}");
            }
            if !is_whole || connection == "close" {
                wire = forebay.connect();
            }
        }
    }
    (answers, application.heard_text())
}

#[test]
fn neither_the_client_nor_the_application_can_tell() {
    for connection in ["keep-alive", "close"] {
        let [(plain, heard_plain), (parsed, heard_parsed)] =
            WAYS.map(|says| exchange_all(says, connection));
        for (plain, parsed) in plain.iter().zip(&parsed) {
            assert_eq!(plain, parsed, "{connection}");
        }
        assert_eq!(plain.len(), parsed.len());
        assert_eq!(heard_plain, heard_parsed, "{connection}");
    }
}

#[test]
fn requests_that_come_together_are_answered_in_their_order() {
    let application = Application::playing(play);
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    let request = |line: &str, rest: &str| format!("{line} HTTP/1.1\r\nHost: a\r\n{rest}");
    wire.send(
        request("GET /sized", "\r\n")
            + &request("POST /none", "Content-Length: 3\r\n\r\nabc")
            + &request("GET /chunked", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            + &request("GET /sized", "\r\n"),
    );
    let statuses: Vec<_> = (0..4).map(|_| wire.answer().status).collect();
    assert_eq!(statuses, [200, 204, 200, 200]);
}

#[test]
fn content_may_come_later_or_in_pieces() {
    let application = Application::playing(|visit| {
        while let Some((_, content)) = visit.request() {
            let length = content.len();
            visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
            visit.send(content);
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    for length in [1, 100, 8192, 65_536, 65_537, 300_000] {
        let content: Vec<u8> = (0..=250).cycle().take(length).collect();
        let head =
            format!("POST /{length} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let request = [head.as_bytes(), &content].concat();
        for cut in [0, head.len() - 1, head.len(), head.len() + length / 2] {
            wire.send(&request[..cut]);
            Visit::pause();
            wire.send(&request[cut..]);
            assert!(wire.answer().content == content, "{length} bytes, cut at {cut}");
        }
    }
}

#[test]
fn a_refusal_ends_a_connection_that_began_plain() {
    let application = Application::playing(play);
    let forebay = Forebay::before(&application);
    let mut wire: Wire = forebay.connect();
    wire.send(
        "GET /sized HTTP/1.1\r\nHost: a\r\n\r\nGET /sized HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
    );
    assert_eq!(wire.answer().status, 200);
    let refused = wire.answer();
    assert_eq!((refused.status, refused.code()), (400, Some("FB-10")));
    assert_eq!(application.heard().len(), 1);
}

#[test]
fn fields_keep_their_bytes_and_those_of_one_name_their_order() {
    for says in WAYS {
        let application = Application::answering(
            "HTTP/1.1 200 OK\r\nX-Own: café\r\nX_Own: a\r\nVia: b\r\nX-Own: c\r\n\
             Content-Length: 0\r\n\r\n",
        );
        let forebay = Forebay::before(&application);
        let head = format!("GET /a HTTP/1.1\r\nHost: a\r\n{says}");
        let fields = b"X-Own: caf\xc3\xa9 \xe9\xff\r\nVia: a\r\nX_Own: b\r\nx-own: two\r\n\
            X-Forwarded_For: 6.6.6.6\r\nVia: b\r\nX_Own: c\r\nX-OWN: three\r\n\r\n";
        let answer = forebay.exchange([head.as_bytes(), fields].concat());
        let values = |name| answer.fields.iter().filter(move |field| field.0 == name);
        let values = |name| values(name).map(|field| field.1.as_str()).collect::<Vec<_>>();
        assert_eq!(values("x-own"), ["café", "c"], "{answer:?}");
        assert_eq!((values("x_own"), values("via")), (vec!["a"], vec!["b"]), "{answer:?}");

        let heard = application.heard().concat();
        let lines: Vec<_> = heard.split(|&byte| byte == b'\n').collect();
        let with = |start: &[u8]| -> Vec<_> {
            lines
                .iter()
                .filter_map(|line| line.strip_prefix(start))
                .map(<[u8]>::trim_ascii)
                .collect()
        };
        let own = [&b"caf\xc3\xa9 \xe9\xff"[..], b"two", b"three"];
        assert_eq!(with(b"x-own: "), own, "{}", text(&heard));
        assert_eq!(with(b"via: "), [b"a", b"b"], "{}", text(&heard));
        assert_eq!(find(&heard, b"_"), None, "servers disagree whether it is `-`");
    }
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_answer_is_told_in_the_log() {
    for says in WAYS {
        let application = Application::playing(|visit| {
            if visit.request().is_some() {
                visit.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
                visit.rest();
            }
        });
        let forebay = Forebay::before(&application);
        for (path, resets) in [("/left", false), ("/reset", true)] {
            let mut wire = forebay.connect();
            wire.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{says}\r\n"));
            assert_eq!(wire.head().status, 200);
            assert_eq!(wire.bytes(5), b"hello");
            if resets {
                wire.reset();
            } else {
                drop(wire);
            }
            let line = forebay.line_of(path);
            assert_eq!((&line["status"], &line["code"]), (&200.into(), &"FB-40".into()), "{line}");
            assert_eq!(line["bytes"], 5, "{line}");
        }
        // What is safe is given up.
        application.wait_for_end(0);
        application.wait_for_end(1);
    }
}

#[test]
fn a_client_that_takes_no_more_of_its_answer_is_cut_and_told_in_the_log() {
    // More than all buffers on the way hold.
    let content = Arc::new(pattern(16 * 1024 * 1024));
    for says in WAYS {
        let sent = Arc::clone(&content);
        let application = Application::playing(move |visit| {
            if visit.request().is_some() {
                visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", sent.len()));
                visit.send(&*sent);
                visit.rest();
            }
        });
        let forebay = Forebay::with(&application, &["--body-idle-deadline", "300ms"]);
        let mut wire = forebay.connect();
        wire.send(format!("GET /large HTTP/1.1\r\nHost: a\r\n{says}\r\n"));
        assert_eq!(wire.head().status, 200);
        let line = forebay.line_of("/large");
        assert_eq!((&line["status"], &line["code"]), (&200.into(), &"FB-40".into()), "{line}");
        assert!(
            line["cause"].as_str().is_some_and(|cause| cause.contains("took nothing")),
            "{line}"
        );
        let (rest, end) = wire.rest();
        assert!(rest.len() < content.len() && end != End::Open, "{} bytes, {end:?}", rest.len());
    }
}
