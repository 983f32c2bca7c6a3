//! Reads the addresses that front ends and proxies write into fields.
//!
//! Owns: the forms of an address (facts, 1.1 and traps 1–9), the walk through a chain of hops.
//! Must not know: which hops are trusted, sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::proxy::guard::decimal;

/// One entry of a forwarded chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hop {
    /// An address, bare of port, brackets and zone; IPv4-mapped IPv6 is IPv4.
    Address(IpAddr, Option<u16>),
    /// `unknown`, a name, a broken number: it holds its place and is never believed.
    Junk,
}

impl Hop {
    /// Reads one entry: `v4`, `v4:port`, `v6`, `[v6]`, `[v6]:port`, each with white space around.
    pub fn parse(text: &[u8]) -> Self {
        let text = text.trim_ascii();
        // What nearly every entry is takes the library ten times as long.
        if let Some((address, rest)) = v4(text) {
            return match rest {
                [] => Self::Address(address.into(), None),
                [b':', port @ ..] => port_of(port)
                    .map_or(Self::Junk, |port| Self::Address(address.into(), Some(port))),
                _ => Self::Junk,
            };
        }
        std::str::from_utf8(text).ok().and_then(parse_v6_entry).unwrap_or(Self::Junk)
    }

    /// The address, if the entry was one.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::Address(address, _) => Some(address),
            Self::Junk => None,
        }
    }
}

/// Reads an IPv4 address at the start of a text as the standard library does; returns what follows.
fn v4(text: &[u8]) -> Option<(Ipv4Addr, &[u8])> {
    let (mut octets, mut rest) = ([0; 4], text);
    for (place, octet) in octets.iter_mut().enumerate() {
        if place > 0 {
            rest = rest.strip_prefix(b".")?;
        }
        let mut number = 0_u16;
        let mut digits = 0;
        while let [digit @ b'0'..=b'9', after @ ..] = rest {
            // A number that begins with 0 is octal to some.
            if digits > 0 && number == 0 {
                return None;
            }
            number = number * 10 + u16::from(digit - b'0');
            digits += 1;
            if number > 255 {
                return None;
            }
            rest = after;
        }
        if digits == 0 {
            return None;
        }
        *octet = u8::try_from(number).ok()?;
    }
    Some((octets.into(), rest))
}

fn parse_v6_entry(text: &str) -> Option<Hop> {
    if let Some(inner) = text.strip_prefix('[') {
        let (address, rest) = inner.split_once(']')?;
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port_of(port.as_bytes())?),
            None if rest.is_empty() => None,
            None => return None,
        };
        return Some(Hop::Address(unmapped(parse_v6(address)?), port));
    }
    Some(Hop::Address(unmapped(parse_v6(text)?), None))
}

/// A zone (`%eth0`) means nothing on another machine, and PostgreSQL's `inet` refuses it.
fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    let (address, zone) = text.split_once('%').unwrap_or((text, "-"));
    if zone.is_empty() { None } else { address.parse().ok() }
}

fn port_of(text: &[u8]) -> Option<u16> {
    decimal(text).and_then(|port| u16::try_from(port).ok())
}

/// IPv4-mapped IPv6 as IPv4: access lists and `inet` treat the two as different addresses.
pub(super) fn unmapped(address: impl Into<IpAddr>) -> IpAddr {
    address.into().to_canonical()
}

/// Whether an address can only be inside: private, shared, loopback, link-local or unique-local.
pub fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// The hops of all lines of a chain, nearest first: the last entry of the last line begins.
///
/// Empty list elements do not count (RFC 9110 §5.6.1.2).
pub(super) fn nearest_first<'a>(
    lines: impl DoubleEndedIterator<Item = &'a [u8]>,
) -> impl Iterator<Item = Hop> {
    lines
        .rev()
        .flat_map(|line| line.rsplit(|&byte| byte == b','))
        .filter(|entry| !entry.trim_ascii().is_empty())
        .map(Hop::parse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::SocketAddr;

    fn bare(text: &str) -> Option<String> {
        Hop::parse(text.as_bytes()).address().map(|address| address.to_string())
    }

    #[test]
    fn every_form_that_azure_sends_is_read() {
        for (text, address) in [
            ("198.51.100.84:65078", "198.51.100.84"),
            ("198.51.100.84", "198.51.100.84"),
            (" \t203.0.113.7 ", "203.0.113.7"),
            ("[fd40:4ccb:12:6cf8:7312:100:a0a:5]:38758", "fd40:4ccb:12:6cf8:7312:100:a0a:5"),
            ("2001:db8::4711", "2001:db8::4711"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[::1]:0", "::1"),
            ("::ffff:198.51.100.4", "198.51.100.4"),
            ("[::ffff:198.51.100.4]:80", "198.51.100.4"),
            ("fe80::1%eth0", "fe80::1"),
        ] {
            assert_eq!(bare(text).as_deref(), Some(address), "{text}");
        }
    }

    #[test]
    fn junk_is_never_an_address() {
        for text in [
            "unknown",
            "_hidden",
            "",
            "1.2.3",
            "010.0.0.1",
            "22.222.222.2222:64379",
            "example.com",
            "1.2.3.4:",
            "1.2.3.4:99999",
            "1.2.3.4:80a",
            "1.2.3.4:+80",
            "[::1",
            "::1]",
            "[::1]80",
            "[1.2.3.4]:80",
            "1.2.3.4, 5.6.7.8",
            "\"1.2.3.4\"",
            "for=1.2.3.4",
            "fe80::1%",
            "1.2.3.4:80:90",
            "0x7f.1",
            "127.1",
        ] {
            assert_eq!(bare(text), None, "{text}");
        }
        assert_eq!(Hop::parse(b"\xff\xfe"), Hop::Junk);
    }

    #[test]
    fn hops_are_counted_from_the_end_over_all_lines() {
        let lines = ["1.1.1.1,,\tunknown ,", "2.2.2.2:80,3.3.3.3"].map(str::as_bytes);
        let hops: Vec<_> = nearest_first(lines.into_iter()).map(|hop| hop.address()).collect();
        let address = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(hops, [address("3.3.3.3"), address("2.2.2.2"), None, address("1.1.1.1")],);
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_what_the_standard_library_takes_for_one(
            text in "([0-9]{1,4}[.:]){2,4}[0-9]{0,4}|[0-9.]{0,16}|((25[0-9]|1[0-9]{2}|[0-9])[.]){3}[0-9]{1,3}",
        ) {
            let own = v4(text.as_bytes()).filter(|(_, rest)| rest.is_empty());
            prop_assert_eq!(own.map(|(address, _)| address), text.parse().ok());
        }

        #[test]
        fn a_port_never_changes_the_address(ip: IpAddr, port: u16) {
            let with_port = SocketAddr::new(ip, port).to_string();
            prop_assert_eq!(
                Hop::parse(ip.to_string().as_bytes()).address(),
                Hop::parse(with_port.as_bytes()).address(),
            );
            prop_assert_eq!(Hop::parse(with_port.as_bytes()).address(), Some(unmapped(ip)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            if let Some(address) = Hop::parse(&bytes).address() {
                prop_assert_eq!(Hop::parse(address.to_string().as_bytes()).address(), Some(address));
            }
        }
    }
}
