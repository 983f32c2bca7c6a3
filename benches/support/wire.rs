//! A request as App Service's front end sends it, and answers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::{DEADLINE, Failure, Tried as _};

/// The request, byte for byte.
pub(crate) fn request(path: &str) -> Vec<u8> {
    let text = include_str!("request.http").replace("@PATH@", path).replace('\n', "\r\n");
    format!("{text}\r\n").into_bytes()
}

/// The same with content, byte for byte.
pub(crate) fn post(path: &str, content: &[u8]) -> Vec<u8> {
    let text = include_str!("request.http").replace("@PATH@", path).replace('\n', "\r\n");
    let text = text.replacen("GET ", "POST ", 1);
    let length = content.len();
    let fields =
        format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n");
    let mut bytes = format!("{text}{fields}\r\n").into_bytes();
    bytes.extend_from_slice(content);
    bytes
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status_line: String,
    /// In order, with lower-case names.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) content: Vec<u8>,
    /// The size of its header section.
    pub(crate) head_bytes: usize,
}

impl Answer {
    /// The value of a field, by its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A connection to a port of this machine.
pub(crate) fn connect(port: u16) -> std::io::Result<TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request and reads its answer.
pub(crate) fn exchange(stream: &mut TcpStream, request: &[u8]) -> Result<Answer, Failure> {
    stream.write_all(request).tried("send a request")?;
    read(stream)
}

/// Reads one answer.
pub(crate) fn read(stream: &mut TcpStream) -> Result<Answer, Failure> {
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    let mut missing = Missing::Bytes(0);
    loop {
        // Only once it may be whole: a large answer comes in very many pieces.
        if missing.may_be_there(&bytes) {
            match parse(&bytes)? {
                Ok(answer) => return Ok(answer),
                Err(more) => missing = more,
            }
        }
        let count = stream.read(&mut piece).tried("read an answer")?;
        if count == 0 {
            return Err(Failure::new("a connection ended before its answer"));
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

/// What an answer lacks.
#[derive(Clone, Copy, Debug)]
enum Missing {
    /// It is whole when there are so many bytes; more than that may be needed to know.
    Bytes(usize),
    LastChunk,
}

impl Missing {
    fn may_be_there(self, bytes: &[u8]) -> bool {
        match self {
            Self::Bytes(count) => bytes.len() >= count,
            Self::LastChunk => bytes.ends_with(b"0\r\n\r\n"),
        }
    }
}

/// Splits an answer, or says what it lacks.
fn parse(bytes: &[u8]) -> Result<Result<Answer, Missing>, Failure> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(Err(Missing::Bytes(0)));
    };
    let (head, rest) = bytes.split_at(end + 4);
    let head = str::from_utf8(head).tried("read an answer as text")?;
    let mut lines = head.trim_end().lines();
    let status_line = lines.next().unwrap_or_default().to_owned();
    let fields = fields(lines);
    let head_bytes = head.len();
    let mut answer = Answer { status_line, fields, content: Vec::new(), head_bytes };
    let (content, missing) = if answer.status_line.contains(" 304 ") {
        // RFC 9110 §15.4.5: it may tell the length that another answer would have.
        (Some(Vec::new()), Missing::Bytes(0))
    } else if answer.field("transfer-encoding") == Some("chunked") {
        (chunks(rest)?, Missing::LastChunk)
    } else {
        let length = answer.field("content-length").and_then(|length| length.parse().ok());
        let unknown = || format!("an answer without a length: {}", answer.status_line);
        let length: usize = length.ok_or_else(|| Failure::new(unknown()))?;
        (rest.get(..length).map(<[u8]>::to_vec), Missing::Bytes(head_bytes + length))
    };
    Ok(content.ok_or(missing).map(|content| {
        answer.content = content;
        answer
    }))
}

/// Joins the chunks of content that is complete.
fn chunks(mut rest: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    let mut content = Vec::new();
    while let Some(end) = memchr::memmem::find(rest, b"\r\n") {
        let (line, behind) = rest.split_at(end);
        let line = str::from_utf8(line).tried("read the size of a chunk")?;
        let size = usize::from_str_radix(line, 16).tried("read the size of a chunk")?;
        // Behind the size and behind the chunk a line ends.
        let Some(chunk) = behind.get(2..size + 4) else { return Ok(None) };
        let chunk = chunk.get(..size).unwrap_or_default();
        if chunk.is_empty() {
            return Ok(Some(content));
        }
        content.extend_from_slice(chunk);
        rest = behind.get(size + 4..).unwrap_or_default();
    }
    Ok(None)
}

/// Field lines as names, in lower case, and values.
pub(crate) fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}
