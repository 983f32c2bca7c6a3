//! A client of HTTP/2 with prior knowledge, in raw frames (RFC 9113) and literal fields (RFC 7541).

use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::time::Duration;

use tokio::time::Instant;

use super::PATIENCE;
use super::wire::{End, Wire};

/// A connection of HTTP/2.
pub(crate) struct Http2 {
    wire: Wire,
    next_stream: u32,
    is_generous: bool,
}

/// One answer.
#[derive(Debug, Default)]
pub(crate) struct Answer2 {
    /// The status; nothing if the stream was reset or the connection ended.
    pub status: Option<u16>,
    /// The content.
    pub content: Vec<u8>,
    /// The error code of `RST_STREAM`, if it came.
    pub reset: Option<u32>,
    /// The error code of GOAWAY, if it came.
    pub goodbye: Option<u32>,
}

/// What every connection begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

impl Http2 {
    /// Sends the preface and empty settings.
    pub(crate) fn begin(wire: Wire) -> Self {
        Self::begin_with(wire, &[])
    }

    /// Sends the preface and these settings.
    pub(crate) fn begin_with(mut wire: Wire, settings: &[u8]) -> Self {
        wire.send(PREFACE);
        wire.send(frame(SETTINGS, 0, 0, settings));
        Self { wire, next_stream: 1, is_generous: true }
    }

    /// Sends bytes as they are; forebay may have ended the connection already.
    pub(crate) fn try_send_raw(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.try_send(bytes)
    }

    /// A second handle, to send from.
    pub(crate) fn sender(&self) -> TcpStream {
        self.wire.sender()
    }

    /// Waits until forebay obeys the settings.
    pub(crate) fn settle(&mut self) {
        let end = Instant::now() + PATIENCE;
        while self.read(end).is_some_and(|(kind, flags, ..)| kind != SETTINGS || flags & 1 == 0) {}
    }

    /// Counts streams that were opened by raw frames.
    pub(crate) fn skip_streams(&mut self, count: u32) {
        self.next_stream += 2 * count;
    }

    /// Reads without waiting; returns whether the connection has ended.
    pub(crate) fn read_what_is_there(&mut self) -> bool {
        self.wire.set_patience(Duration::from_millis(1));
        let (_, end) = self.wire.rest();
        self.wire.set_patience(PATIENCE);
        end != End::Open
    }

    /// Reads and answers nothing until forebay ends the connection; how it ended.
    pub(crate) fn ignore(&mut self) -> (Vec<u8>, End) {
        self.wire.rest()
    }

    /// Reads until forebay ends the connection; the error code of GOAWAY, and how it ended.
    pub(crate) fn last_words(&mut self) -> (Option<u32>, End) {
        let mut goodbye = None;
        let end = Instant::now() + PATIENCE;
        while let Some((kind, _, _, payload)) = self.read(end) {
            if kind == GOAWAY {
                goodbye = number(&payload, 4);
            }
        }
        (goodbye, self.wire.rest().1)
    }

    /// Reads until so many streams have ended; their answers by stream.
    pub(crate) fn answers(&mut self, count: usize) -> HashMap<u32, Answer2> {
        let (mut answers, mut ended) = (HashMap::<u32, Answer2>::new(), 0);
        let end = Instant::now() + PATIENCE;
        while ended < count {
            let Some((kind, flags, id, payload)) = self.read(end) else { break };
            let answer = answers.entry(id).or_default();
            match kind {
                HEADERS => answer.status = answer.status.or(status(&payload)),
                DATA => {
                    answer.content.extend_from_slice(&payload);
                    self.give_way(id, payload.len());
                }
                RST_STREAM => answer.reset = number(&payload, 0),
                _ => {}
            }
            let is_end = flags & END_STREAM != 0 && (kind == DATA || kind == HEADERS);
            ended += usize::from(is_end || kind == RST_STREAM);
        }
        answers.retain(|id, _| *id != 0);
        answers
    }

    /// `GET path` as a visitor asks.
    pub(crate) fn get(&mut self, path: &str) -> Answer2 {
        self.request(&get(path.as_bytes()), None)
    }

    /// Sends a request and reads its answer.
    pub(crate) fn request(&mut self, fields: &[(&[u8], &[u8])], content: Option<&[u8]>) -> Answer2 {
        let stream = self.send(fields, content);
        self.answer(stream)
    }

    /// Sends a request; returns its stream.
    pub(crate) fn send(&mut self, fields: &[(&[u8], &[u8])], content: Option<&[u8]>) -> u32 {
        let stream = self.send_head(fields, content.is_none());
        // No frame is larger than every receiver must take.
        let mut rest = content;
        while let Some(content) = rest {
            let (part, more) = content.split_at(content.len().min(16_384));
            rest = (!more.is_empty()).then_some(more);
            let flags = if rest.is_none() { END_STREAM } else { 0 };
            drop(self.wire.try_send(frame(DATA, flags, stream, part)));
        }
        stream
    }

    /// Sends a header section whose content does not come.
    pub(crate) fn begin_request(&mut self, fields: &[(&[u8], &[u8])]) -> u32 {
        self.send_head(fields, false)
    }

    /// From now on it allows no more content than the first window of 64 KiB.
    pub(crate) fn stop_giving_way(&mut self) {
        self.is_generous = false;
    }

