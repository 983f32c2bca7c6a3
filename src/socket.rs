//! A socket of either kind: of TCP, or of this machine alone.
//!
//! Owns: reading and writing without knowing which, what the kernel says of an end.
//! Must not know: who connects to whom, what is spoken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connected socket.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// Whether the other side has neither closed it nor sent anything unasked.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let result = match self {
            Self::Tcp(stream) => stream.try_read(&mut byte),
            Self::Unix(stream) => stream.try_read(&mut byte),
        };
        matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// After its end, which came with `why` or quietly: whether the other side is on this machine and
    /// had not read all that was sent to it. The kernel resets such a connection and ends others
    /// quietly, also that of a process that is killed (RFC 1122 §4.2.2.13; for unix sockets it does the
    /// same), unless its owner asks for a reset (`SO_LINGER` of 0) or the kernel has no memory left for
    /// TCP. From another machine a reset may be the word of anybody in between.
    pub fn has_lost(&self, why: Option<&io::Error>) -> bool {
        let (is_here, pending) = match self {
            // Which peer it had is forgotten by now; only this machine reaches a loopback address.
            Self::Tcp(stream) => {
                (stream.local_addr().is_ok_and(|it| it.ip().is_loopback()), stream.take_error())
            }
            Self::Unix(stream) => (true, stream.take_error()),
        };
        // Where the other side ended first and was sent to then, the end is read before the reset.
        let pending = pending.ok().flatten();
        let is_reset = |why: &io::Error| {
            matches!(why.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
        };
        is_here && why.or(pending.as_ref()).is_some_and(is_reset)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets have nothing to flush.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream as StdUnixStream;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    trait Peer: io::Read + io::Write {}
    impl Peer for std::net::TcpStream {}
    impl Peer for StdUnixStream {}

    fn pair(is_unix: bool) -> (Socket, Box<dyn Peer>) {
        if is_unix {
            let (ours, theirs) = StdUnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            return (Socket::Unix(UnixStream::from_std(ours).unwrap()), Box::new(theirs));
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        ours.set_nonblocking(true).unwrap();
        let (theirs, _) = listener.accept().unwrap();
        (Socket::Tcp(TcpStream::from_std(ours).unwrap()), Box::new(theirs))
    }

    /// Sends ten bytes to a peer that takes so many of them before it ends; whether they were lost.
    async fn has_lost(is_unix: bool, taken: usize) -> bool {
        let (mut socket, mut peer) = pair(is_unix);
        socket.write_all(b"0123456789").await.unwrap();
        peer.read_exact(&mut vec![0; taken]).unwrap();
        drop(peer);
        end(&mut socket).await
    }

    async fn end(socket: &mut Socket) -> bool {
        let result = socket.read(&mut [0; 16]).await;
        assert!(matches!(result, Ok(0) | Err(_)), "{result:?}");
        socket.has_lost(result.err().as_ref())
    }

    #[tokio::test]
    async fn what_the_other_side_had_not_read_is_known_to_be_lost() {
        for is_unix in [false, true] {
            assert!(has_lost(is_unix, 0).await, "{is_unix}");
            assert!(has_lost(is_unix, 9).await, "{is_unix}");
            assert!(!has_lost(is_unix, 10).await, "{is_unix}");
        }
    }

    #[tokio::test]
    async fn what_is_sent_behind_the_end_is_lost() {
        let (mut socket, peer) = pair(false);
        drop(peer);
        assert!(socket.write(b"0123456789").await.is_ok(), "the kernel takes it");
        assert_eq!(socket.read(&mut [0; 16]).await.unwrap(), 0, "the end comes first");
        let mut looks = 0;
        while !socket.has_lost(None) {
            looks += 1;
            assert!(looks < 1000, "it was never refused");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn an_answer_before_the_end_is_read_first() {
        for is_unix in [false, true] {
            let (mut socket, mut peer) = pair(is_unix);
            socket.write_all(b"0123456789").await.unwrap();
            peer.write_all(b"no").unwrap();
            drop(peer);
            assert_eq!(socket.read(&mut [0; 16]).await.unwrap(), 2, "{is_unix}");
            assert!(end(&mut socket).await, "{is_unix}");
        }
    }
}
