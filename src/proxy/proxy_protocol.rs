//! The PROXY protocol, versions 1 and 2 (haproxy.org, proxy-protocol.txt): reading and writing.
//!
//! Owns: both forms of the header that names a connection's client (pure).
//! Must not know: sockets, who is trusted to send it.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::{BufMut, BytesMut};

/// Which version is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What a received header says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Header {
    /// The connection is somebody's.
    Proxied(SocketAddr),
    /// The connection is the proxy's own (a health check), or it does not know whose it is.
    Own,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parsed {
    /// A header of so many bytes.
    Complete(Header, usize),
    /// More bytes are needed.
    Incomplete,
}

/// The bytes are no PROXY header.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the connection does not begin with a PROXY protocol header")]
pub struct NotProxied;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// "107 chars, so 108 bytes are always enough", with the line end.
const V1_LIMIT: usize = 107;
/// Addresses are at most 216 bytes; what is beyond is optional extensions, which are passed over.
const V2_LIMIT: usize = 2048;

/// Reads a header of either version from the start of `bytes`.
///
/// # Errors
///
/// [`NotProxied`] as soon as the bytes cannot become a header.
pub fn read(bytes: &[u8]) -> Result<Parsed, NotProxied> {
    if begins(bytes, SIGNATURE) {
        read_v2(bytes)
    } else if begins(bytes, b"PROXY ") {
        read_v1(bytes)
    } else {
        Err(NotProxied)
    }
}

/// Whether `bytes` begin with `start`, or are a beginning of it.
fn begins(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn read_v1(bytes: &[u8]) -> Result<Parsed, NotProxied> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return if bytes.len() < V1_LIMIT { Ok(Parsed::Incomplete) } else { Err(NotProxied) };
    };
    let line = bytes.get(..=end).and_then(|line| line.strip_suffix(b"\r\n")).ok_or(NotProxied)?;
    if end >= V1_LIMIT {
        return Err(NotProxied);
    }
    let line = std::str::from_utf8(line).map_err(|_| NotProxied)?;
    let words: Vec<_> = line.split(' ').collect();
    let header = match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Header::Own,
        ["PROXY", family, source, destination, source_port, destination_port] => {
            let (source, destination): (IpAddr, IpAddr) = (
                source.parse().map_err(|_| NotProxied)?,
                destination.parse().map_err(|_| NotProxied)?,
            );
            let is_sound = match *family {
                "TCP4" => source.is_ipv4() && destination.is_ipv4(),
                "TCP6" => source.is_ipv6() && destination.is_ipv6(),
                _ => false,
            };
            let port = source_port.parse().map_err(|_| NotProxied)?;
            if !is_sound || destination_port.parse::<u16>().is_err() {
                return Err(NotProxied);
            }
            Header::Proxied(SocketAddr::new(source, port))
        }
        _ => return Err(NotProxied),
    };
    Ok(Parsed::Complete(header, end + 1))
}

