//! The way to the application and back, byte for byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::wire::End;
use crate::support::{Application, Forebay, Gate, OK, STREAMING, Wire, find, pattern, text};

const GET: &str = "GET /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

fn post(rest: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: www.example.com\r\n{rest}")
}

/// Sends from a thread of its own, while the test reads.
fn sending(wire: &Wire, bytes: Vec<u8>) -> std::thread::JoinHandle<std::io::Result<()>> {
    let mut sender = wire.sender();
    std::thread::spawn(move || std::io::Write::write_all(&mut sender, &bytes))
}

#[test]
fn a_request_arrives_byte_for_byte() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    forebay.exchange(
        "PATCH /a/%2e%2E/b?c=d&e=%20 HTTP/1.1\r\nHost: www.Example.com\r\nUser-Agent: x\r\n\
         Cookie: a=1; b=\"2\"\r\nX-Twice: 1\r\nX-Twice: 2\r\nX-Empty:\r\nX-Latin: \u{e9}\r\n\
         Content-Length: 3\r\n\r\nabc",
    );
    let heard = application.heard_text().concat();
    let (head, content) = heard.split_once("\r\n\r\n").unwrap();
    assert_eq!(content, "abc");
    let mut lines: Vec<_> = head.split("\r\n").collect();
    assert_eq!(lines.remove(0), "PATCH /a/%2e%2E/b?c=d&e=%20 HTTP/1.1", "never decoded");
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "content-length: 3",
            "cookie: a=1; b=\"2\"",
            "host: www.Example.com",
            "user-agent: x",
            "x-empty: ",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            "x-latin: \u{e9}",
            "x-twice: 1",
            "x-twice: 2",
        ]
    );
}

#[test]
fn a_method_that_anticipates_content_says_that_there_is_none() {
    let application = Application::ok();
    let forebay = Forebay::before(&application);
    assert_eq!(forebay.exchange(post("\r\n")).status, 200);
    assert_eq!(forebay.exchange(post("Content-Length: 0\r\n\r\n")).status, 200);
    assert_eq!(forebay.exchange(GET).status, 200);
    let heard = application.heard_text().concat();
    assert_eq!(heard.matches("\r\ncontent-length: 0\r\n").count(), 2, "{heard:?}");
    assert!(!heard.contains("GET /a HTTP/1.1\r\ncontent-length"), "{heard:?}");
}

#[test]
fn large_content_arrives_whole_in_both_directions_at_once() {
    let content = pattern(12_000_000);
    let application = Application::playing(|visit| {
        // An echo, which begins to answer before it has read.
        let Some(_) = visit.head() else { return };
        visit.send("HTTP/1.1 200 OK\r\nContent-Length: 12000000\r\n\r\n");
        let mut left = 12_000_000_usize;
        while left > 0 {
            let bytes = visit.bytes(left.min(100_000));
            if bytes.is_empty() {
                return;
            }
            left -= bytes.len();
            visit.send(&bytes);
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    let head = post("Content-Length: 12000000\r\n\r\n");
    let sender = sending(&wire, [head.as_bytes(), &content].concat());
    let answer = wire.answer();
    sender.join().unwrap().unwrap();
    assert!(answer.content == content, "{} bytes came", answer.content.len());
    let heard = application.heard().concat();
    assert!(heard.ends_with(&content));
    assert_eq!(forebay.line_of("/a")["bytes"], 12_000_000);
}

#[test]
fn chunked_content_arrives_whole_however_it_is_cut() {
    let application = Application::playing(|visit| {
        let Some((_, content)) = visit.request() else { return };
        visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for byte in format!("{:X};a=b\r\n{}\r\n0\r\n\r\n", content.len(), text(&content)).bytes() {
            visit.send([byte]);
        }
    });
    let forebay = Forebay::with(&application, STREAMING);
    let mut wire = forebay.connect();
    for byte in
        post("Transfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n000\r\n\r\n").bytes()
    {
        wire.send([byte]);
    }
    let answer = wire.answer();
    assert!(answer.is_whole, "{answer:?}");
    // The chunks may be cut anew; joined they are the same.
    let mut content = answer.text();
    assert!(content.ends_with("0\r\n\r\n"), "{content}");
    content.retain(|letter| !letter.is_ascii_hexdigit() || "helo".contains(letter));
    assert_eq!(content.replace("\r\n", ""), "hello!");
    assert_eq!(wire.exchange(GET).status, 200);
}

#[test]
fn pieces_of_an_answer_are_passed_on_as_they_come() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = Application::playing(move |visit| {
        if visit.request().is_none() {
            return;
        }
        visit.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n");
        visit.send("Transfer-Encoding: chunked\r\n\r\n8\r\ndata: 1\n\r\n");
        opened.wait();
        visit.send("8\r\ndata: 2\n\r\n0\r\n\r\n");
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    wire.send(GET);
    assert_eq!(wire.head().status, 200);
    assert_eq!(text(&wire.bytes(13)), "8\r\ndata: 1\n\r\n");
    gate.open();
    assert_eq!(text(&wire.bytes(18)), "8\r\ndata: 2\n\r\n0\r\n\r\n");
}

#[test]
fn trailers_of_an_answer_reach_a_client_that_takes_them() {
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let forebay = Forebay::before(&application);
    let takes = "GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: TE\r\nTE: trailers\r\n\r\n";
    let answer = forebay.exchange(takes);
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "42".to_owned())]);
    let answer = forebay.exchange(GET);
    assert_eq!((answer.text().as_str(), answer.is_whole), ("hello", true));
}

#[test]
fn trailers_of_a_request_are_passed_over() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, STREAMING);
    let mut wire = forebay.connect();
    let request = post(
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n",
    );
    assert_eq!(wire.exchange(request).text(), "ok");
    assert_eq!(wire.exchange(GET).text(), "ok");
    let heard = application.heard_text().concat();
    assert!(heard.contains("\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /a"), "{heard:?}");
    assert!(!heard.contains("1.1.1.1"), "{heard:?}");
}

