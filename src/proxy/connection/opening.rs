//! Reads the first bytes of a connection, from which its peer and its protocol are known.
//!
//! Owns: the PROXY protocol header in front of everything, the preface of HTTP/2.
//! Must not know: what follows.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::Settings;
use crate::proxy::proxy_protocol::{self, Header, Parsed};

/// Reads the PROXY protocol header, if there must be one, and the first bytes, from which the
/// protocol is known. Nothing if the client left without a word.
pub(super) async fn open<S: AsyncRead + Unpin>(
    stream: &mut S,
    peer: SocketAddr,
    settings: &Settings,
) -> io::Result<Option<(SocketAddr, BytesMut)>> {
    let mut held = BytesMut::new();
    let mut peer = peer;
    if !read_opening(stream, &mut held, settings.deadlines.idle).await? {
        return Ok(None);
    }
    let deadline = settings.deadlines.header;
    if settings.accepts_proxy_protocol {
        loop {
            match proxy_protocol::read(&held).map_err(io::Error::other)? {
                Parsed::Complete(header, length) => {
                    if let Header::Proxied(address) = header {
                        peer = address;
                    }
                    // Dropping what was split off is taking it off.
                    drop(held.split_to(length));
                    break;
                }
                Parsed::Incomplete if read_opening(stream, &mut held, deadline).await? => {}
                Parsed::Incomplete => return Ok(None),
            }
        }
        if held.is_empty() && !read_opening(stream, &mut held, settings.deadlines.idle).await? {
            return Ok(None);
        }
    }
    while held.len() < PREFACE.len() && PREFACE.starts_with(&held) {
        if !read_opening(stream, &mut held, deadline).await? {
            return Ok(None);
        }
    }
    Ok(Some((peer, held)))
}

/// Reads a few bytes; returns whether there were any before the end or the deadline.
pub(super) async fn read_opening<S: AsyncRead + Unpin>(
    stream: &mut S,
    held: &mut BytesMut,
    deadline: Duration,
) -> io::Result<bool> {
    // As many as the preface of HTTP/2 has: enough to tell, too few to keep.
    let mut bytes = [0; PREFACE.len()];
    match timeout(deadline, stream.read(&mut bytes)).await {
        Ok(count) => {
            let count = count?;
            held.extend_from_slice(bytes.get(..count).unwrap_or_default());
            Ok(count > 0)
        }
        Err(_) => Ok(false),
    }
}

/// What every connection of HTTP/2 begins with (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