fn read_v2(bytes: &[u8]) -> Result<Parsed, NotProxied> {
    let Some([command, family, high, low]) = bytes.get(12..16) else {
        return Ok(Parsed::Incomplete);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if command >> 4 != 2 || length > V2_LIMIT {
        return Err(NotProxied);
    }
    let Some(addresses) = bytes.get(16..16 + length) else { return Ok(Parsed::Incomplete) };
    let header = match (command & 15, family) {
        (1, 0x11) => Header::Proxied(v2_source::<4>(addresses)?),
        (1, 0x21) => Header::Proxied(v2_source::<16>(addresses)?),
        // The proxy itself; or unspecified, datagrams, unix sockets: it cannot say whose it is.
        (0 | 1, _) => Header::Own,
        _ => return Err(NotProxied),
    };
    Ok(Parsed::Complete(header, 16 + length))
}

/// The source in a block of two addresses of `SIZE` bytes and two ports.
fn v2_source<const SIZE: usize>(block: &[u8]) -> Result<SocketAddr, NotProxied> {
    let source = block.first_chunk::<SIZE>().ok_or(NotProxied)?.as_slice();
    let port = block.get(2 * SIZE..2 * SIZE + 2).ok_or(NotProxied)?;
    let port = u16::from_be_bytes(port.try_into().map_err(|_| NotProxied)?);
    let address = match (<[u8; 4]>::try_from(source), <[u8; 16]>::try_from(source)) {
        (Ok(octets), _) => IpAddr::V4(Ipv4Addr::from(octets)),
        (_, Ok(octets)) => IpAddr::V6(Ipv6Addr::from(octets)),
        _ => return Err(NotProxied),
    };
    Ok(SocketAddr::new(address, port))
}

/// Writes a header that says `client` is connected to `local`.
///
/// Both must be of one family; where they are not, the loopback address of the client's family
/// stands for `local`, which the application does not see as its own address anyway.
pub fn write(out: &mut BytesMut, version: Version, client: SocketAddr, local: SocketAddr) {
    let local_ip = match (client.ip(), local.ip()) {
        (IpAddr::V4(_), IpAddr::V6(_)) => Ipv4Addr::LOCALHOST.into(),
        (IpAddr::V6(_), IpAddr::V4(_)) => Ipv6Addr::LOCALHOST.into(),
        (_, ip) => ip,
    };
    match version {
        Version::V1 => {
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            // Writing to a buffer in memory cannot fail.
            write!(
                out,
                "PROXY {family} {} {local_ip} {} {}\r\n",
                client.ip(),
                client.port(),
                local.port()
            )
            .unwrap_or_default();
        }
        Version::V2 => {
            out.put_slice(SIGNATURE);
            match (client.ip(), local_ip) {
                (IpAddr::V4(client), IpAddr::V4(local)) => {
                    out.put_slice(&[0x21, 0x11, 0, 12]);
                    out.put_slice(&client.octets());
                    out.put_slice(&local.octets());
                }
                (client, local) => {
                    out.put_slice(&[0x21, 0x21, 0, 36]);
                    out.put_slice(&to_v6(client).octets());
                    out.put_slice(&to_v6(local).octets());
                }
            }
            out.put_u16(client.port());
            out.put_u16(local.port());
        }
    }
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_that_name_nobody_are_the_proxys_own() {
        for text in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff:f ffff:f 65535 65535\r\n"] {
            assert_eq!(read(text.as_bytes()), Ok(Parsed::Complete(Header::Own, text.len())));
        }
        let local = [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat();
        assert_eq!(read(&local), Ok(Parsed::Complete(Header::Own, 16)));
        let unix = [&SIGNATURE[..], &[0x21, 0x31, 0, 1, 7]].concat();
        assert_eq!(read(&unix), Ok(Parsed::Complete(Header::Own, 17)));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
            "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
            "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
        ] {
            assert_eq!(read(text.as_bytes()), Err(NotProxied), "{text:?}");
        }
        let endless = format!("PROXY UNKNOWN {}", "x".repeat(V1_LIMIT));
        assert_eq!(read(endless.as_bytes()), Err(NotProxied));
        for tail in
            [[0x11, 0x11, 0, 12], [0x22, 0x11, 0, 0], [0x21, 0x11, 0, 0], [0x21, 0x11, 9, 0]]
        {
            assert_eq!(read(&[&SIGNATURE[..], &tail].concat()), Err(NotProxied));
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(client: SocketAddr, local: SocketAddr, is_v2: bool) {
            prop_assume!(!matches!(client, SocketAddr::V6(address) if address.scope_id() != 0
                || address.flowinfo() != 0));
            let mut out = BytesMut::new();
            write(&mut out, if is_v2 { Version::V2 } else { Version::V1 }, client, local);
            let length = out.len();
            for short in 0..length {
                prop_assert_eq!(read(&out[..short]), Ok(Parsed::Incomplete));
            }
            out.extend_from_slice(b"GET");
            prop_assert_eq!(read(&out), Ok(Parsed::Complete(Header::Proxied(client), length)));
        }

        #[test]
        fn no_bytes_make_it_panic(is_v2: bool, bytes: Vec<u8>) {
            let start: &[u8] = if is_v2 { SIGNATURE } else { b"PROXY TCP" };
            let _ = read(&[start, &bytes].concat());
        }
    }
}
