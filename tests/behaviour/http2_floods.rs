//! HTTP/2 under attack: what one connection may cost, and that others are served meanwhile.

use std::sync::Arc;

use crate::support::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, Http2, PING, PRIORITY, RST_STREAM,
    SETTINGS, WINDOW_UPDATE, block, frame, get, post,
};
use crate::support::wire::End;
use crate::support::{Application, Forebay, Gate, eventually, pattern};

const ENHANCE_YOUR_CALM: Option<u32> = Some(11);
const REFUSED_STREAM: Option<u32> = Some(7);
const CANCEL: [u8; 4] = [0, 0, 0, 8];

/// What one connection may let the application begin and take back, and some more on their way.
const FEW: usize = 140;

/// An application that takes every request and answers none but those for `/sentinel`.
fn mute() -> Application {
    Application::playing(|visit| {
        if let Some((head, _)) = visit.request()
            && head.contains("/sentinel")
        {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
            return;
        }
        visit.rest();
    })
}

/// The frames of a whole request.
fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block(&get(b"/attack")))
}

fn attacks(application: &Application) -> usize {
    application.heard_text().iter().filter(|heard| heard.contains("/attack")).count()
}

/// Others are served, and memory has not grown beyond what one connection may hold.
fn all_is_well(forebay: &Forebay) {
    assert_eq!(forebay.get("/sentinel").text(), "ok");
    let peak = forebay.peak_bytes();
    assert!(peak < 64 << 20, "{peak} bytes of memory");
}

#[test]
fn requests_that_are_taken_back_at_once_end_the_connection() {
    let application = mute();
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect_http2();
    for number in 0..2000 {
        let stream = 1 + 2 * number;
        let attack = [request(stream), frame(RST_STREAM, 0, stream, &CANCEL)].concat();
        if wire.try_send_raw(&attack).is_err() {
            break;
        }
    }
    all_is_well(&forebay);
    let (goodbye, end) = wire.last_words();
    assert!(goodbye == ENHANCE_YOUR_CALM || end != End::Open, "{goodbye:?} {end:?}");
    let count = attacks(&application);
    assert!(count < FEW, "{count} requests reached the application");
    forebay.wait_for_line("the limit struck", |line| line.contains("an HTTP/2 connection was"));
}

/// Opens stream after stream, each once the application has the one before, and spoils each with
/// `spoil`; returns how many the application got before the connection was ended.
fn spoiled(spoil: impl Fn(u32) -> Vec<u8>) -> usize {
    let application = mute();
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect_http2();
    for number in 0..400_u32 {
        let stream = 1 + 2 * number;
        if wire.try_send_raw(request(stream)).is_err() {
            break;
        }
        let is_there = eventually("the application has it, or it is over", || {
            let is_there = attacks(&application) > number as usize;
            (is_there || wire.read_what_is_there()).then_some(is_there)
        });
        if !is_there || wire.try_send_raw(spoil(stream)).is_err() {
            break;
        }
    }
    all_is_well(&forebay);
    assert_ne!(wire.last_words().1, End::Open);
    let count = attacks(&application);
    // What is an error of the whole connection strikes no limit.
    if count > 1 {
        forebay.wait_for_line("the limit struck", |line| line.contains("an HTTP/2 connection was"));
    }
    count
}

#[test]
fn requests_that_are_taken_back_once_the_application_has_them_end_the_connection() {
    let count = spoiled(|stream| frame(RST_STREAM, 0, stream, &CANCEL));
    assert!((64..FEW).contains(&count), "{count}");
}

#[test]
fn requests_that_the_client_makes_forebay_reset_end_the_connection() {
    // MadeYouReset, CVE-2025-8671: each of these is an error of the stream (RFC 9113 §5.4.2).
    for spoil in [
        |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4]),
        |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
        |stream| frame(DATA, 0, stream, b"after the end"),
    ] {
        let count = spoiled(spoil);
        assert!(count < FEW, "{count}");
    }
}

#[test]
fn a_visitor_who_cancels_much_and_reads_more_is_no_attacker() {
    let application = mute();
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect_http2();
    for round in 1..=3 {
        for _ in 0..100 {
            assert_eq!(wire.get("/sentinel").status, Some(200));
        }
        for number in 0..100 {
            let stream = wire.send(&get(b"/attack"), None);
            let wanted = 100 * (round - 1) + number + 1;
            application.wait_for("the request", |kept| {
                let is_attack = |heard: &&_| format!("{heard:?}").contains("/attack");
                (kept.visits.iter().filter(is_attack).count() >= wanted).then_some(())
            });
            wire.cancel(stream);
        }
    }
    assert_eq!(wire.get("/sentinel").status, Some(200));
}

