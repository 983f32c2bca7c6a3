//! A relay between forebay and a server that cuts connections at bad moments.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::random::Random;

/// The relay, listening on a port of 127.0.0.1 until it is dropped.
pub(crate) struct Relay {
    address: String,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    cuts: AtomicU64,
    has_ended: AtomicBool,
}

/// When a connection is cut: never after an answer has begun to pass.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Before a byte is read; what has come makes the kernel reset the connection.
    AtOnce,
    /// After the first byte of a request, which resets it likewise.
    InRequest,
    /// When the answer comes: the server has done all its work.
    BeforeAnswer,
}

impl Relay {
    /// Stands in front of `upstream` and cuts so many of a hundred connections.
    pub(crate) fn before(upstream: &str, percent: u64, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            upstream: upstream.to_owned(),
            cuts: AtomicU64::new(0),
            has_ended: AtomicBool::new(false),
        });
        let (mut random, relay) = (Random::new(seed), Arc::clone(&shared));
        thread::spawn(move || {
            for client in listener.incoming() {
                if relay.has_ended.load(Ordering::Relaxed) {
                    return;
                }
                let kinds = [Cut::AtOnce, Cut::InRequest, Cut::BeforeAnswer];
                let kind = kinds[usize::try_from(random.below(3)).unwrap()];
                let cut = random.happens(percent).then_some(kind);
                let relay = Arc::clone(&relay);
                thread::spawn(move || {
                    relay.cuts.fetch_add(u64::from(cut.is_some()), Ordering::Relaxed);
                    // A connection that breaks has ended, which is what this is about.
                    drop(client.and_then(|client| pass(client, &relay.upstream, cut)));
                });
            }
        });
        Self { address, shared }
    }

    /// Where it listens, in the form of `--upstream`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Connections that it has cut so far.
    pub(crate) fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that this is the end.
        drop(TcpStream::connect(&self.address));
    }
}

/// Passes bytes both ways, up to the cut.
fn pass(mut client: TcpStream, upstream: &str, cut: Option<Cut>) -> io::Result<()> {
    if matches!(cut, Some(Cut::AtOnce)) {
        return client.peek(&mut [0]).map(drop);
    }
    if matches!(cut, Some(Cut::InRequest)) {
        return client.read_exact(&mut [0]);
    }
    let mut server = TcpStream::connect(upstream)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        // Either end may go first; the other then hears of it.
        drop(io::copy(&mut from_client, &mut to_server));
        drop(to_server.shutdown(Shutdown::Write));
    });
    let result = pass_answer(&mut server, &mut client, cut);
    // The other thread has the client's connection too, and waits for what may never come.
    client.shutdown(Shutdown::Both)?;
    result
}

/// Passes what the server says, up to its end or the cut.
fn pass_answer(server: &mut TcpStream, client: &mut TcpStream, cut: Option<Cut>) -> io::Result<()> {
    let mut piece = [0; 16 * 1024];
    loop {
        let count = server.read(&mut piece)?;
        if count == 0 || matches!(cut, Some(Cut::BeforeAnswer)) {
            return Ok(());
        }
        client.write_all(&piece[..count])?;
    }
}
