//! Decides, byte by byte, whether a request may reach the parser, and where it ends.
//!
//! Owns: the strict grammar of decision 7, the limits of a header section, the framing.
//! Must not know: sockets, clocks, what a field means to anyone but the framing.
//!
//! [`plain`](crate::proxy::plain) or hyper reads the same bytes afterwards. This pass only refuses:
//! what it lets through has one reading, in which all three agree (a property test and a fuzz target
//! hold them to it).

use super::Refusal;
use super::grammar::{Field, RequestLine, decimal, split_field, split_request_line};
use crate::proxy::fields::{Known, has_control};

/// How large a header section may be. Every number is the most that is allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The request line and all fields together, in bytes.
    pub header_bytes: usize,
    /// Number of fields.
    pub header_count: usize,
    /// One field line, name and value, in bytes without its line end.
    pub field_bytes: usize,
    /// The request line, in bytes without its line end.
    pub request_line_bytes: usize,
}

/// Where the reading of one connection stands.
#[derive(Debug)]
pub struct Framing {
    limits: Limits,
    place: Place,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    head: Head,
}

/// What the next byte belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    /// Before a request line.
    Boundary,
    /// In the request line or the fields.
    Head,
    /// In content of known length, with so many bytes to come.
    Sized(u64),
    /// In the line that gives a chunk's size.
    ChunkSize,
    /// In a chunk's bytes and the line end behind them.
    Chunk(u64),
    /// In the trailer section.
    Trailers,
}

/// What has been seen of the present header section, as far as the framing needs it.
#[derive(Clone, Copy, Debug, Default)]
struct Head {
    bytes: usize,
    fields: usize,
    blank_lines: usize,
    is_http_1_0: bool,
    hosts: usize,
    length: Option<u64>,
    is_chunked: bool,
    /// Bytes of chunk extensions in the content.
    extensions: usize,
}

/// What the framing needs to know of a sound header section, and its request line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sound<'a> {
    /// The request line.
    pub line: RequestLine<'a>,
    /// Bytes of content; nothing where it comes in chunks.
    pub length: Option<u64>,
}

/// The result of one scan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Scanned {
    /// So many of the bytes belong to the present request; the rest is the next one's.
    pub taken: usize,
    /// Whether the request is complete.
    pub is_complete: bool,
}

impl Framing {
    /// Begins before the first request of a connection.
    pub fn new(limits: Limits) -> Self {
        Self { limits, place: Place::Boundary, partial: Vec::new(), head: Head::default() }
    }

    /// Whether no request has begun.
    pub fn is_at_boundary(&self) -> bool {
        self.place == Place::Boundary && self.partial.is_empty()
    }

    /// The limits that it keeps.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether a header section has begun and is not complete.
    pub fn is_in_head(&self) -> bool {
        self.place == Place::Head || (self.place == Place::Boundary && !self.partial.is_empty())
    }

