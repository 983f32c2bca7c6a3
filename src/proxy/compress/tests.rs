use super::*;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::Read as _;
use std::task::Poll;

use crate::proxy::file::tests::{asked, fields};
use bytes::Bytes;
use http::Response;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE};
use http_body::Frame;
use proptest::prelude::*;

const ON: Settings = Settings { is_on: true, least: 1024, compresses_personal: false, limit: 8 };

/// What becomes of an answer: its coding, if it is compressed, and its fields.
fn prepared(
    settings: Settings,
    method: &Method,
    request: &str,
    status: u16,
    answer: &str,
) -> (Option<Coding>, HeaderMap) {
    let compressor = Compressor::new(settings);
    let Some(asked) = compressor.asked(method, &asked(request)) else {
        return (None, fields(answer));
    };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    *response.headers_mut() = fields(answer);
    let mut answer = Answer::from(response);
    let stream = compressor.prepare(&asked, &mut answer);
    (stream.map(|stream| stream.coding()), answer.fields().clone())
}

const GZIP: &str = "accept-encoding: gzip";
const TEXT: &str = "content-type: text/html; charset=utf-8";

#[test]
fn a_compressed_answer_says_so() {
    let answer =
        format!("{TEXT}\netag: \"a\"\ncontent-length: 2000\naccept-ranges: bytes\nvary: Origin");
    let (coding, found) = prepared(ON, &Method::GET, GZIP, 200, &answer);
    assert_eq!(coding, Some(Coding::Gzip));
    let expected = fields(&format!(
        "{TEXT}\netag: W/\"a\"\ncontent-encoding: gzip\nvary: Origin\nvary: Accept-Encoding"
    ));
    assert_eq!(found, expected);
    let (stream, of_head) = prepared(ON, &Method::HEAD, GZIP, 200, &answer);
    assert_eq!((stream, of_head), (None, expected), "HEAD gets the fields of GET");
}

#[test]
fn only_whole_text_is_compressed() {
    for (status, answer, is_compressed) in [
        (200, "content-type: text/plain", true),
        (200, "content-type: TEXT/CSS ; charset=utf-8", true),
        (200, "content-type: text/event-stream", true),
        (200, "content-type: application/json", true),
        (200, "content-type: application/problem+json", true),
        (200, "content-type: application/rss+xml", true),
        (200, "content-type: application/javascript", true),
        (200, "content-type: application/wasm", true),
        (200, "content-type: image/svg+xml", true),
        (404, "content-type: text/html", true),
        (500, "content-type: text/html", true),
        (200, "content-type: text/html\ncontent-length: 1024", true),
        (200, "content-type: text/html\ncontent-length: 1023", false),
        (200, "content-type: text/html\ncontent-length: 0", false),
        (200, "", false),
        (200, "content-type: image/png", false),
        (200, "content-type: application/octet-stream", false),
        (200, "content-type: application/zip", false),
        (200, "content-type: video/mp4", false),
        (200, "content-type: font/woff2", false),
        (200, "content-type: text/html\ncontent-encoding: br", false),
        (200, "content-type: text/html\ncontent-encoding: identity", false),
        (200, "content-type: text/html\ncontent-range: bytes 0-1/2", false),
        (200, "content-type: text/html\ncache-control: public, No-Transform", false),
        (200, "content-type: text/html\ncontent-digest: sha-256=:AA==:", false),
        (204, "content-type: text/html", false),
        (205, "content-type: text/html", false),
        (206, "content-type: text/html", false),
        (304, "content-type: text/html", false),
    ] {
        let (coding, found) = prepared(ON, &Method::GET, GZIP, status, answer);
        assert_eq!(coding.is_some(), is_compressed, "{status} {answer}");
        assert_eq!(found.contains_key(VARY), is_compressed, "{status} {answer}");
        if !is_compressed {
            assert_eq!(found, fields(answer), "left alone");
        }
    }
}