    /// Takes a request back.
    pub(crate) fn cancel(&mut self, stream: u32) {
        self.wire.send(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }

    fn send_head(&mut self, fields: &[(&[u8], &[u8])], is_all: bool) -> u32 {
        let stream = self.next_stream;
        self.next_stream += 2;
        let block = block(fields);
        let ends = if is_all { END_STREAM } else { 0 };
        let mut rest = block.chunks(16_000).peekable();
        let mut kind = HEADERS;
        while let Some(part) = rest.next() {
            let last = if rest.peek().is_none() { END_HEADERS } else { 0 };
            let flags = if kind == HEADERS { ends | last } else { last };
            // forebay may have refused the connection already.
            drop(self.wire.try_send(frame(kind, flags, stream, part)));
            kind = CONTINUATION;
        }
        stream
    }

    /// Reads until the stream has ended.
    pub(crate) fn answer(&mut self, stream: u32) -> Answer2 {
        let mut answer = Answer2::default();
        let end = Instant::now() + PATIENCE;
        while let Some((kind, flags, id, payload)) = self.read(end) {
            match kind {
                HEADERS if id == stream && answer.status.is_none() => {
                    answer.status = status(&payload);
                }
                DATA if id == stream => {
                    answer.content.extend_from_slice(&payload);
                    self.give_way(id, payload.len());
                }
                RST_STREAM if id == stream => {
                    answer.reset = number(&payload, 0);
                    return answer;
                }
                GOAWAY => answer.goodbye = number(&payload, 4),
                _ => {}
            }
            if id == stream && flags & END_STREAM != 0 && (kind == DATA || kind == HEADERS) {
                return answer;
            }
        }
        answer
    }

    /// Reads until forebay ends the connection; whether it said goodbye, and how it ended.
    pub(crate) fn rest(&mut self) -> (bool, End) {
        let mut is_goodbye = false;
        let end = Instant::now() + PATIENCE;
        while let Some((kind, ..)) = self.read(end) {
            is_goodbye |= kind == GOAWAY;
        }
        (is_goodbye, self.wire.rest().1)
    }

    /// Allows as much content again as has come.
    fn give_way(&mut self, stream: u32, length: usize) {
        let Ok(length @ 1..) = u32::try_from(length) else { return };
        if !self.is_generous {
            return;
        }
        for id in [0, stream] {
            drop(self.wire.try_send(frame(WINDOW_UPDATE, 0, id, &length.to_be_bytes())));
        }
    }

    /// Reads one frame and answers what wants an answer; pings may keep coming for ever.
    fn read(&mut self, end: Instant) -> Option<(u8, u8, u32, Vec<u8>)> {
        if Instant::now() > end {
            return None;
        }
        let head = self.wire.bytes(9);
        if head.len() < 9 {
            return None;
        }
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let (kind, flags) = (head[3], head[4]);
        let id = number(&head, 5)? & 0x7fff_ffff;
        let payload = self.wire.bytes(length);
        if (kind == SETTINGS || kind == PING) && flags & 1 == 0 {
            let echo = if kind == PING { payload.as_slice() } else { &[] };
            drop(self.wire.try_send(frame(kind, 1, 0, echo)));
        }
        Some((kind, flags, id, payload))
    }
}

/// The fields of a visitor's POST.
pub(crate) fn post(path: &[u8]) -> Vec<(&'static [u8], &[u8])> {
    let mut fields = get(path);
    fields[0].1 = b"POST";
    fields
}

/// The fields of a visitor's GET.
pub(crate) fn get(path: &[u8]) -> Vec<(&'static [u8], &[u8])> {
    vec![
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", path),
        (b":authority", b"www.example.com"),
    ]
}

/// A header section.
pub(crate) fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        // RFC 7541 §6.2.2: literal, not indexed, new name.
        block.push(0);
        string(&mut block, name);
        string(&mut block, value);
    }
    block
}

/// One frame (RFC 9113 §4.1).
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// RFC 7541 §5.2, without Huffman coding.
pub(crate) fn string(block: &mut Vec<u8>, text: &[u8]) {
    if let Ok(length @ ..127) = u8::try_from(text.len()) {
        block.push(length);
    } else {
        block.push(127);
        let mut left = text.len() - 127;
        while left >= 128 {
            block.push(u8::try_from(left % 128).unwrap() | 128);
            left /= 128;
        }
        block.push(u8::try_from(left).unwrap());
    }
    block.extend(text);
}

fn number(bytes: &[u8], place: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(place..place + 4)?.try_into().ok()?))
}

/// The status at the start of a block of fields: `:status` comes first.
fn status(block: &[u8]) -> Option<u16> {
    match *block {
        // RFC 7541, appendix A.
        [indexed @ 0x88..=0x8e, ..] => {
            [200, 204, 206, 304, 400, 404, 500].get(usize::from(indexed - 0x88)).copied()
        }
        // A literal of the name `:status`, Huffman-coded or not, indexed or not.
        [0x48..=0x4e | 0x08, length, ..] => {
            let text = block.get(2..2 + usize::from(length & 0x7f))?;
            if length & 0x80 == 0 {
                return std::str::from_utf8(text).ok()?.parse().ok();
            }
            Some(digits(text))
        }
        _ => None,
    }
}

/// Three digits in the Huffman code of RFC 7541, appendix B: 0 to 2 have five bits, others six.
fn digits(bytes: &[u8]) -> u16 {
    let bits = bytes.iter().fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
    let mut left = bytes.len() * 8;
    let mut value = 0;
    for _ in 0..3 {
        let five = u16::try_from(bits >> left.saturating_sub(5) & 31).unwrap();
        let digit = if five < 3 {
            left = left.saturating_sub(5);
            five
        } else {
            left = left.saturating_sub(6);
            u16::try_from(bits >> left & 63).unwrap().saturating_sub(0x19) + 3
        };
        value = value * 10 + digit;
    }
    value
}
