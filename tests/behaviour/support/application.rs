//! A scripted application that keeps the exact bytes it got, per connection.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use super::{Watched, find, fresh_directory, text};

/// The plainest answer; its field tells it from forebay's own.
pub(crate) const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-From: application\r\n\r\nok";

/// An application that listens until it is dropped.
pub(crate) struct Application {
    address: String,
    world: Arc<World>,
}

struct World {
    kept: Watched<Kept>,
    /// What questions for readiness get; nothing is silence.
    readiness: Watched<Option<Vec<u8>>>,
    /// The only host that questions may have, as in `ALLOWED_HOSTS`; any if empty.
    allowed_host: Watched<String>,
    /// So many connections of visitors are yet to end unread.
    to_lose: Watched<usize>,
    script: Box<dyn Fn(&mut Visit) + Send + Sync>,
}

/// What it got so far.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    /// Connections of visitors, in the order of their first request.
    pub visits: Vec<Heard>,
    /// The header sections of forebay's own questions.
    pub questions: Vec<String>,
    /// By the number of their connection, in the order of accepting.
    sockets: BTreeMap<usize, Socket>,
    accepted: usize,
    is_stopped: bool,
}

/// One connection.
#[derive(Clone, Default)]
pub(crate) struct Heard {
    /// Every byte that was read.
    pub bytes: Vec<u8>,
    /// Whether forebay has ended it, in order or not, as far as the script has read.
    pub is_over: bool,
}

impl std::fmt::Debug for Heard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = self.bytes.get(..self.bytes.len().min(2000)).unwrap_or_default();
        write!(f, "{:?} (over: {})", text(start), self.is_over)
    }
}

impl Application {
    /// Answers every request with [`OK`].
    pub(crate) fn ok() -> Self {
        Self::answering(OK)
    }

    /// Answers every request with the same bytes; closes where they say so.
    pub(crate) fn answering(answer: impl AsRef<[u8]>) -> Self {
        let answer = answer.as_ref().to_vec();
        Self::playing(move |visit| visit.answer_all(&answer))
    }

    /// Plays `script` once for each connection of a visitor; then the connection is closed.
    pub(crate) fn playing(script: impl Fn(&mut Visit) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self::start(address, Listener::Tcp(listener), Box::new(script))
    }

    /// The same on a unix socket.
    pub(crate) fn on_unix(
        path: &Path,
        script: impl Fn(&mut Visit) + Send + Sync + 'static,
    ) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let address = format!("unix:{}", path.display());
        Self::start(address, Listener::Unix(listener, path.to_owned()), Box::new(script))
    }

    /// A path for a unix socket; nothing listens there yet.
    pub(crate) fn fresh_path() -> PathBuf {
        fresh_directory().join("app.sock")
    }

    fn start(
        address: String,
        listener: Listener,
        script: Box<dyn Fn(&mut Visit) + Send + Sync>,
    ) -> Self {
        let ready = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
        let readiness = Watched::new(Some(ready));
        let (kept, allowed_host, to_lose) = Default::default();
        let world = Arc::new(World { kept, readiness, allowed_host, to_lose, script });
        let accepting = Arc::clone(&world);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, world }
    }

    /// What `--upstream` takes.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What questions for readiness get from now on.
    pub(crate) fn set_readiness(&self, answer: Option<&str>) {
        let answer = answer.map(|text| text.as_bytes().to_vec());
        self.world.readiness.change(|readiness| *readiness = answer);
    }

    /// Questions with another host get 400 from now on.
    pub(crate) fn accept_only(&self, host: &str) {
        self.world.allowed_host.change(|allowed| host.clone_into(allowed));
    }

    /// The bytes of each visitor's connection so far.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        self.world.kept.look().visits.iter().map(|heard| heard.bytes.clone()).collect()
    }

    /// The same as text.
    pub(crate) fn heard_text(&self) -> Vec<String> {
        self.heard().iter().map(|bytes| text(bytes)).collect()
    }

    /// The header sections of the questions for readiness so far.
    pub(crate) fn questions(&self) -> Vec<String> {
        self.world.kept.look().questions.clone()
    }

    /// Waits until what it got shows something.
    pub(crate) fn wait_for<R>(&self, what: &str, wanted: impl FnMut(&Kept) -> Option<R>) -> R {
        self.world.kept.wait(what, wanted)
    }

    /// Waits until the visitor's connection of this number is over, as the script sees it.
    pub(crate) fn wait_for_end(&self, number: usize) -> Heard {
        self.wait_for("forebay ends the connection", |kept| {
            kept.visits.get(number).filter(|heard| heard.is_over).cloned()
        })
    }

    /// The next connections of visitors end unread when something has come; only over TCP.
    pub(crate) fn lose_next(&self, count: usize) {
        self.world.to_lose.change(|to_lose| *to_lose = count);
    }

    /// Stops listening and cuts every connection.
    pub(crate) fn stop(&self) {
        let sockets = self.world.kept.change(|kept| {
            kept.is_stopped = true;
            std::mem::take(&mut kept.sockets)
        });
        for socket in sockets.into_values() {
            drop(socket.shutdown());
        }
        // Wakes the accepting thread, which then drops the listener.
        match self.address.strip_prefix("unix:") {
            Some(path) => drop(UnixStream::connect(path)),
            None => drop(TcpStream::connect(&self.address)),
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stop();
    }
}