#[test]
fn a_header_section_without_end_ends_the_connection() {
    let application = mute();
    let forebay = Forebay::before(&application);
    let tiny = block(&[(b"a", b"b")]);
    let large = block(&[(b"a", &[b'b'; 15_000])]);
    for part in [&[][..], &tiny, &large] {
        let mut wire = forebay.connect_http2();
        let mut start = get(b"/attack");
        start.truncate(3);
        drop(wire.try_send_raw(frame(HEADERS, END_STREAM, 1, &block(&start))));
        let flood = frame(CONTINUATION, 0, 1, part).repeat(10);
        for _ in 0..1000 {
            if wire.try_send_raw(&flood).is_err() {
                break;
            }
        }
        all_is_well(&forebay);
        assert_ne!(wire.last_words().1, End::Open, "{} bytes each", part.len());
    }
    assert_eq!(attacks(&application), 0);
}

#[test]
fn a_header_section_that_is_too_large_is_refused_and_logged() {
    let application = mute();
    let forebay = Forebay::before(&application);
    let value = vec![b'x'; 8000];
    let names: Vec<_> = (0..9).map(|number| format!("x-{number}")).collect();
    let mut fields = get(b"/large");
    fields.extend(names.iter().map(|name| (name.as_bytes(), value.as_slice())));
    let mut wire = forebay.connect_http2();
    assert_eq!(wire.request(&fields, None).status, Some(431));
    assert_eq!(forebay.line_of("/large")["code"], "FB-12");
    assert_eq!(wire.get("/sentinel").status, Some(200), "the connection goes on");

    // One entry of the table, named again and again (RFC 7541): small on the wire, large in memory.
    let mut bomb = vec![0x40];
    crate::support::http2::string(&mut bomb, b"x");
    crate::support::http2::string(&mut bomb, &[b'x'; 3000]);
    bomb.extend([0xbe; 12_000]);
    let mut wire = forebay.connect_http2();
    let whole = [block(&get(b"/attack")), bomb].concat();
    drop(wire.try_send_raw(frame(HEADERS, END_STREAM | END_HEADERS, 1, &whole)));
    let answer = wire.answer(1);
    assert!(answer.status == Some(431) || answer.goodbye == ENHANCE_YOUR_CALM, "{answer:?}");
    all_is_well(&forebay);
    assert_eq!(attacks(&application), 0);
}

#[test]
fn frames_that_say_nothing_cost_nothing() {
    let application = mute();
    let forebay = Forebay::before(&application);
    let post = frame(HEADERS, END_HEADERS, 1, &block(&post(b"/attack")));
    let floods = [
        ("PING", vec![], frame(PING, 0, 0, &[7; 8])),
        ("PING acknowledged", vec![], frame(PING, 1, 0, &[7; 8])),
        ("SETTINGS", vec![], frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9])),
        ("PRIORITY", vec![], frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 9])),
        ("WINDOW_UPDATE", vec![], frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("unknown", vec![], frame(0x42, 0, 0, b"")),
        ("empty DATA", post.clone(), frame(DATA, 0, 1, b"")),
        ("padded DATA", post, frame(DATA, 8, 1, &[3, 0, 0, 0])),
    ];
    for (name, start, flood) in floods {
        let mut wire = forebay.connect_http2();
        wire.try_send_raw(start).unwrap();
        let flood = flood.repeat(1000);
        let mut is_cut = false;
        for _ in 0..20 {
            is_cut |= wire.try_send_raw(&flood).is_err();
            // Acknowledgements are read, so that nothing but the frames themselves is at work.
            is_cut |= wire.read_what_is_there();
            if is_cut {
                break;
            }
        }
        all_is_well(&forebay);
        let has_data = name.contains("DATA");
        assert!(is_cut || !has_data, "{name}: content that brings nothing is not taken for ever");
        if !is_cut {
            assert_eq!(wire.get("/sentinel").status, Some(200), "{name} does no harm");
        }
    }
}

#[test]
fn a_client_that_asks_for_acknowledgements_and_takes_none_is_cut() {
    let application = mute();
    let flags = ["--body-idle-deadline", "300ms", "--header-deadline", "300ms"];
    let forebay = Forebay::with(&application, &flags);
    let wire = forebay.connect_http2();
    let mut sender = wire.sender();
    let flood = frame(PING, 0, 0, &[7; 8]).repeat(4000);
    let mut sent = 0_usize;
    // Writing fails at once when forebay has cut it; a full socket would fail after `PATIENCE`.
    let why = loop {
        if let Err(why) = std::io::Write::write_all(&mut sender, &flood) {
            break why;
        }
        sent += flood.len();
        assert!(sent < 1 << 30, "it takes everything");
    };
    let kind = why.kind();
    assert!(kind != std::io::ErrorKind::WouldBlock, "{kind:?} after {sent} bytes");
    all_is_well(&forebay);
}

