//! Where the frames of a WebSocket end (RFC 6455 §5.2).
//!
//! Owns: the header of the present frame, the bytes that are left of it, the form of a Close frame.
//! Must not know: sockets, what a message says, whether a peer keeps the other rules.

/// Who sends the frames that are looked at: only a client's are masked (RFC 6455 §5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sender {
    /// Each frame is masked.
    Client,
    /// No frame is.
    Application,
}

/// Follows one direction of a WebSocket. It keeps a header of at most ten bytes and a count, never
/// content, so that a frame may be larger than memory.
#[derive(Debug)]
pub struct Frames {
    sender: Sender,
    header: [u8; LONGEST],
    /// How much of the header is known.
    known: usize,
    /// Bytes of the present frame, behind the header, that are still to come.
    left: u64,
    has_close: bool,
    is_broken: bool,
}

impl Frames {
    /// Begins before the first frame.
    pub fn new(sender: Sender) -> Self {
        Self { sender, header: [0; LONGEST], known: 0, left: 0, has_close: false, is_broken: false }
    }

    /// Takes note of `bytes` up to the end of the present frame; returns how many these are: fewer
    /// than there are only at a boundary.
    pub fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut passed = 0;
        while self.left == 0 && !self.is_broken {
            let Some(byte) = bytes.get(passed) else { return passed };
            passed += 1;
            let Some(place) = self.header.get_mut(self.known) else { return passed };
            *place = *byte;
            self.known += 1;
            if self.known == header_length(self.header) {
                self.begin_content();
                if self.is_at_boundary() {
                    return passed;
                }
            }
        }
        let rest = bytes.len() - passed;
        if self.is_broken {
            return bytes.len();
        }
        let content = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
        self.left -= content as u64;
        passed + content
    }

    /// Takes note of all `bytes`, however many frames they are.
    pub fn pass_all(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let passed = self.pass(bytes);
            bytes = bytes.get(passed..).unwrap_or_default();
        }
    }

    /// Whether the next byte begins a frame: only there may another frame be put in. It may stand
    /// between the parts of a message, since a Close frame is a control frame (RFC 6455 §5.4).
    pub fn is_at_boundary(&self) -> bool {
        self.left == 0 && self.known == 0 && !self.is_broken
    }

    /// Whether a Close frame has begun: nothing may follow it (RFC 6455 §5.5.1).
    pub fn has_close(&self) -> bool {
        self.has_close
    }

    /// Whether these are no frames of a WebSocket: then there is no boundary any more.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// The header is complete.
    fn begin_content(&mut self) {
        let [kind, size, ..] = self.header;
        let is_masked = size & MASKED != 0;
        let is_final = kind & FINAL != 0;
        let (opcode, short) = (kind & OPCODE, size & !MASKED);
        let length = match short {
            TWO_MORE => u64::from(u16::from_be_bytes([self.header[2], self.header[3]])),
            EIGHT_MORE => {
                let [_, _, length @ ..] = self.header;
                u64::from_be_bytes(length)
            }
            short => u64::from(short),
        };
        let is_control = opcode & CONTROL != 0;
        self.is_broken = is_masked != (self.sender == Sender::Client)
            || length > LARGEST
            || (is_control && (short >= TWO_MORE || !is_final));
        self.has_close |= opcode == CLOSE && !self.is_broken;
        self.known = 0;
        // The masking key is no part of the payload's length.
        self.left = if is_masked { length.saturating_add(4) } else { length };
    }
}

/// A Close frame with a status code (RFC 6455 §5.5.1), masked with `key` towards an application.
pub fn close(code: u16, key: Option<[u8; 4]>) -> Vec<u8> {
    let [high, low] = code.to_be_bytes();
    match key {
        None => vec![FINAL | CLOSE, 2, high, low],
        Some([a, b, c, d]) => vec![FINAL | CLOSE, MASKED | 2, a, b, c, d, high ^ a, low ^ b],
    }
}

/// How long a header is, without the masking key; its second byte says so.
fn header_length(header: [u8; LONGEST]) -> usize {
    let [_, size, ..] = header;
    match size & !MASKED {
        TWO_MORE => 4,
        EIGHT_MORE => LONGEST,
        _ => 2,
    }
}

/// The longest header without its masking key.
const LONGEST: usize = 10;

/// The most that a length may say (RFC 6455 §5.2: the most significant bit is 0).
const LARGEST: u64 = u64::MAX >> 1;

