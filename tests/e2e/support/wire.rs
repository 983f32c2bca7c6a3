//! Raw bytes over a socket, so that a request is exactly what the platform sends.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::Value;

use super::DEADLINE;

/// A connection.
pub(crate) struct Wire(BufReader<Box<dyn Socket>>);

trait Socket: Read + Write + Send {}
impl Socket for TcpStream {}
impl Socket for UnixStream {}

impl Wire {
    /// Connects to `HOST:PORT` or `unix:/path`.
    pub(crate) fn connect(address: &str) -> io::Result<Self> {
        let socket: Box<dyn Socket> = if let Some(path) = address.strip_prefix("unix:") {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            Box::new(stream)
        } else {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            Box::new(stream)
        };
        Ok(Self(BufReader::new(socket)))
    }

    /// Sends a request without a body and reads the answer.
    pub(crate) fn exchange(&mut self, head: &str) -> Response {
        self.send(&message(head));
        self.response()
    }

    /// Sends a request with a body of known length.
    pub(crate) fn send_with_body(&mut self, head: &str, body: &[u8]) {
        self.send(&message(&format!("{head}\nContent-Length: {}", body.len())));
        self.send(body);
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Reads a response to a method other than HEAD.
    pub(crate) fn response(&mut self) -> Response {
        self.try_response().unwrap()
    }

    /// Sends bytes and reads the answer, where either may fail; the kind of the error is
    /// [`io::ErrorKind::Other`] when the answer had begun.
    pub(crate) fn try_exchange(&mut self, bytes: &[u8]) -> io::Result<Response> {
        // Whoever refuses content may answer before it has all: then the answer tells more.
        let sent = self.0.get_mut().write_all(bytes);
        self.try_response().map_err(|why| sent.err().unwrap_or(why))
    }

    fn try_response(&mut self) -> io::Result<Response> {
        let mut response = self.try_head()?;
        match self.try_content(&response) {
            Ok(content) => response.body = content,
            Err(why) => return Err(io::Error::other(format!("the answer broke off: {why}"))),
        }
        Ok(response)
    }

    fn try_content(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        if response.field("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.try_chunk()? {
                content.extend(chunk);
            }
        } else if let Some(length) = response.field("content-length") {
            content = self.try_bytes(length.parse().map_err(|_| invalid("a length"))?)?;
        } else if response.status != 204 && response.status != 304 {
            self.0.read_to_end(&mut content)?;
        }
        Ok(content)
    }

    /// Reads the status line and the header section of a final response or of a switch of protocol.
    pub(crate) fn head(&mut self) -> Response {
        self.try_head().unwrap()
    }

    fn try_head(&mut self) -> io::Result<Response> {
        loop {
            let status_line = self.try_line()?;
            let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status = status.ok_or_else(|| invalid("a status"))?;
            let mut fields = Vec::new();
            loop {
                let line = self.try_line()?;
                let Some((name, value)) = line.split_once(':') else { break };
                fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
            if status != 100 {
                return Ok(Response { status, fields, body: Vec::new() });
            }
        }
    }

    /// Reads one chunk; the last one is `None`.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        self.try_chunk().unwrap()
    }

    fn try_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = usize::from_str_radix(&self.try_line()?, 16);
        let chunk = self.try_bytes(size.map_err(|_| invalid("the size of a chunk"))?)?;
        if !self.try_line()?.is_empty() {
            return Err(invalid("what ends a chunk"));
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    /// Reads so many bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        self.try_bytes(length).unwrap()
    }

    fn try_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads what comes until the connection ends, in order or by a reset.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut bytes) {
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
        }
        bytes
    }

    fn try_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            let why = "the connection ended where a line was due";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

/// What should have come and did not.
fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not {what}"))
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The value of a field, by its name in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The value of a cookie that is set.
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.fields.iter().filter(|(known, _)| known == "set-cookie");
        cookies
            .filter_map(|(_, cookie)| cookie.split(';').next()?.split_once('='))
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A header section: the lines get their CRLF, leading blanks are layout, the empty line is added.
pub(crate) fn message(head: &str) -> Vec<u8> {
    let lines: Vec<&str> = head.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}
