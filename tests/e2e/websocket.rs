//! A WebSocket through forebay to uvicorn.

use serde_json::Value;

use crate::support::forebay::Forebay;
use crate::support::front_end::over_tls;
use crate::support::site::UVICORN;
use crate::support::wire::{Wire, message};

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
