//! A WebSocket through forebay to uvicorn.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::support::browser::Profile;
use crate::support::forebay::Forebay;
use crate::support::front_end::over_tls;
use crate::support::process::Process;
use crate::support::site::{Site, UVICORN};
use crate::support::wire::{Wire, message};
use crate::support::{eventually, python_program};

#[test]
fn a_websocket_says_back_what_it_hears() {
    let forebay = Forebay::before(UVICORN.address());
    let mut wire = opened(&forebay);
    let known: Value = serde_json::from_slice(&receive(&mut wire, TEXT)).unwrap();
    assert_eq!(known["scheme"], "wss");
    assert_eq!(known["client"][0], "203.0.113.10");
    assert_eq!(known["headers"]["host"], "www.example.com");
    assert_eq!(known["headers"]["x-forwarded-for"], "203.0.113.10");

    for payload in ["hello", "", &"long ".repeat(20_000)] {
        send(&mut wire, TEXT, payload.as_bytes());
        assert!(receive(&mut wire, TEXT) == payload.as_bytes(), "{} bytes", payload.len());
    }
    send(&mut wire, CLOSE, &1000_u16.to_be_bytes());
    assert_eq!(receive(&mut wire, CLOSE), 1000_u16.to_be_bytes());
}

#[test]
fn at_a_stop_a_client_and_the_site_are_told_that_the_service_restarts() {
    let site = Site::uvicorn();
    let mut forebay = Forebay::before(site.address());
    let mut command = Process::command(&python_program("python"));
    command.args(["-c", CLIENT, &forebay.url("ws", "/socket/")]);
    let mut client = Process::start("websockets", command);
    eventually("the socket says hello", || client.written().contains("open").then_some(()));
    forebay.terminate();
    assert!(client.wait().success());
    let written = client.written();
    assert!(written.contains("closed with 1012"), "{written}");
    assert_eq!(forebay.wait().code(), Some(0));
    eventually("the site knows", || {
        site.written().contains("a websocket was closed with 1012").then_some(())
    });
    let log = forebay.written();
    assert!(log.contains(r#""message":"tunnel ended""#), "{log}");
    assert!(log.contains(r#""ended_by":"drain""#), "{log}");
}

/// A client that says when it is open and how it was closed.
const CLIENT: &str = r#"
import sys
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

with connect(sys.argv[1]) as socket:
    socket.recv()
    print("open", flush=True)
    try:
        socket.recv()
    except ConnectionClosed as why:
        print("closed with", why.rcvd.code, flush=True)
"#;

#[test]
fn at_a_stop_a_browser_is_told_that_the_service_restarts() {
    let mut forebay = Forebay::before(UVICORN.address());
    let page = TcpListener::bind("127.0.0.1:0").unwrap();
    page.set_nonblocking(true).unwrap();
    let address = page.local_addr().unwrap();
    let profile = Profile::fresh();
    let mut command = profile.browser(Process::command);
    command.args(["--remote-debugging-port=0", &format!("http://{address}/")]);
    let _browser = Process::start("chromium", command);
    let told = eventually("the browser says how its socket was closed", || {
        let (stream, _) = page.accept().ok()?;
        let path = serve(stream, &forebay.url("ws", "/socket/"));
        if path == "/open" {
            forebay.terminate();
        }
        path.strip_prefix("/closed/").map(str::to_owned)
    });
    assert_eq!(told, "1012/true", "the code, and whether it was clean");
    assert_eq!(forebay.wait().code(), Some(0));
}

/// Answers one request of the browser with a page that opens a socket and reports; returns the
/// path that was asked for.
fn serve(mut stream: TcpStream, socket: &str) -> String {
    stream.set_nonblocking(false).unwrap();
    // A browser opens connections on suspicion and says nothing on them.
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let lines: Vec<_> = BufReader::new(&stream)
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .collect();
    let page = format!(
        "<!doctype html><script>const socket = new WebSocket('{socket}');
         socket.onmessage = () => fetch('/open');
         socket.onclose = end => fetch(`/closed/${{end.code}}/${{end.wasClean}}`);</script>"
    );
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length";
    // Such a connection may be gone.
    drop(write!(stream, "{head}: {}\r\n\r\n{page}", page.len()));
    let line = lines.first().and_then(|line| line.split(' ').nth(1));
    line.unwrap_or_default().to_owned()
}

const TEXT: u8 = 0x81;
const CLOSE: u8 = 0x88;

/// The opening handshake, with the example key of RFC 6455 section 1.3.
fn opened(forebay: &Forebay) -> Wire {
    let mut wire = forebay.connect();
    let fields = "Connection: keep-alive, Upgrade
         Upgrade: websocket
         Sec-WebSocket-Version: 13
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    wire.send(&message(&over_tls("GET /socket/?room=1", "203.0.113.10:64769", fields)));
    let answer = wire.head();
    assert_eq!(answer.status, 101, "{answer:?}");
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    wire
}

/// Sends one frame, masked as a client must.
fn send(wire: &mut Wire, kind: u8, payload: &[u8]) {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![kind, 0x80 | 127];
    frame.extend((payload.len() as u64).to_be_bytes());
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    wire.send(&frame);
}

/// Receives one frame of a kind.
fn receive(wire: &mut Wire, kind: u8) -> Vec<u8> {
    let start = wire.bytes(2);
    assert_eq!(start[0], kind);
    let length = match start[1] {
        126 => usize::from(u16::from_be_bytes(wire.bytes(2).try_into().unwrap())),
        127 => usize::try_from(u64::from_be_bytes(wire.bytes(8).try_into().unwrap())).unwrap(),
        short => usize::from(short),
    };
    wire.bytes(length)
}