#[test]
fn an_answer_to_head_keeps_its_length_and_has_no_content() {
    for (fields, length) in [
        ("Content-Length: 12345\r\n", Some("12345")),
        ("Transfer-Encoding: chunked\r\n", None),
        ("", None),
    ] {
        let application =
            Application::answering(format!("HTTP/1.1 200 OK\r\n{fields}X: y\r\n\r\n"));
        let forebay = Forebay::before(&application);
        let mut wire = forebay.connect();
        for _ in 0..2 {
            wire.send("HEAD /a HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
            let answer = wire.head();
            assert_eq!(
                (answer.status, answer.field("content-length")),
                (200, length),
                "{answer:?}"
            );
            assert_eq!(answer.field("x"), Some("y"));
        }
        // Nothing but the two header sections came.
        wire.send("HEAD /a HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n");
        assert_eq!(wire.head().status, 200);
        assert_eq!(wire.rest(), (vec![], End::Closed), "{fields}");
        assert_eq!(forebay.line_of("/a")["bytes"], 0);
    }
}

#[test]
fn answers_without_content_end_with_their_header_section() {
    for (status, fields) in [
        ("204 No Content", ""),
        ("304 Not Modified", "ETag: \"a\"\r\n"),
        ("304 Not Modified", "Content-Length: 100\r\n"),
        ("204 No Content", "Transfer-Encoding: chunked\r\n"),
    ] {
        let application = Application::answering(format!("HTTP/1.1 {status}\r\n{fields}\r\n"));
        let forebay = Forebay::before(&application);
        let mut wire = forebay.connect();
        for _ in 0..3 {
            wire.send(GET);
            let answer = wire.head();
            assert!(answer.line.ends_with(status), "{answer:?}");
            assert_eq!(answer.field("transfer-encoding"), None, "{answer:?}");
            if status.starts_with("204") {
                assert_eq!(answer.field("content-length"), None, "{answer:?}");
            }
        }
        wire.end_sending();
        assert_eq!(wire.rest(), (vec![], End::Closed));
    }
}

#[test]
fn an_application_of_http_1_0_answers_until_it_closes() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.send("HTTP/1.0 200 OK\r\nX-From: application\r\n\r\nuntil ");
            visit.send("the end");
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    for _ in 0..2 {
        let answer = wire.exchange(GET);
        assert_eq!(answer.line, "HTTP/1.1 200 OK");
        assert_eq!((answer.text().as_str(), answer.is_whole), ("until the end", true));
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"), "the client's stays open");
    }
    assert_eq!(application.heard().len(), 2);
}

