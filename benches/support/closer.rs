//! An application that closes every second use of a connection without a word.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::{Failure, Tried as _};

/// What it has done with a request whose connection it closes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Manner {
    /// Nothing, not even read it: as one whose keep-alive has just run out.
    Unread,
    /// Nothing, but it had read it.
    Unprocessed,
    /// All its work: then the worker died.
    Processed,
}

/// The application, running as long as this program.
#[derive(Debug)]
pub(crate) struct Closer {
    pub(crate) port: u16,
    counts: Counts,
}

type Counts = Arc<Mutex<HashMap<String, usize>>>;

impl Closer {
    /// Starts it, a thread per connection.
    pub(crate) fn start(manner: Manner) -> Result<Self, Failure> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).tried("listen as the application")?;
        let port = listener.local_addr().tried("know the application's port")?.port();
        let counts = Counts::default();
        let shared = Arc::clone(&counts);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counts = Arc::clone(&shared);
                // A connection that breaks has ended; whoever broke it tells.
                thread::spawn(move || drop(serve(stream, manner, &counts)));
            }
        });
        Ok(Self { port, counts })
    }

    /// How often each request was processed, by its method and number.
    pub(crate) fn counts(&self) -> HashMap<String, usize> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn serve(mut stream: TcpStream, manner: Manner, counts: &Counts) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut is_second = false;
    loop {
        if is_second && manner == Manner::Unread {
            // Ends when something has come.
            stream.peek(&mut [0])?;
            return Ok(());
        }
        let Some((method, path, length)) = read_request(&mut stream)? else { return Ok(()) };
        let note = path.strip_prefix("/note/").map(|rest| rest.trim_end_matches('/').to_owned());
        // What is not counted, such as a question for health, does not change a connection's turn.
        let closes = is_second && note.is_some();
        if let Some(number) = &note
            && !(closes && manner == Manner::Unprocessed)
        {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(format!("{method} {number}")).or_default() += 1;
        }
        if closes {
            return Ok(());
        }
        is_second |= note.is_some();
        let content = format!("{method} {} {length}\n", note.unwrap_or_default());
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length";
        stream.write_all(format!("{head}: {}\r\n\r\n{content}", content.len()).as_bytes())?;
    }
}

/// Reads a request with its content, and gives method, path and length.
fn read_request(stream: &mut TcpStream) -> std::io::Result<Option<(String, String, usize)>> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
            let field = |line: &str| {
                let (name, value) = line.split_once(':')?;
                let is_length = name.eq_ignore_ascii_case("content-length");
                is_length.then(|| value.trim().parse::<usize>().ok()).flatten()
            };
            let length = head.lines().find_map(field).unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let mut words = head.split(' ').map(str::to_owned);
                return Ok(words
                    .next()
                    .zip(words.next())
                    .map(|(method, path)| (method, path, length)));
            }
        }
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(None);
        }
        bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    }
}
