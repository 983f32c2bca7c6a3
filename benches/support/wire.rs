//! A request as App Service's front end sends it, and answers.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use super::{DEADLINE, Failure, Tried as _};

/// The request, byte for byte.
pub(crate) fn request(path: &str) -> Vec<u8> {
    let text = include_str!("request.http").replace("@PATH@", path).replace('\n', "\r\n");
    format!("{text}\r\n").into_bytes()
}

/// An answer with content of known length.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status_line: String,
    /// In order, with lower-case names.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) content: Vec<u8>,
    /// The size of its header section.
    pub(crate) head_bytes: usize,
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
    let mut piece = [0; 4096];
    loop {
        if let Some(answer) = parse(&bytes)? {
            return Ok(answer);
        }
        let count = stream.read(&mut piece).tried("read an answer")?;
        if count == 0 {
            return Err(Failure::new("a connection ended before its answer"));
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}

/// Splits an answer that is complete.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, Failure> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let (head, content) = bytes.split_at(end + 4);
    let head = str::from_utf8(head).tried("read an answer as text")?;
    let mut lines = head.trim_end().lines();
    let status_line = lines.next().unwrap_or_default().to_owned();
    let fields = fields(lines);
    let length = fields
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, length)| length.parse::<usize>().ok())
        .ok_or_else(|| Failure::new(format!("an answer without a length: {status_line}")))?;
    if content.len() < length {
        return Ok(None);
    }
    let head_bytes = head.len();
    Ok(Some(Answer { status_line, fields, content: content.to_vec(), head_bytes }))
}

/// Field lines as names, in lower case, and values.
pub(crate) fn fields<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<(String, String)> {
    lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}