    /// Judges a whole header section by the rules of [`Framing::scan`], and gives `read` each field
    /// without the white space around its value.
    ///
    /// # Errors
    ///
    /// The [`Refusal`]; a section that does not begin with its request line, or does not end with its
    /// last byte, is refused too.
    pub fn judge<'a>(
        limits: Limits,
        section: &'a [u8],
        mut read: impl FnMut(Field<'a>),
    ) -> Result<Sound<'a>, Refusal> {
        let mut framing = Self::new(limits);
        let (text, mut rest) = framing.whole_line(section)?;
        let line = framing.request_line(text)?;
        loop {
            let (text, after) = framing.whole_line(rest)?;
            rest = after;
            match framing.field(text)? {
                Some(field) => read(Field { value: field.value.trim_ascii(), ..field }),
                None => break,
            }
        }
        framing.end_of_head()?;
        let length = match framing.place {
            Place::Sized(length) => Some(length),
            Place::ChunkSize => None,
            Place::Boundary | Place::Head | Place::Chunk(_) | Place::Trailers => Some(0),
        };
        if rest.is_empty() { Ok(Sound { line, length }) } else { Err(Refusal::BadRequestLine) }
    }

    /// Splits a line that has come to its end off the front, without its line end.
    fn whole_line<'a>(&self, bytes: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Refusal> {
        let end = memchr::memchr(b'\n', bytes).ok_or(Refusal::BareLineFeed)?;
        let (line, rest) = bytes.split_at_checked(end + 1).ok_or(Refusal::BareLineFeed)?;
        Ok((self.text(line)?, rest))
    }

    /// A line without its line end, if it is not too long and has a whole one.
    fn text<'a>(&self, line: &'a [u8]) -> Result<&'a [u8], Refusal> {
        // The same length is refused first that is refused while the line's end is missing.
        self.check_length(line.len().saturating_sub(1))?;
        line.strip_suffix(b"\r\n").ok_or(Refusal::BareLineFeed)
    }

    /// Reads on; stops behind the end of a request.
    ///
    /// # Errors
    ///
    /// The [`Refusal`] to answer with. The connection cannot be used any more.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<Scanned, Refusal> {
        let mut rest = bytes;
        loop {
            let is_complete = match self.place {
                Place::Sized(left) => self.skip(&mut rest, left, Place::Sized),
                Place::Chunk(left) => {
                    self.skip_chunk(&mut rest, left)?;
                    false
                }
                Place::Boundary | Place::Head | Place::ChunkSize | Place::Trailers => {
                    self.line(&mut rest)?
                }
            };
            if is_complete || rest.is_empty() {
                return Ok(Scanned { taken: bytes.len() - rest.len(), is_complete });
            }
        }
    }

    /// Passes over content; returns whether it is complete.
    fn skip(&mut self, rest: &mut &[u8], left: u64, place: fn(u64) -> Place) -> bool {
        let step = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        *rest = rest.get(step..).unwrap_or_default();
        let left = left - step as u64;
        self.place = if left == 0 { Place::Boundary } else { place(left) };
        left == 0
    }

    /// Passes over a chunk's bytes and checks the line end behind them.
    fn skip_chunk(&mut self, rest: &mut &[u8], left: u64) -> Result<(), Refusal> {
        // The last two of `left` are the line end.
        let mut left = left;
        if left > 2 {
            let step = usize::try_from(left - 2).unwrap_or(usize::MAX).min(rest.len());
            *rest = rest.get(step..).unwrap_or_default();
            left -= step as u64;
        }
        while left <= 2 && left > 0 {
            let Some((&byte, after)) = rest.split_first() else { break };
            if byte != if left == 2 { b'\r' } else { b'\n' } {
                return Err(Refusal::BadChunk);
            }
            *rest = after;
            left -= 1;
        }
        self.place = if left == 0 { Place::ChunkSize } else { Place::Chunk(left) };
        Ok(())
    }

    /// Takes one line, if it is complete; returns whether it completed the request.
    fn line(&mut self, rest: &mut &[u8]) -> Result<bool, Refusal> {
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.partial.extend_from_slice(rest);
            *rest = &[];
            self.check_length(self.partial.len())?;
            return Ok(false);
        };
        let (line, after) = rest.split_at(end + 1);
        *rest = after;
        if self.partial.is_empty() {
            return self.complete_line(line);
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(line);
        let result = self.complete_line(&whole);
        whole.clear();
        self.partial = whole;
        result
    }

    /// Refuses a line that is too long before all of it is here.
    fn check_length(&self, length: usize) -> Result<(), Refusal> {
        let (most, refusal) = match self.place {
            Place::Boundary => (self.limits.request_line_bytes, Refusal::RequestLineTooLong),
            Place::ChunkSize => (CHUNK_LINE_LIMIT, Refusal::BadChunk),
            Place::Head | Place::Trailers | Place::Sized(_) | Place::Chunk(_) => {
                (self.limits.field_bytes, Refusal::FieldTooLong)
            }
        };
        // A carriage return may be the last byte.
        if length > most + 1 { Err(refusal) } else { Ok(()) }
    }

    fn complete_line(&mut self, line: &[u8]) -> Result<bool, Refusal> {
        let text = self.text(line)?;
        match self.place {
            Place::Boundary => self.request_line_or_nothing(text).map(|()| false),
            Place::ChunkSize => self.chunk_size(text).map(|()| false),
            Place::Trailers => self.trailer(text),
            Place::Head | Place::Sized(_) | Place::Chunk(_) => self.field_line(text),
        }
    }

    fn request_line_or_nothing(&mut self, text: &[u8]) -> Result<(), Refusal> {
        if text.is_empty() {
            // RFC 9112 §2.2: a server ignores an empty line before a request. One, not a stream.
            self.head.blank_lines += 1;
            return if self.head.blank_lines > 1 { Err(Refusal::BadRequestLine) } else { Ok(()) };
        }
        self.request_line(text).map(|_| ())
    }

    fn request_line<'a>(&mut self, text: &'a [u8]) -> Result<RequestLine<'a>, Refusal> {
        if text.len() > self.limits.request_line_bytes {
            return Err(Refusal::RequestLineTooLong);
        }
        let line = split_request_line(text)?;
        let is_http_1_0 = line.is_http_1_0;
        self.head = Head { bytes: text.len() + 2, is_http_1_0, ..Head::default() };
        self.place = Place::Head;
        Ok(line)
    }

    /// Takes a field line or the end of the header section.
    fn field_line(&mut self, text: &[u8]) -> Result<bool, Refusal> {
        match self.field(text)? {
            Some(_) => Ok(false),
            None => self.end_of_head(),
        }
    }

    /// Takes a field line and splits it; nothing for the line that ends the section.
    fn field<'a>(&mut self, text: &'a [u8]) -> Result<Option<Field<'a>>, Refusal> {
        self.count(text)?;
        if text.is_empty() {
            return Ok(None);
        }
        let field = split_field(text)?;
        match field.known {
            Some(known) if known == HOST => {
                self.head.hosts += 1;
                if self.head.hosts > 1 {
                    return Err(Refusal::DuplicateHost);
                }
            }
            Some(known) if known == CONTENT_LENGTH => {
                if self.head.length.is_some() {
                    return Err(Refusal::DuplicateLength);
                }
                let length = decimal(field.value.trim_ascii()).ok_or(Refusal::BadLength)?;
                self.head.length = Some(length);
            }
            Some(known) if known == TRANSFER_ENCODING => {
                let coding = field.value.trim_ascii();
                if self.head.is_chunked || !coding.eq_ignore_ascii_case(b"chunked") {
                    return Err(Refusal::BadTransferEncoding);
                }
                self.head.is_chunked = true;
            }
            _ => {}
        }
        Ok(Some(field))
    }

    fn count(&mut self, text: &[u8]) -> Result<(), Refusal> {
        self.head.bytes += text.len() + 2;
        self.head.fields += usize::from(!text.is_empty());
        if text.len() > self.limits.field_bytes {
            return Err(Refusal::FieldTooLong);
        }
        if self.head.fields > self.limits.header_count {
            return Err(Refusal::TooManyFields);
        }
        if self.head.bytes > self.limits.header_bytes {
            return Err(Refusal::HeaderTooLarge);
        }
        Ok(())
    }

    /// Decides what follows the header section; returns whether nothing does.
    fn end_of_head(&mut self) -> Result<bool, Refusal> {
        let head = self.head;
        // RFC 9112 §3.2: no Host in HTTP/1.1 is an error.
        if head.hosts == 0 && !head.is_http_1_0 {
            return Err(Refusal::MissingHost);
        }
        if head.is_chunked && head.length.is_some() {
            return Err(Refusal::LengthAndTransferEncoding);
        }
        // RFC 9112 §6.1: Transfer-Encoding in HTTP/1.0 is faulty framing.
        if head.is_chunked && head.is_http_1_0 {
            return Err(Refusal::BadTransferEncoding);
        }
        self.head = Head::default();
        self.place = match (head.is_chunked, head.length) {
            (true, _) => Place::ChunkSize,
            (false, Some(length)) if length > 0 => Place::Sized(length),
            _ => Place::Boundary,
        };
        Ok(self.place == Place::Boundary)
    }

    fn chunk_size(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let end = memchr::memchr(b';', text).unwrap_or(text.len());
        let (digits, extension) = text.split_at_checked(end).ok_or(Refusal::BadChunk)?;
        self.head.extensions += extension.len();
        // Nobody needs more than 2^60 bytes in one chunk, and so nothing overflows.
        if digits.is_empty()
            || digits.len() > 15
            || has_control(extension)
            || self.head.extensions > BESIDE_CONTENT
        {
            return Err(Refusal::BadChunk);
        }
        let size = digits.iter().try_fold(0_u64, |size, &digit| {
            let value = char::from(digit).to_digit(16).ok_or(Refusal::BadChunk)?;
            Ok(size * 16 + u64::from(value))
        })?;
        self.place = if size == 0 { Place::Trailers } else { Place::Chunk(size + 2) };
        Ok(())
    }

    /// Takes a trailer or the end of the trailer section, which completes the request.
    fn trailer(&mut self, text: &[u8]) -> Result<bool, Refusal> {
        self.count(text)?;
        if self.head.bytes > BESIDE_CONTENT {
            return Err(Refusal::HeaderTooLarge);
        }
        if text.is_empty() {
            self.head = Head::default();
            self.place = Place::Boundary;
            return Ok(true);
        }
        split_field(text).map(|_| false)
    }
}