#[test]
fn what_is_for_one_person_is_not_compressed_but_varies() {
    for (request, answer) in [
        ("cookie: a=b", ""),
        ("authorization: Basic YTpi", ""),
        ("x-csrftoken: a", ""),
        ("x-ms-client-principal: a", ""),
        ("", "set-cookie: a=b"),
        ("", "cache-control: max-age=1, private"),
        ("", "cache-control: private=\"x\""),
        ("", "cache-control: no-store"),
        ("", "vary: Accept-Language, Cookie"),
        ("", "vary: *"),
    ] {
        let (request, answer) = (format!("{GZIP}\n{request}"), format!("{TEXT}\n{answer}"));
        let (coding, found) = prepared(ON, &Method::GET, &request, 200, &answer);
        assert_eq!(coding, None, "{request} {answer}");
        assert!(has_token(&found, &VARY, &["accept-encoding", "*"]), "{request} {answer}");
        let knowing = Settings { compresses_personal: true, ..ON };
        let (coding, _) = prepared(knowing, &Method::GET, &request, 200, &answer);
        assert_eq!(coding, Some(Coding::Gzip), "{request} {answer}");
    }
}

#[test]
fn a_client_that_wants_none_gets_none_and_caches_know() {
    let (coding, found) = prepared(ON, &Method::GET, "", 200, TEXT);
    assert_eq!((coding, &found[VARY]), (None, &HeaderValue::from_static("Accept-Encoding")));
    let (_, found) = prepared(ON, &Method::GET, "", 200, &format!("{TEXT}\nvary: accept-encoding"));
    assert_eq!(found.get_all(VARY).iter().count(), 1);
}

#[test]
fn nothing_is_touched_where_compression_is_off() {
    let off = Settings { is_on: false, ..ON };
    assert_eq!(prepared(off, &Method::GET, GZIP, 200, TEXT), (None, fields(TEXT)));
}

#[test]
fn a_304_speaks_of_the_tag_that_the_client_has() {
    for (known, own, wanted) in [
        ("W/\"a\"", "\"a\"", "W/\"a\""),
        ("\"x\", W/\"a\"", "\"a\"", "W/\"a\""),
        ("\"a\"", "\"a\"", "\"a\""),
        ("W/\"ab\"", "\"a\"", "\"a\""),
        ("W/\"a\"", "W/\"a\"", "W/\"a\""),
    ] {
        let request = format!("{GZIP}\nif-none-match: {known}");
        let (_, found) = prepared(ON, &Method::GET, &request, 304, &format!("etag: {own}"));
        assert_eq!(found[ETAG], wanted, "{known} {own}");
    }
}

#[test]
fn there_is_a_limit_of_answers_and_a_place_comes_free() {
    let compressor = Compressor::new(Settings { limit: 2, ..ON });
    let asked = compressor.asked(&Method::GET, &asked(GZIP)).unwrap();
    let begin = || {
        let mut response = Response::new(());
        *response.headers_mut() = fields(TEXT);
        let mut answer = Answer::from(response);
        let stream = compressor.prepare(&asked, &mut answer);
        assert_eq!(answer.fields().contains_key(CONTENT_ENCODING), stream.is_some());
        assert!(answer.fields().contains_key(VARY));
        stream
    };
    let (one, two) = (begin(), begin());
    assert!(one.is_some() && two.is_some() && begin().is_none());
    drop(one);
    assert!(begin().is_some());
}

/// A stream that compresses with `coding`.
fn stream(coding: Coding) -> Stream {
    let places = Arc::new(Semaphore::new(1));
    Stream::new(coding, places.try_acquire_owned().unwrap()).unwrap()
}

fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    match coding {
        Coding::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut content)),
        Coding::Brotli => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut content)),
        Coding::Zstd => {
            drop(zstd::Decoder::new(bytes).unwrap().read_to_end(&mut content));
        }
    }
    content
}

type Step = Poll<Option<Result<Frame<Bytes>, Infallible>>>;

/// Reads to the end; each step of `steps` is one answer of the content, and `Pending` is woken at
/// once. Returns the frames.
async fn read(stream: &mut Stream, steps: Vec<Step>) -> Vec<Frame<Bytes>> {
    let mut steps: VecDeque<_> = steps.into();
    let mut frames = Vec::new();
    while let Some(frame) = poll_fn(|cx| {
        stream.poll_frame(cx, |cx| match steps.pop_front() {
            Some(Poll::Pending) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(step) => step,
            None => Poll::Ready(None),
        })
    })
    .await
    {
        frames.push(frame.unwrap());
    }
    assert!(stream.is_end_stream());
    frames
}

fn data(bytes: impl Into<Bytes>) -> Step {
    Poll::Ready(Some(Ok(Frame::data(bytes.into()))))
}

fn joined(frames: &[Frame<Bytes>]) -> Vec<u8> {
    frames.iter().filter_map(Frame::data_ref).flatten().copied().collect()
}

