//! Reads the first bytes of a connection, from which its peer and its protocol are known.
//!
//! Owns: the PROXY protocol header in front of everything, the preface of HTTP/2.
//! Must not know: what follows.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::Settings;
use crate::proxy::proxy_protocol::{self, Header, NotProxied, Parsed};

/// What the first bytes of a connection show.
pub(super) enum Opening {
    /// Somebody speaks: who holds the socket, or whom the PROXY protocol names, and what was read.
    Speaks(SocketAddr, BytesMut),
    /// It came and went, or never said a word: load balancers and Container Apps probe like this
    /// (facts, 4.5).
    Silent,
    /// It began and did not go on within the header deadline.
    Overdue,
    /// It does not begin with the PROXY protocol header that it must have.
    NotProxied(NotProxied),
}

/// Reads the PROXY protocol header, if there must be one, and the first bytes, from which the
/// protocol is known. Less than a preface of HTTP/2 is read, and a header section of HTTP/1 has
/// its own deadline afterwards.
pub(super) async fn open<S: AsyncRead + Unpin>(
    stream: &mut S,
    peer: SocketAddr,
    settings: &Settings,
) -> Opening {
    let mut held = BytesMut::new();
    if !read_some(stream, &mut held, settings.deadlines.idle).await {
        return Opening::Silent;
    }
    let rest = timeout(settings.deadlines.header, read_header(stream, &mut held, peer, settings));
    let peer = match rest.await {
        Ok(Ok(Some(peer))) => peer,
        Ok(Ok(None)) => return Opening::Silent,
        Ok(Err(why)) => return Opening::NotProxied(why),
        Err(_) => return Opening::Overdue,
    };
    if held.is_empty() && !read_some(stream, &mut held, settings.deadlines.idle).await {
        return Opening::Silent;
    }
    let preface = async {
        while held.len() < PREFACE.len() && PREFACE.starts_with(&held) {
            if !read_more(stream, &mut held).await {
                return false;
            }
        }
        true
    };
    match timeout(settings.deadlines.header, preface).await {
        Ok(true) => Opening::Speaks(peer, held),
        Ok(false) => Opening::Silent,
        Err(_) => Opening::Overdue,
    }
}

/// Takes the PROXY protocol header off `held`, if there must be one. Nothing if the stream ends.
async fn read_header<S: AsyncRead + Unpin>(
    stream: &mut S,
    held: &mut BytesMut,
    peer: SocketAddr,
    settings: &Settings,
) -> Result<Option<SocketAddr>, NotProxied> {
    if !settings.accepts_proxy_protocol {
        return Ok(Some(peer));
    }
    loop {
        match proxy_protocol::read(held)? {
            Parsed::Complete(header, length) => {
                held.advance(length);
                return Ok(Some(match header {
                    Header::Proxied(client) => client,
                    Header::Own => peer,
                }));
            }
            Parsed::Incomplete if read_more(stream, held).await => {}
            Parsed::Incomplete => return Ok(None),
        }
    }
}

/// Reads a few bytes; returns whether there were any before the end or the deadline.
pub(super) async fn read_some<S: AsyncRead + Unpin>(
    stream: &mut S,
    held: &mut BytesMut,
    deadline: Duration,
) -> bool {
    timeout(deadline, read_more(stream, held)).await.unwrap_or(false)
}

async fn read_more<S: AsyncRead + Unpin>(stream: &mut S, held: &mut BytesMut) -> bool {
    // As many as the preface of HTTP/2 has: enough to tell, too few to keep.
    let mut bytes = [0; PREFACE.len()];
    // A connection that is reset has ended like any other.
    let count = stream.read(&mut bytes).await.unwrap_or(0);
    held.extend_from_slice(bytes.get(..count).unwrap_or_default());
    count > 0
}

/// What every connection of HTTP/2 begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