#[test]
fn an_answer_that_says_its_length_twice_alike_is_understood() {
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\nX-From: application\r\n\r\nok",
    );
    let forebay = Forebay::before(&application);
    let answer = forebay.exchange(GET);
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let lengths = answer.fields.iter().filter(|(name, _)| name == "content-length").count();
    assert_eq!(lengths, 1, "{answer:?}");
}

#[test]
fn a_client_that_expects_100_gets_it_once_and_the_application_never_sees_it() {
    let application = Application::playing(|visit| {
        // It says so itself as well, like some servers.
        let Some(_) = visit.head() else { return };
        visit.send("HTTP/1.1 100 Continue\r\n\r\n");
        visit.bytes(5);
        visit.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        visit.send(OK);
        visit.rest();
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    wire.send(post("Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"));
    assert_eq!(wire.head().status, 100);
    wire.send("hello");
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    let heard = application.heard_text().concat();
    assert!(!heard.to_ascii_lowercase().contains("expect"), "{heard}");
    assert!(heard.ends_with("\r\n\r\nhello"), "{heard}");
}

#[test]
fn interim_answers_are_passed_over() {
    let application = Application::answering(
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    assert_eq!(wire.exchange(GET).line, "HTTP/1.1 200 OK");
    assert_eq!(wire.exchange(GET).text(), "ok");
}

/// Answers that stop in the middle, behind `hello`.
const BROKEN: [&str; 5] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
];

#[test]
fn an_answer_that_breaks_off_is_seen_to_break_off() {
    for answer in BROKEN {
        for end in ["", "zz\r\n\r\n"] {
            let gate = Arc::new(Gate::default());
            let opened = Arc::clone(&gate);
            let application = Application::playing(move |visit| {
                if visit.request().is_some() {
                    visit.send(answer);
                    opened.wait();
                    // Then it closes, or breaks the chunks first.
                    if answer.ends_with("hello\r\n") {
                        visit.send(end);
                    }
                }
            });
            let forebay = Forebay::before(&application);
            let mut wire = forebay.connect();
            wire.send(GET);
            let head = wire.head();
            assert_eq!(head.status, 200);
            let is_chunked = head.field("transfer-encoding").is_some();
            let part = text(&wire.bytes(if is_chunked { 10 } else { 5 }));
            assert_eq!(part, if is_chunked { "5\r\nhello\r\n" } else { "hello" });
            gate.open();
            let (rest, ended) = wire.rest();
            assert_eq!(text(&rest), "", "{answer:?}: no last chunk may follow");
            assert_ne!(ended, End::Open, "{answer:?}");
            let line = forebay.line_of("/a");
            assert_eq!((&line["code"], &line["bytes"]), (&"FB-35".into(), &5.into()), "{line}");
        }
    }
}

#[test]
fn an_answer_that_breaks_off_at_once_is_not_silence() {
    for answer in BROKEN {
        let application = Application::playing(move |visit| {
            if visit.request().is_some() {
                visit.send(answer);
            }
        });
        let forebay = Forebay::before(&application);
        // A connection that ends without a byte is one that a front end may try again.
        let mut wire = forebay.connect();
        let received = wire.exchange(GET);
        assert!(received.status == 502 || !received.is_whole, "{answer:?}: {received:?}");
        assert_eq!(forebay.line_of("/a")["code"], "FB-35");
    }
}

#[test]
fn an_answer_that_stalls_is_cut_at_its_deadline() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            visit.rest();
        }
    });
    let forebay = Forebay::with(&application, &["--upstream-idle-deadline", "300ms"]);
    let received = forebay.exchange(GET);
    assert_eq!((received.text().as_str(), received.is_whole), ("hello", false));
    assert_eq!(forebay.line_of("/a")["code"], "FB-35");
    application.wait_for_end(0);
}

/// Asks once; the answer is forebay's own, and so is the line in the log.
fn fails(forebay: &Forebay, request: &str, status: u16, code: &str) {
    let mut wire = forebay.connect();
    let answer = wire.exchange(request);
    assert_eq!((answer.status, answer.code()), (status, Some(code)), "{answer:?}");
    let line = forebay.wait_for_request(code, |line| line["code"] == code);
    assert_eq!(line["status"], status, "{line}");
    assert!(line["cause"].is_string(), "{line}");
    // Strangers are told neither addresses nor causes.
    assert!(!answer.text().contains("127.0.0.1") && answer.text().contains(code), "{answer:?}");
}

