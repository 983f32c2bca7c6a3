//! The application's text goes out smaller, and says the same.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::support::wire::Answer;
use super::support::{Application, Forebay, Gate, Visit, Wire, fresh_directory, http2, pattern};

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// Text that shrinks, but not to nothing.
fn page(length: usize) -> Vec<u8> {
    let words = ["forebay ", "stands ", "between ", "Azure ", "and ", "Django ", "in ", "one\n"];
    let mut state = 1_u32;
    let mut text = Vec::with_capacity(length + 8);
    while text.len() < length {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend(words[(state >> 29) as usize].as_bytes());
    }
    text.truncate(length);
    text
}

/// An answer to every request, with a length.
fn answer(fields: &str, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}\r\n");
    [head.as_bytes(), content].concat()
}

const HTML: &str = "Content-Type: text/html; charset=utf-8\r\nETag: \"a\"\r\n";

/// A request that accepts `coding`, with more fields.
fn get(coding: &str, fields: &str) -> String {
    format!(
        "GET /page HTTP/1.1\r\nHost: www.example.com\r\nAccept-Encoding: {coding}\r\n{fields}\r\n"
    )
}

/// What content says, as far as it can be decoded.
fn decoded(coding: Option<&str>, content: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    match coding {
        Some("gzip") => drop(flate2::read::GzDecoder::new(content).read_to_end(&mut text)),
        Some("br") => drop(brotli::Decompressor::new(content, 4096).read_to_end(&mut text)),
        Some("zstd") => drop(zstd::Decoder::new(content).unwrap().read_to_end(&mut text)),
        Some(other) => panic!("{other} was not asked for"),
        None => text.extend_from_slice(content),
    }
    text
}

fn is_plain(answer: &Answer, content: &[u8]) -> bool {
    let length = content.len().to_string();
    answer.field("content-encoding").is_none()
        && answer.field("content-length") == Some(&*length)
        && answer.field("etag") == Some("\"a\"")
        && answer.content == content
}

#[test]
fn text_arrives_smaller_and_says_the_same() {
    let content = page(1_000_000);
    let application = Application::answering(answer(HTML, &content));
    let forebay = Forebay::with(&application, &["--compress", "on"]);
    let mut wire = forebay.connect();
    for coding in CODINGS {
        let answer = wire.exchange(get(coding, ""));
        assert!(answer.is_whole && answer.status == 200, "{answer:?}");
        assert_eq!(answer.field("content-encoding"), Some(coding));
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
        assert_eq!(answer.field("etag"), Some("W/\"a\""));
        assert_eq!(answer.field("content-length"), None);
        assert!(answer.content.len() < content.len() / 3, "{coding}: {}", answer.content.len());
        assert!(decoded(Some(coding), &answer.content) == content, "{coding}");
        let line = forebay.wait_for_request("the line", |line| line["coding"] == coding);
        assert_eq!(line["bytes"], answer.content.len());
        assert!(line.get("code").is_none(), "{line}");
        // HEAD says what GET says.
        wire.send(get(coding, "").replacen("GET", "HEAD", 1));
        let head = wire.head();
        for name in ["content-encoding", "vary", "etag", "content-length"] {
            assert_eq!(head.field(name), answer.field(name), "{name}");
        }
    }
    assert!(application.heard_text()[0].contains("accept-encoding: gzip\r\n"));
}

#[test]
fn without_the_setting_nothing_is_touched() {
    let content = page(10_000);
    let application = Application::answering(answer(HTML, &content));
    let forebay = Forebay::before(&application);
    let answer = forebay.exchange(get("gzip, br, zstd", ""));
    assert!(is_plain(&answer, &content) && answer.field("vary").is_none(), "{answer:?}");
}

#[test]
fn what_is_for_one_person_is_left_alone_unless_the_operator_knows_better() {
    let content = page(10_000);
    for (asked, given) in [
        ("Cookie: sessionid=a\r\n", ""),
        ("Authorization: Basic YTpi\r\n", ""),
        ("", "Set-Cookie: csrftoken=a\r\n"),
        ("", "Cache-Control: private\r\n"),
        ("", "Vary: Cookie\r\n"),
    ] {
        let application = Application::answering(answer(&format!("{HTML}{given}"), &content));
        let forebay = Forebay::with(&application, &["--compress", "on"]);
        let answer = forebay.exchange(get("gzip", asked));
        assert!(is_plain(&answer, &content), "{asked}{given}: {answer:?}");
        let varies = answer
            .fields
            .iter()
            .any(|(name, value)| name == "vary" && value.contains("Accept-Encoding"));
        assert!(varies, "{asked}{given}: {answer:?}");
        let knowing = ["--compress", "on", "--compress-personal", "on"];
        let forebay = Forebay::with(&application, &knowing);
        let answer = forebay.exchange(get("gzip", asked));
        assert_eq!(answer.field("content-encoding"), Some("gzip"), "{asked}{given}");
    }
}

