//! Reads chunked content (RFC 9112 §7.1) from the application.
//!
//! Owns: the chunk decoder (pure).
//! Must not know: sockets.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Where the reading of chunked content stands.
#[derive(Debug)]
pub(super) struct Chunks {
    place: Place,
    trailers: HeaderMap,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    End,
}

/// What came next.
#[derive(Debug)]
pub(super) enum Piece {
    /// Content.
    Data(Bytes),
    /// Fields behind the content; the content is complete.
    Trailers(HeaderMap),
    /// The content is complete.
    End,
    /// More bytes are needed.
    Incomplete,
}

/// The content is not chunked as RFC 9112 §7.1 says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the chunked content is malformed")]
pub(super) struct BadChunks;

/// A size line or a trailer longer than this is refused.
const LINE_LIMIT: usize = 8 * 1024;

impl Chunks {
    /// Begins before the first chunk.
    pub(super) fn new() -> Self {
        Self { place: Place::Size, trailers: HeaderMap::new() }
    }

    /// Takes the next piece off `buffer`.
    ///
    /// # Errors
    ///
    /// [`BadChunks`]: the connection cannot be used any more.
    pub(super) fn next(&mut self, buffer: &mut BytesMut) -> Result<Piece, BadChunks> {
        loop {
            match self.place {
                Place::Size => {
                    let Some(line) = take_line(buffer)? else { return Ok(Piece::Incomplete) };
                    let size = read_size(&line)?;
                    self.place = if size == 0 { Place::Trailers } else { Place::Data(size) };
                }
                Place::Data(_) if buffer.is_empty() => return Ok(Piece::Incomplete),
                Place::Data(left) => {
                    let step = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let left = left - step as u64;
                    self.place = if left == 0 { Place::DataEnd } else { Place::Data(left) };
                    return Ok(Piece::Data(buffer.split_to(step).freeze()));
                }
                Place::DataEnd => {
                    if buffer.len() < 2 {
                        return Ok(Piece::Incomplete);
                    }
                    if !buffer.starts_with(b"\r\n") {
                        return Err(BadChunks);
                    }
                    buffer.advance(2);
                    self.place = Place::Size;
                }
                Place::Trailers => {
                    let Some(line) = take_line(buffer)? else { return Ok(Piece::Incomplete) };
                    if line.is_empty() {
                        self.place = Place::End;
                        let trailers = std::mem::take(&mut self.trailers);
                        let is_empty = trailers.is_empty();
                        return Ok(if is_empty { Piece::End } else { Piece::Trailers(trailers) });
                    }
                    self.add_trailer(&line)?;
                }
                Place::End => return Ok(Piece::End),
            }
        }
    }

    fn add_trailer(&mut self, line: &[u8]) -> Result<(), BadChunks> {
        let colon = memchr::memchr(b':', line).ok_or(BadChunks)?;
        let (name, value) = line.split_at_checked(colon).ok_or(BadChunks)?;
        let name = HeaderName::from_bytes(name).map_err(|_| BadChunks)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let value = HeaderValue::from_bytes(value).map_err(|_| BadChunks)?;
        if self.trailers.len() >= 32 {
            return Err(BadChunks);
        }
        self.trailers.append(name, value);
        Ok(())
    }
}

/// Takes a line off `buffer`, without its end.
fn take_line(buffer: &mut BytesMut) -> Result<Option<BytesMut>, BadChunks> {
    let Some(end) = memchr::memchr(b'\n', buffer) else {
        return if buffer.len() > LINE_LIMIT { Err(BadChunks) } else { Ok(None) };
    };
    let mut line = buffer.split_to(end + 1);
    if end > LINE_LIMIT || !line.ends_with(b"\r\n") {
        return Err(BadChunks);
    }
    line.truncate(end - 1);
    Ok(Some(line))
}

fn read_size(line: &[u8]) -> Result<u64, BadChunks> {
    let end = memchr::memchr(b';', line).unwrap_or(line.len());
    let digits = line.get(..end).unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || digits.len() > 15 {
        return Err(BadChunks);
    }
    digits.iter().try_fold(0, |size, &digit| {
        char::from(digit).to_digit(16).map(|digit| size * 16 + u64::from(digit)).ok_or(BadChunks)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads `text` in steps of `step` bytes: the content, the trailers' names, whether it ended.
    fn read(text: &[u8], step: usize) -> Result<(Vec<u8>, Vec<String>, bool), BadChunks> {
        let (mut chunks, mut buffer) = (Chunks::new(), BytesMut::new());
        let (mut data, mut names) = (Vec::new(), Vec::new());
        for part in text.chunks(step.max(1)) {
            buffer.extend_from_slice(part);
            loop {
                match chunks.next(&mut buffer)? {
                    Piece::Data(bytes) => data.extend_from_slice(&bytes),
                    Piece::Trailers(fields) => {
                        names = fields.keys().map(|name| name.to_string()).collect();
                        return Ok((data, names, true));
                    }
                    Piece::End => return Ok((data, names, true)),
                    Piece::Incomplete => break,
                }
            }
        }
        Ok((data, names, false))
    }

    #[test]
    fn content_and_trailers_are_read_however_they_are_cut() {
        let text = b"5\r\nhello\r\n6;ext=\"x\"\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n";
        for step in 1..text.len() {
            let expected = (b"hello world".to_vec(), vec!["x-sum".to_owned()], true);
            assert_eq!(read(text, step), Ok(expected));
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for text in
            ["x\r\n", "\r\n", "5\nhello", "5\r\nhelloX\r\n", "ffffffffffffffff\r\n", "0\r\nx\r\n"]
        {
            assert_eq!(read(text.as_bytes(), 100), Err(BadChunks), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, step in 1_usize..20) {
            drop(read(&bytes, step));
        }
    }
}