#[test]
fn an_application_that_may_not_be_reached_gets_502() {
    let path = Application::fresh_path();
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    let forebay = Forebay::before(&application).ready();
    // A path that leads in a circle is no restart.
    application.stop();
    crate::support::eventually("its socket is gone", || (!path.exists()).then_some(()));
    std::os::unix::fs::symlink(&path, &path).unwrap();
    fails(&forebay, GET, 502, "FB-30");
    let mut wire = forebay.connect();
    assert_eq!(wire.exchange(GET).status, 502);
    assert_eq!(wire.exchange(GET).status, 502, "the client's connection is kept");
}

#[test]
fn a_full_backlog_of_tcp_gets_504() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // It holds one connection; nobody accepts but the question for readiness.
    let listener = socket.listen(0).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    let address = listener.local_addr().unwrap();
    let flags = ["--upstream-connect-deadline", "300ms"];
    let forebay = Forebay::started(&address.to_string(), &flags, &[]);
    answer_the_question(listener.accept().unwrap().0);
    let forebay = forebay.ready();
    let _first = std::net::TcpStream::connect(address).unwrap();
    fails(&forebay, GET, 504, "FB-31");
}

#[test]
fn a_full_backlog_of_a_unix_socket_gets_504_too() {
    let path = Application::fresh_path();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let socket = tokio::net::UnixSocket::new_stream().unwrap();
    socket.bind(&path).unwrap();
    let listener = socket.listen(0).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    let upstream = format!("unix:{}", path.display());
    let forebay = Forebay::started(&upstream, &["--upstream-connect-deadline", "300ms"], &[]);
    answer_the_question(listener.accept().unwrap().0);
    let forebay = forebay.ready();
    let _first = std::os::unix::net::UnixStream::connect(&path).unwrap();
    fails(&forebay, GET, 504, "FB-31");
}

fn answer_the_question(mut socket: impl std::io::Read + std::io::Write) {
    let mut question = [0; 1024];
    assert!(socket.read(&mut question).unwrap() > 0);
    socket.write_all(OK).unwrap();
}

#[test]
fn an_application_that_closes_before_its_answer_gets_502() {
    for start in ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let application = Application::playing(move |visit| {
            if visit.request().is_some() {
                visit.send(start);
            }
        });
        let forebay = Forebay::before(&application);
        fails(&forebay, GET, 502, "FB-32");
        fails(&forebay, &post("Content-Length: 5\r\n\r\nhello"), 502, "FB-32");
        let heard = application.heard_text();
        let count = |method| heard.iter().filter(|text| text.starts_with(method)).count();
        assert_eq!((count("GET"), count("POST")), (3, 1), "only what is harmless is repeated");
    }
}

#[test]
fn an_application_that_does_not_answer_in_time_gets_504() {
    for start in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let application = Application::playing(move |visit| {
            if visit.request().is_some() {
                visit.send(start);
                visit.rest();
            }
        });
        let forebay = Forebay::with(&application, &["--upstream-response-deadline", "300ms"]);
        fails(&forebay, GET, 504, "FB-33");
        application.wait_for_end(0);
    }
}

#[test]
fn an_application_that_does_not_read_gets_504_too() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = Application::playing(move |_| opened.wait());
    let flags = ["--upstream-response-deadline", "300ms", "--body-idle-deadline", "500ms"];
    let forebay = Forebay::with(&application, &flags);
    let mut wire = forebay.connect();
    wire.set_patience(std::time::Duration::from_secs(3));
    // More than all buffers on the way hold.
    let head = post("Content-Length: 30000000\r\n\r\n");
    let sender = sending(&wire, [head.as_bytes(), &pattern(30_000_000)].concat());
    let (bytes, _) = wire.rest();
    gate.open();
    assert!(text(&bytes).starts_with("HTTP/1.1 504 "), "got {:?}", text(&bytes));
    drop(wire);
    // It fails, since the connection was closed.
    drop(sender.join().unwrap());
}

#[test]
fn what_is_not_http_gets_502() {
    for rubbish in [
        "rubbish\r\n\r\n",
        "\0\0\0\x12\x04\0\0\0\0\0\0\x03",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 20 Short\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        let application = Application::playing(move |visit| {
            if visit.request().is_some() {
                visit.send(rubbish);
                visit.rest();
            }
        });
        let forebay = Forebay::before(&application);
        let answer = forebay.exchange(GET);
        assert_eq!((answer.status, answer.code()), (502, Some("FB-34")), "{rubbish:?}");
        application.wait_for_end(0);
    }
}

