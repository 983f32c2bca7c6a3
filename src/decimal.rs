//! Numbers and addresses as text.
//!
//! Owns: how they are written into bytes.
//! Must not know: what they mean.
//!
//! The formatter of the standard library takes ten times as many instructions, and every request has
//! a dozen of them.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Writes a number.
pub(crate) fn digits(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Writes an address, bare.
pub(crate) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let (mut text, mut length) = ([0; 16], 0);
            let mut put = |byte| {
                if let Some(place) = text.get_mut(length) {
                    *place = byte;
                    length += 1;
                }
            };
            for octet in address.octets() {
                if octet >= 100 {
                    put(b'0' + octet / 100);
                }
                if octet >= 10 {
                    put(b'0' + octet / 10 % 10);
                }
                put(b'0' + octet % 10);
                put(b'.');
            }
            out.extend_from_slice(text.get(..length.saturating_sub(1)).unwrap_or_default());
        }
        // Writing to a buffer in memory cannot fail.
        IpAddr::V6(address) => write!(out, "{address}").unwrap_or_default(),
    }
}

/// Writes an address with its port.
pub(crate) fn socket_address(out: &mut Vec<u8>, peer: SocketAddr) {
    if peer.is_ipv4() {
        address(out, peer.ip());
        out.push(b':');
        digits(out, peer.port().into());
    } else {
        // Writing to a buffer in memory cannot fail.
        write!(out, "{peer}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_what_the_standard_library_writes(ip: IpAddr, port: u16, number: u64) {
            let text = |write: &dyn Fn(&mut Vec<u8>)| {
                let mut out = Vec::new();
                write(&mut out);
                String::from_utf8(out).unwrap()
            };
            let peer = SocketAddr::new(ip, port);
            prop_assert_eq!(text(&|out| digits(out, number)), number.to_string());
            prop_assert_eq!(text(&|out| address(out, ip)), ip.to_string());
            prop_assert_eq!(text(&|out| socket_address(out, peer)), peer.to_string());
        }
    }
}
