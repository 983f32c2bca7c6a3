//! The floor: a relay that passes bytes between two connections and looks at none of them.
//!
//! For each connection it opens one to the application, and it does for a request what nobody can
//! do without: read, write, read, write, and waiting. What a proxy takes beyond it is its own.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::{Failure, Tried as _};

/// The argument that makes the benchmark's program the relay.
pub(crate) const ROLE: &str = "as-relay";

/// Plays the relay, on a port before an address or the path of a socket, until it is ended.
pub(crate) fn run(arguments: &[String]) -> Result<(), Failure> {
    let [_, port, behind] = arguments else {
        return Err(Failure::new("the relay needs a port and where the application is"));
    };
    let port = port.parse::<u16>().tried("read the relay's port")?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).tried("listen as the relay")?;
    listener.set_nonblocking(true).tried("listen as the relay")?;
    let epoll = epoll::create(CreateFlags::CLOEXEC).tried("wait for connections")?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)
        .tried("wait for connections")?;
    let mut relay = Relay { epoll, pairs: Vec::new(), free: Vec::new(), piece: vec![0; PIECE] };
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        match epoll::wait(&relay.epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(why) => return Err(Failure::new(format!("cannot wait for events: {why}"))),
        }
        for event in &events {
            match event.data.u64() {
                LISTENER => relay.accept(&listener, behind)?,
                number => relay.advance(usize::try_from(number).tried("know a connection")?),
            }
        }
    }
}

struct Relay {
    epoll: OwnedFd,
    /// Both ends of a pair have its place, doubled, in their events; the application's one more.
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
    piece: Vec<u8>,
}

/// A client's connection and the one to the application.
struct Pair {
    ends: [OwnedFd; 2],
    /// What could not be written to each end.
    pending: [Vec<u8>; 2],
}

impl Relay {
    fn accept(&mut self, listener: &TcpListener, behind: &str) -> Result<(), Failure> {
        while let Ok((client, _)) = listener.accept() {
            client.set_nodelay(true).tried("send at once")?;
            client.set_nonblocking(true).tried("not wait for a client")?;
            let application: OwnedFd = if behind.starts_with('/') {
                let stream = UnixStream::connect(behind).tried("connect to the application")?;
                stream.set_nonblocking(true).tried("not wait for the application")?;
                stream.into()
            } else {
                let stream = TcpStream::connect(behind).tried("connect to the application")?;
                stream.set_nodelay(true).tried("send at once")?;
                stream.set_nonblocking(true).tried("not wait for the application")?;
                stream.into()
            };
            let ends = [client.into(), application];
            let place = self.free.pop().unwrap_or(self.pairs.len());
            for (side, end) in ends.iter().enumerate() {
                let data = EventData::new_u64((place * 2 + side) as u64);
                let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                epoll::add(&self.epoll, end, data, flags).tried("wait for a connection")?;
            }
            if place == self.pairs.len() {
                self.pairs.push(None);
            }
            if let Some(pair) = self.pairs.get_mut(place) {
                *pair = Some(Pair { ends, pending: [Vec::new(), Vec::new()] });
            }
        }
        Ok(())
    }

    /// Passes on what an end has sent, and what waited to be written to it.
    fn advance(&mut self, number: usize) {
        let (place, side) = (number / 2, number % 2);
        let Some(entry) = self.pairs.get_mut(place) else { return };
        let Some(pair) = entry else { return };
        let (client, application) = (0, 1);
        let (own, other) =
            if side == client { (client, application) } else { (application, client) };
        // There was no room for it before: then the other end has not been read from since.
        let had_pending = pair.pending.get(own).is_some_and(|bytes| !bytes.is_empty());
        let goes_on = (!had_pending || pair.pass(other, own, &mut self.piece))
            && pair.pass(own, other, &mut self.piece);
        if !goes_on {
            *entry = None;
            self.free.push(place);
        }
    }
}

impl Pair {
    /// Passes bytes from one end to the other until one has to be waited for; false at the end.
    fn pass(&mut self, from: usize, to: usize, piece: &mut [u8]) -> bool {
        let (Some(source), Some(target), Some(pending)) =
            (self.ends.get(from), self.ends.get(to), self.pending.get_mut(to))
        else {
            return false;
        };
        loop {
            while !pending.is_empty() {
                match rustix::io::write(target, pending) {
                    Ok(count) => drop(pending.drain(..count)),
                    Err(Errno::AGAIN) => return true,
                    Err(_) => return false,
                }
            }
            let count = match rustix::io::read(source, &mut *piece) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(Errno::AGAIN) => return true,
                Err(_) => return false,
            };
            let bytes = piece.get(..count).unwrap_or_default();
            let written = match rustix::io::write(target, bytes) {
                Ok(written) => written,
                Err(Errno::AGAIN) => 0,
                Err(_) => return false,
            };
            pending.extend_from_slice(bytes.get(written..).unwrap_or_default());
            // Less than there was room for: nothing is left, and more will be an event of its own.
            if pending.is_empty() && count < piece.len() {
                return true;
            }
        }
    }
}

/// The number that the listener's events carry.
const LISTENER: u64 = u64::MAX;

/// What is read at once.
const PIECE: usize = 64 * 1024;