#[test]
fn an_answer_with_an_endless_header_section_gets_502() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.send("HTTP/1.1 200 OK\r\n");
            while visit
                .try_send(b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n")
            {
            }
        }
    });
    let forebay = Forebay::before(&application);
    fails(&forebay, GET, 502, "FB-34");
}

#[test]
fn a_connection_is_reused_for_what_may_be_repeated() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--upstream-keep-alive", "1h"]);
    let mut wire = forebay.connect();
    for _ in 0..3 {
        assert_eq!(wire.exchange(GET).text(), "ok");
    }
    assert_eq!(forebay.exchange(GET).text(), "ok", "also for another client");
    assert_eq!(application.heard().len(), 1);
    assert_eq!(wire.exchange(post("Content-Length: 2\r\n\r\nhi")).text(), "ok");
    assert_eq!(application.heard().len(), 2, "an effect goes on a fresh connection");
    assert_eq!(wire.exchange(GET).text(), "ok");
    assert_eq!(application.heard().len(), 2);
}

#[test]
fn without_keep_alive_each_request_has_its_connection() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--upstream-keep-alive", "off"]);
    for _ in 0..3 {
        assert_eq!(forebay.exchange(GET).text(), "ok");
    }
    assert_eq!(application.heard().len(), 3);
    for number in 0..3 {
        application.wait_for_end(number);
    }
}

#[test]
fn an_idle_connection_is_closed_before_the_application_does_it() {
    let application = Application::ok();
    let forebay = Forebay::with(&application, &["--upstream-keep-alive", "200ms"]);
    assert_eq!(forebay.exchange(GET).text(), "ok");
    application.wait_for_end(0);
    assert_eq!(forebay.exchange(GET).text(), "ok");
    assert_eq!(application.heard().len(), 2);
}

#[test]
fn a_reused_connection_that_dies_gives_no_error_and_nothing_is_sent_twice() {
    // Each connection ends quietly upon its second request.
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.send(OK);
            visit.head();
        }
    });
    let forebay = Forebay::with(&application, &["--upstream-keep-alive", "1h"]);
    let mut wire = forebay.connect();
    for number in 0..6 {
        assert_eq!(wire.exchange(GET).text(), "ok", "{number}");
    }
    for number in 0..4 {
        let content = format!("only-{number}");
        let request = post(&format!("Content-Length: {}\r\n\r\n{content}", content.len()));
        assert_eq!(wire.exchange(request).text(), "ok");
        let heard = application.heard_text().concat();
        assert_eq!(heard.matches(&content).count(), 1, "{heard}");
    }
}

#[test]
fn a_connection_that_the_application_has_closed_is_not_reused() {
    let application = Application::playing(|visit| {
        // It does not say that it closes.
        if visit.request().is_some() {
            visit.send(OK);
        }
    });
    let forebay = Forebay::with(&application, &["--upstream-keep-alive", "1h"]);
    for number in 0..10 {
        assert_eq!(forebay.exchange(GET).text(), "ok", "{number}");
    }
}