const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CONTROL: u8 = 0x08;
const CLOSE: u8 = 0x08;
const MASKED: u8 = 0x80;
const TWO_MORE: u8 = 126;
const EIGHT_MORE: u8 = 127;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame, its length written in the shortest form or in a longer one.
    fn frame(kind: u8, is_masked: bool, payload: &[u8], form: usize) -> Vec<u8> {
        let mask = if is_masked { MASKED } else { 0 };
        let length = payload.len();
        let mut bytes = vec![kind];
        match (form, u8::try_from(length), u16::try_from(length)) {
            (0, Ok(short @ ..126), _) => bytes.push(mask | short),
            (0 | 1, _, Ok(middle)) => {
                bytes.push(mask | TWO_MORE);
                bytes.extend(middle.to_be_bytes());
            }
            _ => {
                bytes.push(mask | EIGHT_MORE);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        if is_masked {
            bytes.extend([1, 2, 3, 4]);
        }
        bytes.extend(payload);
        bytes
    }

    /// The places in `bytes` where a frame ends, seen when they come in pieces of these sizes.
    fn boundaries(sender: Sender, bytes: &[u8], sizes: &[usize]) -> Vec<usize> {
        let (mut frames, mut places, mut place) = (Frames::new(sender), Vec::new(), 0);
        let mut sizes = sizes.iter().copied().cycle();
        while place < bytes.len() {
            let end = (place + sizes.next().unwrap()).min(bytes.len());
            while place < end {
                let passed = frames.pass(&bytes[place..end]);
                assert!(passed > 0);
                place += passed;
                assert!(place == end || frames.is_at_boundary());
                if frames.is_at_boundary() {
                    places.push(place);
                }
            }
        }
        places
    }

    /// Frames of this kind, length and form of length, cut into pieces of these sizes.
    fn check_cuts(is_client: bool, parts: &[(u8, usize, usize)], sizes: &[usize]) {
        let sender = if is_client { Sender::Client } else { Sender::Application };
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for &(kind, length, form) in parts {
            // A control frame is final and short, and its length has one form.
            let is_control = kind & CONTROL != 0;
            let (kind, length, form) =
                if is_control { (kind | FINAL, length % 126, 0) } else { (kind, length, form) };
            bytes.extend(frame(kind, is_client, &vec![0xff; length], form));
            ends.push(bytes.len());
        }
        assert_eq!(boundaries(sender, &bytes, sizes), ends);
        assert_eq!(boundaries(sender, &bytes, &[bytes.len()]), ends);
        if bytes.len() < 5000 {
            assert_eq!(boundaries(sender, &bytes, &[1]), ends);
        }
    }

    #[test]
    fn an_empty_frame_of_a_client_has_its_boundary_behind_the_mask() {
        check_cuts(true, &[(0, 0, 0)], &[1]);
    }

    proptest! {
        #[test]
        fn any_cut_of_any_frames_gives_the_same_boundaries(
            is_client: bool,
            parts in prop::collection::vec((any::<u8>(), 0..70_000_usize, 0..3_usize), 1..6),
            sizes in prop::collection::vec(1..5000_usize, 1..20),
        ) {
            check_cuts(is_client, &parts, &sizes);
        }

        #[test]
        fn nothing_that_comes_makes_it_panic_or_stop(
            is_client: bool,
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            sizes in prop::collection::vec(1..20_usize, 1..9),
        ) {
            let sender = if is_client { Sender::Client } else { Sender::Application };
            let cut = boundaries(sender, &bytes, &sizes);
            prop_assert_eq!(cut, boundaries(sender, &bytes, &[1]));
        }
    }

    #[test]
    fn a_frame_of_the_largest_size_has_no_end_in_sight() {
        let mut frames = Frames::new(Sender::Client);
        frames.pass_all(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]);
        frames.pass_all(&[0; 1000]);
        assert!(!frames.is_at_boundary() && !frames.is_broken());
        assert_eq!(frames.left, LARGEST - 1000);
    }

    #[test]
    fn a_close_frame_is_seen_and_other_frames_are_not() {
        for kind in [0x81, 0x82, 0x80, 0x01, 0x89, 0x8a] {
            let mut frames = Frames::new(Sender::Application);
            frames.pass_all(&[kind, 2, CLOSE, CLOSE]);
            assert!(frames.is_at_boundary() && !frames.has_close(), "{kind:x}");
        }
        for (sender, key) in [(Sender::Application, None), (Sender::Client, Some([9, 8, 7, 6]))] {
            let mut frames = Frames::new(sender);
            frames.pass_all(&close(1012, key));
            assert!(frames.has_close() && frames.is_at_boundary());
        }
    }

    #[test]
    fn a_close_frame_is_written_as_the_rfc_says() {
        assert_eq!(close(1012, None), [0x88, 2, 0x03, 0xf4]);
        let masked = close(1001, Some([0x37, 0xfa, 0x21, 0x3d]));
        assert_eq!(masked, [0x88, 0x82, 0x37, 0xfa, 0x21, 0x3d, 0x03 ^ 0x37, 0xe9 ^ 0xfa]);
    }

    #[test]
    fn what_no_websocket_sends_has_no_boundary_any_more() {
        for (sender, bytes) in [
            (Sender::Application, &[0x81, 0x82, 1, 2, 3, 4, 5, 6][..]),
            (Sender::Client, &[0x81, 2, 1, 2]),
            (Sender::Application, &[0x88, 126, 0, 2, 3, 0xe8]),
            (Sender::Application, &[0x08, 2, 3, 0xe8]),
            (Sender::Application, &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            let mut frames = Frames::new(sender);
            frames.pass_all(bytes);
            assert!(frames.is_broken() && !frames.is_at_boundary(), "{bytes:x?}");
            assert!(!frames.has_close());
        }
    }
}