fn accept(listener: &Listener, world: &Arc<World>) {
    while let Ok(socket) = listener.accept() {
        let (is_stopped, accepted) = world.kept.change(|kept| {
            kept.accepted += 1;
            kept.sockets.extend(socket.try_clone().map(|socket| (kept.accepted, socket)));
            (kept.is_stopped, kept.accepted)
        });
        if is_stopped {
            return;
        }
        let world = Arc::clone(world);
        thread::spawn(move || serve(socket, accepted, &world));
    }
}

fn serve(socket: Socket, accepted: usize, world: &Arc<World>) {
    let mut visit = Visit {
        socket,
        held: Vec::new(),
        number: None,
        is_abandoned: false,
        world: Arc::clone(world),
    };
    if visit.is_to_be_lost() {
        world.kept.change(|kept| kept.sockets.remove(&accepted));
        return;
    }
    let Some(head) = visit.head() else {
        // A connection that says nothing is nobody's; one that breaks off is a visitor's.
        if !visit.held.is_empty() {
            visit.register();
            visit.is_over();
        }
        return;
    };
    if find(&head, b" (readiness)\r\n").is_some() {
        world.kept.change(|kept| kept.questions.push(text(&head)));
        let mut answer = world.readiness.look().clone();
        if find(&head, world.allowed_host.look().as_bytes()).is_none() {
            answer = Some(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec());
        }
        match answer {
            Some(answer) => drop(visit.socket.write_all(&answer)),
            None => drop(visit.socket.read(&mut [0])),
        }
        drop(visit.socket.shutdown());
        return;
    }
    // The script reads it again.
    visit.held.splice(0..0, head);
    visit.register();
    (world.script)(&mut visit);
    if visit.is_abandoned {
        world.kept.change(|kept| kept.sockets.remove(&accepted));
    } else {
        drop(visit.socket.shutdown());
    }
}

/// A visitor's connection, as a script has it.
pub(crate) struct Visit {
    socket: Socket,
    /// Read and not yet handed out.
    held: Vec<u8>,
    /// Among the visitors' connections, from 0; nothing before the first header section.
    number: Option<usize>,
    is_abandoned: bool,
    world: Arc<World>,
}

impl Visit {
    fn register(&mut self) {
        let bytes = self.held.clone();
        let number = self.world.kept.change(|kept| {
            kept.visits.push(Heard { bytes, is_over: false });
            kept.visits.len() - 1
        });
        self.number = Some(number);
    }

    fn is_over(&mut self) {
        if let Some(number) = self.number {
            self.world.kept.change(|kept| kept.visits[number].is_over = true);
        }
    }