#[test]
fn bytes_behind_an_answer_are_never_taken_for_the_next_one() {
    let sent = AtomicBool::new(false);
    let application = Application::playing(move |visit| {
        while visit.request().is_some() {
            // In one piece: what comes later can meet the next request on its way, with any proxy.
            let behind = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
            let behind = if sent.swap(true, Ordering::Relaxed) { "" } else { behind };
            visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{behind}"));
        }
    });
    let forebay = Forebay::with(&application, &["--upstream-keep-alive", "1h"]);
    for number in 0..5 {
        assert_eq!(forebay.exchange(GET).text(), "ok", "{number}");
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_reaches_the_client() {
    let application = Application::playing(|visit| {
        if visit.head().is_some() {
            visit.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        }
    });
    let forebay = Forebay::with(&application, STREAMING);
    let mut wire = forebay.connect();
    wire.send(post("Content-Length: 30000000\r\n\r\nbegin"));
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
}

#[test]
fn an_early_answer_reaches_a_client_that_sends_all_before_it_reads() {
    let application = Application::playing(|visit| {
        if visit.head().is_some() {
            visit.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    wire.send(post("Content-Length: 1000000\r\n\r\n"));
    // A front end takes a write that fails for a failed request, and reads no answer.
    sending(&wire, pattern(1_000_000)).join().unwrap().unwrap();
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (413, "big"));
}

#[test]
fn a_client_that_leaves_mid_answer_is_logged_and_the_application_is_let_go() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while visit.try_send(b"5\r\nhello\r\n") {}
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    wire.send(GET);
    assert_eq!(wire.head().status, 200);
    assert_eq!(wire.bytes(10), b"5\r\nhello\r\n");
    drop(wire);
    assert_eq!(forebay.line_of("/a")["code"], "FB-40");
}

#[test]
fn a_client_that_leaves_before_the_answer_is_logged_and_the_application_is_let_go() {
    let application = Application::playing(|visit| {
        if visit.request().is_some() {
            visit.rest();
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect();
    wire.send(GET);
    application.wait_for("the request", |kept| (!kept.visits.is_empty()).then_some(()));
    drop(wire);
    application.wait_for_end(0);
    assert_eq!(forebay.line_of("/a")["code"], "FB-40");
}

#[test]
fn a_unix_socket_serves_as_well() {
    let path = Application::fresh_path();
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    let forebay = Forebay::with(&application, &["--upstream-keep-alive", "1h"]);
    let mut wire = forebay.connect();
    assert_eq!(wire.exchange(GET).text(), "ok");
    assert_eq!(wire.exchange(GET).text(), "ok");
    assert_eq!(wire.exchange(post("Content-Length: 5\r\n\r\nhello")).text(), "ok");
    assert_eq!(application.heard().len(), 2);
    assert!(application.heard_text()[1].ends_with("\r\n\r\nhello"));
}

#[test]
fn proxy_protocol_names_the_client_of_each_connection() {
    let path = Application::fresh_path();
    let application = Application::on_unix(&path, |visit| visit.answer_all(OK));
    let flags = ["--proxy-protocol", "v1", "--platform", "app-service"];
    let forebay = Forebay::with(&application, &flags);
    let port = forebay.address().port();
    let mut wire = forebay.connect();
    for (hop, line) in [
        ("203.0.113.10:64769", format!("PROXY TCP4 203.0.113.10 127.0.0.1 64769 {port}\r\n")),
        ("203.0.113.11", format!("PROXY TCP4 203.0.113.11 127.0.0.1 0 {port}\r\n")),
        ("[2001:db8::7]:123", format!("PROXY TCP6 2001:db8::7 ::1 123 {port}\r\n")),
    ] {
        let before = application.heard().len();
        let request =
            format!("GET /a HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: {hop}\r\n\r\n");
        assert_eq!(wire.exchange(request).text(), "ok");
        let heard = application.heard_text();
        assert_eq!(heard.len(), before + 1, "one client per connection");
        assert!(heard[before].starts_with(&format!("{line}GET /a HTTP/1.1\r\n")), "{heard:?}");
        application.wait_for_end(before);
    }
    let question = &application.wait_for("a question", |kept| kept.questions.first().cloned());
    assert!(question.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{question}");
}

#[test]
fn proxy_protocol_version_2_is_exact_to_the_byte() {
    let application = Application::ok();
    let flags = ["--proxy-protocol", "v2", "--platform", "app-service"];
    let forebay = Forebay::with(&application, &flags);
    let port = forebay.address().port().to_be_bytes();
    let request = |hop| format!("POST /a HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {hop}\r\n\r\n");
    assert_eq!(forebay.exchange(request("203.0.113.10:64769")).text(), "ok");
    assert_eq!(forebay.exchange(request("[2001:db8::7]:123")).text(), "ok");
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let mut four = [&signature[..], &[0x21, 0x11, 0, 12, 203, 0, 113, 10, 127, 0, 0, 1]].concat();
    four.extend(64769_u16.to_be_bytes());
    four.extend(port);
    four.extend(b"POST /a HTTP/1.1\r\n");
    let mut six = [&signature[..], &[0x21, 0x21, 0, 36]].concat();
    six.extend("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    six.extend(std::net::Ipv6Addr::LOCALHOST.octets());
    six.extend(123_u16.to_be_bytes());
    six.extend(port);
    six.extend(b"POST /a HTTP/1.1\r\n");
    let heard = application.heard();
    assert!(heard[0].starts_with(&four), "{}", heard[0].escape_ascii());
    assert!(heard[1].starts_with(&six), "{}", heard[1].escape_ascii());
    assert_eq!(find(&heard[0][1..], signature), None, "once");
}