#[test]
fn the_least_size_is_obeyed() {
    for (length, is_compressed) in [(4095, false), (4096, true), (4097, true)] {
        let content = page(length);
        let application = Application::answering(answer(HTML, &content));
        let flags = ["--compress", "on", "--compress-min", "4KiB"];
        let answer = Forebay::with(&application, &flags).exchange(get("gzip", ""));
        assert_eq!(answer.field("content-encoding").is_some(), is_compressed, "{length}");
        assert_eq!(decoded(answer.field("content-encoding"), &answer.content), content);
    }
}

#[test]
fn what_is_no_text_or_must_stay_as_it_is_stays_as_it_is() {
    let content = page(10_000);
    for fields in [
        "Content-Type: image/png\r\n",
        "Content-Type: text/html\r\nContent-Encoding: br\r\n",
        "Content-Type: text/html\r\nCache-Control: no-transform\r\n",
        "Content-Type: text/html\r\nContent-Range: bytes 0-1/2\r\n",
        "",
    ] {
        let application = Application::answering(answer(fields, &content));
        let forebay = Forebay::with(&application, &["--compress", "on"]);
        let answer = forebay.exchange(get("gzip", ""));
        assert!(answer.content == content && answer.field("vary").is_none(), "{fields}");
    }
}

/// The next chunk's content.
fn chunk(wire: &mut Wire) -> Vec<u8> {
    let mut line = String::new();
    while !line.ends_with("\r\n") {
        let byte = wire.bytes(1);
        assert_eq!(byte.len(), 1, "the end after {line:?}");
        line.push(byte[0].into());
    }
    let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
    let content = wire.bytes(size);
    assert_eq!(wire.bytes(2), b"\r\n");
    content
}

/// All chunks to the end.
fn chunks(wire: &mut Wire) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let next = chunk(wire);
        if next.is_empty() {
            return content;
        }
        content.extend(next);
    }
}

#[test]
fn a_dribbling_answer_arrives_as_it_comes() {
    for coding in CODINGS {
        let gates: Arc<[Gate; 4]> = Arc::default();
        let opened = Arc::clone(&gates);
        let application = Application::playing(move |visit| {
            visit.request();
            visit.send(
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n",
            );
            for (number, gate) in opened.iter().enumerate() {
                visit.send(format!("data: {number}\n\n"));
                gate.wait();
            }
        });
        let forebay = Forebay::with(&application, &["--compress", "on"]);
        let mut wire = forebay.connect();
        wire.send(get(coding, ""));
        assert_eq!(wire.head().field("content-encoding"), Some(coding));
        let mut content = Vec::new();
        let mut expected = String::new();
        for (number, gate) in gates.iter().enumerate() {
            // The application waits until its event has arrived: one that is held back hangs here.
            expected.extend(["data: ", &number.to_string(), "\n\n"]);
            while decoded(Some(coding), &content) != expected.as_bytes() {
                content.extend(chunk(&mut wire));
            }
            gate.open();
        }
        content.extend(chunks(&mut wire));
        assert_eq!(decoded(Some(coding), &content), expected.as_bytes());
    }
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_the_application() {
    // What does not compress, so that the client's side is full at once; with pauses, at which the
    // encoder gives out what it holds.
    let content = pattern(24 * 1024 * 1024);
    let gate = Arc::new(Gate::default());
    let (sent, opened) = (content.clone(), Arc::clone(&gate));
    let application = Application::playing(move |visit| {
        if visit.request().is_some() {
            let length = sent.len();
            visit.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{HTML}\r\n"));
            for (number, piece) in sent.chunks(100_000).enumerate() {
                visit.send(piece);
                if number % 10 == 0 {
                    Visit::pause();
                }
            }
            opened.open();
        }
    });
    let forebay = Forebay::with(&application, &["--compress", "on"]).ready();
    let mut slow = forebay.connect();
    slow.send(get("gzip", ""));
    gate.wait();
    let answer = slow.answer();
    assert!(decoded(Some("gzip"), &answer.content) == content);
}

#[test]
fn a_large_answer_does_not_stall_others() {
    let content = page(16 * 1024 * 1024);
    let large = answer(HTML, &content);
    let application = Application::playing(move |visit| {
        while let Some((head, _)) = visit.request() {
            if head.starts_with("GET /page") {
                visit.send(&large);
            } else {
                visit.send(super::support::OK);
            }
        }
    });
    let forebay = Forebay::with(&application, &["--compress", "on"]);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let large = scope.spawn(|| {
            let answer = forebay.exchange(get("br", ""));
            is_over.store(true, Ordering::Relaxed);
            answer
        });
        let mut wire = forebay.connect();
        let mut served = 0;
        while !is_over.load(Ordering::Relaxed) {
            let answer = wire.exchange("GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n");
            assert_eq!(answer.status, 200);
            served += 1;
        }
        let answer = large.join().unwrap();
        assert!(decoded(Some("br"), &answer.content) == content);
        // The work of 512 slices; one that holds the thread lets two or three through.
        assert!(served >= 15, "only {served} others were served meanwhile");
    });
}