    /// Waits for something and takes one of the connections that are to end unread.
    fn is_to_be_lost(&self) -> bool {
        let Socket::Tcp(stream) = &self.socket else { return false };
        if *self.world.to_lose.look() == 0 {
            return false;
        }
        let mut bytes = [0; 4096];
        let count = stream.peek(&mut bytes).unwrap_or_default();
        let is_visitor = find(&bytes[..count], b" (readiness)\r\n").is_none();
        is_visitor
            && self.world.to_lose.change(|to_lose| {
                let is_one = *to_lose > 0;
                *to_lose = to_lose.saturating_sub(1);
                is_one
            })
    }

    /// Reads some bytes; returns whether there were any before the end.
    fn read_more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let count = self.socket.read(&mut buffer).unwrap_or_default();
        self.held.extend_from_slice(&buffer[..count]);
        if let Some(number) = self.number {
            self.world.kept.change(|kept| {
                kept.visits[number].bytes.extend_from_slice(&buffer[..count]);
                kept.visits[number].is_over |= count == 0;
            });
        }
        count > 0
    }

    /// The next header section, with a PROXY header before it if there is one; nothing at the end.
    pub(crate) fn head(&mut self) -> Option<Vec<u8>> {
        loop {
            let start = proxy_v2_length(&self.held);
            let end = find(self.held.get(start..).unwrap_or_default(), b"\r\n\r\n");
            if let Some(end) = end {
                return Some(self.held.drain(..start + end + 4).collect());
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// So many bytes, or fewer at the end.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.held.len() < length && self.read_more() {}
        self.held.drain(..length.min(self.held.len())).collect()
    }

    /// The next request: its header section and its content, still chunked if it came so.
    pub(crate) fn request(&mut self) -> Option<(String, Vec<u8>)> {
        let head = text(&self.head()?);
        let lower = head.to_ascii_lowercase();
        let mut content = Vec::new();
        if lower.contains("transfer-encoding: chunked") {
            loop {
                if content == b"0\r\n\r\n" || content.ends_with(b"\r\n0\r\n\r\n") {
                    break;
                }
                let byte = self.bytes(1);
                if byte.is_empty() {
                    return None;
                }
                content.extend(byte);
            }
        } else if let Some((_, rest)) = lower.split_once("\r\ncontent-length: ") {
            let length = rest.split("\r\n").next()?.parse().ok()?;
            content = self.bytes(length);
            if content.len() < length {
                return None;
            }
        }
        Some((head, content))
    }

    /// Waits for more and reads one byte of it.
    pub(crate) fn taste(&mut self) {
        drop(self.socket.read(&mut [0]));
    }

    /// Ends the connection behind the script as the system does for a process that is killed.
    pub(crate) fn abandon(&mut self) {
        self.is_abandoned = true;
    }

    /// Everything until forebay ends the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.read_more() {}
        std::mem::take(&mut self.held)
    }

    /// Sends bytes; whether forebay takes them is not this side's business.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        drop(self.socket.write_all(bytes.as_ref()));
    }

    /// Sends bytes; returns whether forebay's side still took them.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.socket.write_all(bytes).is_ok()
    }

    /// Lets a moment pass between two pieces.
    pub(crate) fn pause() {
        thread::park_timeout(std::time::Duration::from_millis(10));
    }

    /// Answers every request on this connection with the same bytes.
    pub(crate) fn answer_all(&mut self, answer: &[u8]) {
        let closes = text(answer).to_ascii_lowercase().contains("connection: close");
        while self.request().is_some() {
            self.send(answer);
            if closes {
                return;
            }
        }
    }
}

/// The length of a PROXY header of version 2 at the start of `bytes`; 0 if there is none.
fn proxy_v2_length(bytes: &[u8]) -> usize {
    if !bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        return 0;
    }
    let length = bytes.get(14..16).map_or(0, |length| u16::from_be_bytes([length[0], length[1]]));
    16 + usize::from(length)
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => listener.accept().map(|(stream, _)| {
                // A script's small writes are meant as they are.
                drop(stream.set_nodelay(true));
                Socket::Tcp(stream)
            }),
            Self::Unix(listener, _) => listener.accept().map(|(stream, _)| Socket::Unix(stream)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            drop(std::fs::remove_file(path));
        }
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn try_clone(&self) -> Option<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
        .ok()
    }

    fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }
}