#[test]
fn streams_beyond_the_limit_are_refused_and_can_be_sent_again() {
    let gate = Arc::new(Gate::default());
    let opened = Arc::clone(&gate);
    let application = Application::playing(move |visit| {
        if visit.request().is_some() {
            opened.wait();
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
    });
    let forebay = Forebay::before(&application);
    let mut wire = forebay.connect_http2();
    // Before the client can know the limit.
    let all: Vec<_> = (0..200).flat_map(|number| request(1 + 2 * number)).collect();
    wire.try_send_raw(all).unwrap();
    application.wait_for("the first 128", |kept| (kept.visits.len() == 128).then_some(()));
    gate.open();
    let answers = wire.answers(200);
    let ok = answers.values().filter(|answer| answer.status == Some(200)).count();
    let refused = answers.values().filter(|answer| answer.reset == REFUSED_STREAM).count();
    assert_eq!((ok, refused), (128, 72));
    wire.skip_streams(200);
    assert_eq!(wire.get("/again").status, Some(200), "the connection goes on");
}

#[test]
fn a_stream_that_takes_nothing_ends_and_the_others_go_on() {
    let application = Application::playing(|visit| {
        let Some((head, _)) = visit.request() else { return };
        if head.contains("/large") {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\nConnection: close\r\n\r\n");
            visit.send(pattern(3_000_000));
        } else {
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
        }
        visit.rest();
    });
    let forebay = Forebay::with(&application, &["--body-idle-deadline", "400ms"]);
    let mut wire = forebay.connect_http2();
    // Room for all streams together, none for the large one beyond its first 64 KiB.
    wire.try_send_raw(frame(WINDOW_UPDATE, 0, 0, &[0, 0x10, 0, 0])).unwrap();
    wire.stop_giving_way();
    let large = wire.send(&get(b"/large"), None);
    assert_eq!(wire.get("/small").status, Some(200));
    let answer = wire.answer(large);
    assert!(answer.reset.is_some() && answer.goodbye.is_none(), "{:?}", answer.reset);
    assert_eq!(wire.get("/small").status, Some(200));
    application.wait_for_end(0);
    assert_eq!(forebay.line_of("/large")["code"], "FB-40");
}

#[test]
fn many_streams_without_a_window_hold_no_worker_for_long() {
    let content = pattern(1_000_000);
    let application = Application::playing(move |visit| {
        if visit.request().is_some() {
            // More than the first window and one piece.
            visit.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n");
            visit.send(&content);
            visit.rest();
        }
    });
    // What the answers wait in is bounded, whoever asks for how many.
    let flags = ["--body-idle-deadline", "400ms", "--spool-memory", "16MiB"];
    let forebay = Forebay::with(&application, &flags);
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut wire = Http2::begin_with(forebay.connect(), &[0, 4, 0, 0, 0, 0]);
    wire.settle();
    let all: Vec<_> = (0..100).flat_map(|number| request(1 + 2 * number)).collect();
    wire.try_send_raw(all).unwrap();
    application.wait_for("all", |kept| (kept.visits.len() == 100).then_some(()));
    assert_eq!(forebay.get("/other").content.len(), 1_000_000, "others are served");
    let answers = wire.answers(100);
    assert!(answers.values().all(|answer| answer.reset.is_some() && answer.content.is_empty()));
    for number in 0..100 {
        application.wait_for_end(number);
    }
    assert!(forebay.peak_bytes() < 64 << 20);
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_frame_is_cut() {
    let application = mute();
    let flags = ["--body-idle-deadline", "300ms", "--header-deadline", "300ms"];
    let forebay = Forebay::with(&application, &flags);
    for part in [
        &request(1)[..5],
        &request(1)[..20],
        &frame(HEADERS, END_STREAM, 1, &block(&get(b"/attack"))),
        &[],
    ] {
        let mut wire = forebay.connect_http2();
        wire.try_send_raw(part).unwrap();
        // It cannot answer a ping any more, or does not want to.
        assert_ne!(wire.ignore().1, End::Open, "{} bytes", part.len());
    }
    all_is_well(&forebay);
    assert_eq!(attacks(&application), 0);
}

#[test]
fn a_client_that_leaves_a_byte_for_ever_is_cut_when_it_is_idle() {
    let application = mute();
    let flags = ["--body-idle-deadline", "400ms", "--idle-deadline", "300ms"];
    let forebay = Forebay::with(&application, &flags);
    // SETTINGS_INITIAL_WINDOW_SIZE is 1, and the answer has two bytes.
    let mut wire = Http2::begin_with(forebay.connect(), &[0, 4, 0, 0, 0, 1]);
    wire.stop_giving_way();
    wire.send(&get(b"/sentinel"), None);
    // It answers every ping.
    assert_ne!(wire.last_words().1, End::Open);
}