/// The most bytes of chunk extensions, and of trailers, in one request: what hyper allows, less one.
const BESIDE_CONTENT: usize = 16 * 1024 - 1;

/// The most bytes in a chunk's size line, its extension included: nobody sends extensions.
const CHUNK_LINE_LIMIT: usize = 256;

// The fields that say where a request ends.
const HOST: Known = Known::of("host");
const CONTENT_LENGTH: Known = Known::of("content-length");
const TRANSFER_ENCODING: Known = Known::of("transfer-encoding");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits =
        Limits { header_bytes: 1000, header_count: 10, field_bytes: 200, request_line_bytes: 100 };

    fn scan(text: &str) -> Result<Scanned, Refusal> {
        Framing::new(LIMITS).scan(text.as_bytes())
    }

    fn refusal(text: &str) -> Refusal {
        scan(text).expect_err(text)
    }

    #[test]
    fn a_request_ends_where_its_framing_says() {
        for (request, what) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "no content"),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "an empty line before"),
            ("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 needs no Host"),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "length zero"),
            ("POST / HTTP/1.1\r\nHost: a\r\ncontent-length:\t3 \r\n\r\nabc", "a length"),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", "empty"),
            (
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3;a=b\r\nab\n\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
                "chunks, an extension, a trailer",
            ),
        ] {
            let expected = Ok(Scanned { taken: request.len(), is_complete: true });
            assert_eq!(scan(request), expected, "{what}");
            let followed = format!("{request}GET /next");
            assert_eq!(scan(&followed), expected, "{what}, followed by another request");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let post = |fields: &str| refusal(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let te = "Transfer-Encoding: chunked\r\n";
        assert_eq!(post(&format!("Content-Length: 4\r\n{te}")), Refusal::LengthAndTransferEncoding);
        assert_eq!(post(&format!("{te}Content-Length: 4\r\n")), Refusal::LengthAndTransferEncoding);
        assert_eq!(post(&format!("{te}{te}")), Refusal::BadTransferEncoding);
        for coding in ["xchunked", "gzip, chunked", "chunked, identity", "identity", "\x0bchunked"]
        {
            let field = format!("Transfer-Encoding: {coding}\r\n");
            assert!(
                matches!(post(&field), Refusal::BadTransferEncoding | Refusal::BadField),
                "{coding}"
            );
        }
        assert_eq!(
            refusal("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Refusal::BadTransferEncoding
        );
        assert_eq!(post("Content-Length: 4\r\nContent-Length: 4\r\n"), Refusal::DuplicateLength);
        for length in ["+4", "-1", "4, 4", "0x4", "4 4", "", "9999999999999999999"] {
            assert_eq!(post(&format!("Content-Length: {length}\r\n")), Refusal::BadLength);
        }
        assert_eq!(post("Host: b\r\n"), Refusal::DuplicateHost);
        assert_eq!(refusal("GET / HTTP/1.1\r\n\r\n"), Refusal::MissingHost);
    }

    #[test]
    fn lines_and_fields_must_be_whole_and_clean() {
        for (request, expected) in [
            ("GET / HTTP/1.1\nHost: a\n\n", Refusal::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Refusal::BareLineFeed),
            ("GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n", Refusal::FoldedField),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Refusal::BadField),
            ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", Refusal::BadField),
            ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", Refusal::BadField),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", Refusal::BadField),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", Refusal::BadField),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadRequestLine),
            ("GET /\r\nHost: a\r\n\r\n", Refusal::BadRequestLine),
            (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadRequestLine),
            ("GET / HTTP/1.1 x\r\nHost: a\r\n\r\n", Refusal::BadRequestLine),
            ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refusal::BadRequestLine),
            ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadRequestLine),
            ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadRequestLine),
            ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadRequestLine),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadTarget),
            ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadTarget),
            ("GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::BadTarget),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refusal::BadVersion),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", Refusal::BadVersion),
        ] {
            assert_eq!(refusal(request), expected, "{request:?}");
        }
    }

    #[test]
    fn chunks_must_be_exact() {
        for chunks in [
            "3\r\nabcd\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "0x3\r\nabc\r\n",
            "3 \r\nabc\r\n",
            "fffffffffffffffff\r\n",
            "3;a\rb\r\nabc\r\n",
        ] {
            let request =
                format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
            assert!(
                matches!(refusal(&request), Refusal::BadChunk | Refusal::BareLineFeed),
                "{chunks:?}"
            );
        }
    }

    #[test]
    fn every_limit_holds_at_its_edge() {
        let request_line =
            |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 14));
        assert!(scan(&request_line(100)).is_ok());
        assert_eq!(refusal(&request_line(101)), Refusal::RequestLineTooLong);
        assert_eq!(refusal(&"x".repeat(102)), Refusal::RequestLineTooLong);

        let field = |length: usize| {
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length - 3))
        };
        assert!(scan(&field(200)).is_ok());
        assert_eq!(refusal(&field(201)), Refusal::FieldTooLong);

        let fields = |count: usize| {
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1))
        };
        assert!(scan(&fields(10)).is_ok());
        assert_eq!(refusal(&fields(11)), Refusal::TooManyFields);

        // Request line 16, Host 9, the end 2: 973 are left for fields of 202 bytes and one more.
        let total = |last: usize| {
            let long = format!("X: {}\r\n", "x".repeat(197)).repeat(4);
            format!("GET / HTTP/1.1\r\nHost: a\r\n{long}X: {}\r\n\r\n", "y".repeat(last - 5))
        };
        assert_eq!(total(165).len(), 1000);
        assert!(scan(&total(165)).is_ok());
        assert_eq!(refusal(&total(166)), Refusal::HeaderTooLarge);
    }

    proptest! {
        #[test]
        fn where_the_bytes_are_cut_does_not_matter(
            cut in 0_usize..160, other in 0_usize..160, junk in 0_usize..160, byte: u8,
        ) {
            let mut request = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
                X: y\r\n\r\n5\r\nhello\r\nb;x\r\nhello world\r\n0\r\nT: u\r\n\r\nGET / HTTP/1.1\r\n"
                .to_vec();
            if let Some(place) = request.get_mut(junk) {
                *place = byte;
            }
            let whole = Framing::new(LIMITS).scan(&request);
            let mut cuts = [cut.min(request.len()), other.min(request.len())];
            cuts.sort_unstable();
            let mut framing = Framing::new(LIMITS);
            let mut taken = 0;
            let mut result = Ok(false);
            for part in [&request[..cuts[0]], &request[cuts[0]..cuts[1]], &request[cuts[1]..]] {
                if result == Ok(false) && !part.is_empty() {
                    result = framing.scan(part).map(|scanned| {
                        taken += scanned.taken;
                        scanned.is_complete
                    });
                }
            }
            prop_assert_eq!(whole.map(|scanned| scanned.is_complete), result);
            if let Ok(scanned) = whole {
                prop_assert_eq!(scanned.taken, taken);
            }
        }
    }
}
