//! A client that sends and receives raw bytes, with a deadline on everything.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::{PATIENCE, find, text};

/// A connection to forebay.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// Read and not yet handed out.
    held: Vec<u8>,
    /// How the connection ended, once it has.
    end: Option<End>,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// By a close after the last byte.
    Closed,
    /// By a reset, which may destroy bytes on their way.
    Reset,
    /// Not within the deadline.
    Open,
}

/// One answer.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    /// The status line.
    pub line: String,
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub fields: Vec<(String, String)>,
    /// The content without its framing.
    pub content: Vec<u8>,
    /// Fields behind chunked content.
    pub trailers: Vec<(String, String)>,
    /// Whether the content came to its end.
    pub is_whole: bool,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.content.get(..self.content.len().min(300)).unwrap_or_default();
        write!(f, "{} {:?} {:?} whole: {}", self.line, self.fields, text(start), self.is_whole)
    }
}

impl Answer {
    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The code, if forebay made the answer.
    pub(crate) fn code(&self) -> Option<&str> {
        self.field("x-forebay-error")
    }

    /// The content as text.
    pub(crate) fn text(&self) -> String {
        text(&self.content)
    }
}

impl Wire {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap()
    }

    /// Connects, if anybody listens.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, held: Vec::new(), end: None })
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends bytes; forebay may have ended the connection already.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Says that nothing more will be sent.
    pub(crate) fn end_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Changes how long a read may take.
    pub(crate) fn set_patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// The client's own address.
    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// A second handle, to send from another thread.
    pub(crate) fn sender(&self) -> TcpStream {
        self.stream.try_clone().unwrap()
    }

    /// Ends the connection with a reset, as some load balancers do.
    pub(crate) fn reset(self) {
        self.stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(self.stream).unwrap();
            stream.set_zero_linger().unwrap();
            drop(stream);
        });
    }

    /// One request on this connection and its answer.
    pub(crate) fn exchange(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Reads an answer to anything but HEAD.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if answer.status == 204 || answer.status == 304 || answer.status < 200 {
            answer.is_whole = true;
        } else if answer.field("transfer-encoding") == Some("chunked") {
            self.chunks(&mut answer);
        } else if let Some(length) = answer.field("content-length") {
            let length = length.parse().unwrap();
            answer.content = self.bytes(length);
            answer.is_whole = answer.content.len() == length;
        } else {
            answer.content = self.rest().0;
            answer.is_whole = self.end == Some(End::Closed);
        }
        answer
    }

    /// Reads a status line and a header section, final or interim.
    pub(crate) fn head(&mut self) -> Answer {
        let Some(head) = self.until(b"\r\n\r\n") else {
            panic!("no header section came, but {:?} and {:?}", text(&self.held), self.end);
        };
        let head = text(&head);
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let status = line.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_default();
        Answer { line, status, fields: lines.map(field).collect(), ..Answer::default() }
    }

    fn chunks(&mut self, answer: &mut Answer) {
        while let Some(line) = self.until(b"\r\n") {
            let line = text(&line);
            let Ok(size) = usize::from_str_radix(line.trim_end(), 16) else { return };
            if size == 0 {
                break;
            }
            answer.content.extend(self.bytes(size));
            if self.bytes(2) != b"\r\n" {
                return;
            }
        }
        while let Some(line) = self.until(b"\r\n") {
            if line == b"\r\n" {
                answer.is_whole = true;
                return;
            }
            answer.trailers.push(field(text(&line).trim_end()));
        }
    }

    /// So many bytes, or fewer at the end.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.held.len() < length && self.read_more() {}
        self.held.drain(..length.min(self.held.len())).collect()
    }

    fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(place) = find(&self.held, mark) {
                return Some(self.held.drain(..place + mark.len()).collect());
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// Everything until forebay ends the connection, and how it did.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        while self.read_more() {}
        (std::mem::take(&mut self.held), self.end.unwrap_or(End::Open))
    }

    fn read_more(&mut self) -> bool {
        if self.end.is_some_and(|end| end != End::Open) {
            return false;
        }
        let mut buffer = vec![0; 64 * 1024];
        self.end = match self.stream.read(&mut buffer) {
            Ok(0) => Some(End::Closed),
            Ok(count) => {
                self.held.extend_from_slice(&buffer[..count]);
                return true;
            }
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Some(End::Open)
            }
            Err(_) => Some(End::Reset),
        };
        false
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_ascii_lowercase(), value.trim().to_owned())
}