#[test]
fn over_the_limit_answers_go_as_they_are() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let content = page(5000);
    let plain = answer(HTML, &content);
    let application = Application::playing(move |visit| {
        while let Some((head, _)) = visit.request() {
            if head.contains("x-first") {
                visit.send(
                    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n",
                );
                opened.wait();
                return;
            }
            visit.send(&plain);
        }
    });
    let forebay = Forebay::with(&application, &["--compress", "on", "--compress-limit", "1"]);
    let mut first = forebay.connect();
    first.send(get("gzip", "X-First: 1\r\n"));
    assert_eq!(first.head().field("content-encoding"), Some("gzip"));
    let second = forebay.exchange(get("gzip", ""));
    assert!(is_plain(&second, &content), "{second:?}");
    assert_eq!(second.field("vary"), Some("Accept-Encoding"));
    gate.open();
    assert_eq!(decoded(Some("gzip"), &chunks(&mut first)), b"");
    let third = forebay.exchange(get("gzip", ""));
    assert_eq!(third.field("content-encoding"), Some("gzip"), "the place came free");
}

#[test]
fn an_answer_that_breaks_off_is_not_ended_in_order() {
    for coding in CODINGS {
        let application = Application::answering(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5000\r\n\
             Connection: close\r\n\r\nonly this",
        );
        let forebay = Forebay::with(&application, &["--compress", "on"]);
        let answer = forebay.exchange(get(coding, ""));
        assert!(!answer.is_whole && answer.status == 200, "{coding}: {answer:?}");
        assert_eq!(forebay.line_of("/page")["code"], "FB-35");
    }
}

#[test]
fn old_clients_and_new_ones_are_served() {
    let content = page(100_000);
    let application = Application::answering(answer("Content-Type: text/css\r\n", &content));
    let forebay = Forebay::with(&application, &["--compress", "on"]);
    let old = forebay.exchange(get("gzip", "").replacen("HTTP/1.1", "HTTP/1.0", 1));
    assert_eq!(old.field("transfer-encoding"), None);
    assert!(old.is_whole && decoded(Some("gzip"), &old.content) == content);
    let mut client = forebay.connect_http2();
    let mut fields = http2::get(b"/page");
    fields.push((b"accept-encoding", b"zstd"));
    let new = client.request(&fields, None);
    assert!(decoded(Some("zstd"), &new.content) == content);
}

#[test]
fn a_file_that_is_sent_is_not_compressed() {
    let directory = fresh_directory();
    let content = page(10_000);
    std::fs::write(directory.join("a.txt"), &content).unwrap();
    let application = Application::answering(
        "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /p/a.txt\r\nContent-Length: 0\r\n\r\n",
    );
    let place = format!("/p/={}", directory.display());
    let forebay = Forebay::with(&application, &["--compress", "on", "--send-file", &place]);
    let answer = forebay.exchange(get("gzip", ""));
    assert!(answer.content == content && answer.field("content-encoding").is_none());
}