#[tokio::test]
async fn each_piece_that_nothing_follows_can_be_decoded_at_once() {
    for coding in Coding::ALL {
        let mut stream = stream(coding);
        let pieces = ["data: one\n\n", "data: two\n\n", "data: three\n\n"];
        let steps = pieces.iter().flat_map(|piece| [data(*piece), Poll::Pending]).collect();
        let frames = read(&mut stream, steps).await;
        assert_eq!(frames.len(), pieces.len() + 1, "{coding:?}: one frame each, and the end");
        for count in 1..=pieces.len() {
            let so_far = decoded(coding, &joined(&frames[..count]));
            assert_eq!(so_far, pieces[..count].concat().as_bytes(), "{coding:?}");
        }
    }
}

#[tokio::test]
async fn pieces_that_follow_at_once_are_compressed_together() {
    for coding in Coding::ALL {
        let piece = "the same words again and again, ".repeat(20);
        let mut stream = stream(coding);
        let frames = read(&mut stream, Vec::new()).await;
        assert_eq!(decoded(coding, &joined(&frames)), b"", "no content at all");
        let mut stream = self::stream(coding);
        let steps = (0..50).map(|_| data(piece.clone())).collect();
        let frames = read(&mut stream, steps).await;
        assert_eq!(frames.len(), 1, "{coding:?}");
        let bytes = joined(&frames);
        assert!(bytes.len() < 400, "{coding:?}: {} bytes", bytes.len());
        assert_eq!(decoded(coding, &bytes), piece.repeat(50).as_bytes());
    }
}

#[tokio::test]
async fn a_large_piece_lets_others_have_their_turn() {
    let content: Vec<u8> = (0_u32..500_000).flat_map(|at| (at * 7919).to_be_bytes()).collect();
    let turns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let mut stream = stream(Coding::Zstd);
    let frames = read(&mut stream, vec![data(content.clone())]).await;
    other.abort();
    assert_eq!(decoded(Coding::Zstd, &joined(&frames)), content);
    let turns = turns.load(std::sync::atomic::Ordering::Relaxed);
    let slices = content.len() / (32 * 1024);
    assert!(turns >= slices, "{turns} turns in {slices} slices");
}

#[tokio::test]
async fn trailers_come_last() {
    let mut stream = stream(Coding::Gzip);
    let trailers = Poll::Ready(Some(Ok(Frame::trailers(fields("a: b")))));
    let frames = read(&mut stream, vec![data("content"), trailers]).await;
    assert_eq!(frames.len(), 2);
    assert_eq!(decoded(Coding::Gzip, frames[0].data_ref().unwrap()), b"content");
    assert_eq!(frames[1].trailers_ref(), Some(&fields("a: b")));
}

#[tokio::test]
async fn content_that_breaks_off_is_not_ended_in_order() {
    let mut stream = stream(Coding::Gzip);
    let mut steps = VecDeque::from([
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"one"))))),
        Poll::Ready(Some(Err("broken"))),
    ]);
    let frame = poll_fn(|cx| stream.poll_frame(cx, |_| steps.pop_front().unwrap())).await;
    assert!(matches!(frame, Some(Err(Broken::Content("broken")))), "{frame:?}");
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(
        pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), 1_usize..400), 0..8),
        pauses in prop::collection::vec(any::<bool>(), 8),
        at in 0_usize..3,
    ) {
        let coding = Coding::ALL[at];
        let pieces: Vec<_> = pieces.into_iter().map(|(piece, times)| piece.repeat(times)).collect();
        let steps = pieces.iter().zip(&pauses).flat_map(|(piece, pauses)| {
            let pause = pauses.then_some(Poll::Pending);
            [Some(data(piece.clone())), pause].into_iter().flatten()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let frames = runtime.block_on(read(&mut stream(coding), steps.collect()));
        prop_assert_eq!(decoded(coding, &joined(&frames)), pieces.concat());
    }

    #[test]
    fn any_field_can_be_read(text in "\\PC{0,60}") {
        for name in [ACCEPT_ENCODING, CONTENT_TYPE, CACHE_CONTROL, VARY, ETAG, CONTENT_LENGTH] {
            let Ok(value) = HeaderValue::from_str(&text) else { continue };
            let answer = format!("{TEXT}\n{name}: {}", value.to_str().unwrap_or_default());
            let request = format!("{GZIP}\n{answer}");
            prepared(ON, &Method::GET, &request, 200, &answer);
        }
    }
}
