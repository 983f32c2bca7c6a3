//! Reads the value of a Host field.
//!
//! Owns: the grammar of a host, the difference between a name and an internal address.
//! Must not know: which hosts the application accepts.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::Version;

use super::Error;
use super::rewrite::lossy;
use crate::proxy::fields::{Head, Value, names};

/// What a request's Host is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HostKind {
    /// A name: whose it is, `ALLOWED_HOSTS` decides.
    Name,
    /// `localhost`.
    Localhost,
    /// An IP literal: probers that know only the container's address send it.
    Literal,
}

impl HostKind {
    /// Whether no visitor of a site would send it.
    pub fn is_internal(self) -> bool {
        self != Self::Name
    }
}

/// Tells what a host is; nothing if it is none (RFC 9110 §7.2, RFC 3986 §3.2.2).
pub fn kind(host: &[u8]) -> Option<HostKind> {
    if let Some(inner) = host.strip_prefix(b"[") {
        let (address, port) = std::str::from_utf8(inner).ok()?.split_once(']')?;
        address.parse::<Ipv6Addr>().ok()?;
        return is_port(port.as_bytes()).then_some(HostKind::Literal);
    }
    let colon = memchr::memchr(b':', host).unwrap_or(host.len());
    let (name, port) = host.split_at_checked(colon)?;
    if !is_port(port) || !name.iter().all(|&byte| is_name_byte(byte)) {
        return None;
    }
    // Nearly every host is a name, and nearly no name begins with a digit.
    if name.first()?.is_ascii_digit() && is_ipv4(name) {
        return Some(HostKind::Literal);
    }
    let name = name.strip_suffix(b".").unwrap_or(name);
    let is_localhost = name.eq_ignore_ascii_case(b"localhost");
    Some(if is_localhost { HostKind::Localhost } else { HostKind::Name })
}

fn is_ipv4(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| name.parse::<Ipv4Addr>().is_ok())
}

/// Finds the one host of a request, in the target (HTTP/2, absolute form) or the Host field.
pub(super) fn of(request: &Head) -> Result<Option<(Value, HostKind)>, Error> {
    let field = request.fields.get(&names::HOST);
    let host = match request.uri.authority() {
        Some(authority) => {
            if let Some(field) = field
                && !field.eq_ignore_ascii_case(authority.as_str().as_bytes())
            {
                return Err(Error::HostsDiffer {
                    target: authority.to_string(),
                    host: lossy(field),
                });
            }
            Value::read(authority.as_str().to_owned())
                .map_err(|_| Error::BadHost(authority.to_string()))?
        }
        None => match request.fields.keep(&names::HOST) {
            Some(field) => field,
            None if request.version == Version::HTTP_10 => return Ok(None),
            None => return Err(Error::MissingHost),
        },
    };
    match kind(host.as_bytes()) {
        Some(kind) => Ok(Some((host, kind))),
        None => Err(Error::BadHost(lossy(host.as_bytes()))),
    }
}

/// A port with its colon, or nothing.
fn is_port(text: &[u8]) -> bool {
    text.strip_prefix(b":")
        .map_or(text.is_empty(), |port| port.len() <= 5 && port.iter().all(u8::is_ascii_digit))
}

/// RFC 3986 §3.2.2, `reg-name`, less what no name in use holds.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)
}

/// A host that the operator named: a name or an address, with or without a port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CanonicalHost(Value);

impl CanonicalHost {
    /// Reads a host such as `www.example.com`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") || text.contains('/') {
            return Err("give the host alone, without `https://` and without a path".to_owned());
        }
        let lower = text.to_ascii_lowercase();
        match (kind(lower.as_bytes()), Value::read(lower)) {
            (Some(_), Ok(value)) => Ok(Self(value)),
            _ => Err("give a host name such as `www.example.com`".to_owned()),
        }
    }

    /// The host as a field value.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The host as text.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_internal_addresses_are_told_apart() {
        for (host, expected) in [
            ("www.example.com", Some(HostKind::Name)),
            ("www.example.com:443", Some(HostKind::Name)),
            ("aca-in-vnet-nodeapp", Some(HostKind::Name)),
            ("a_b.example.com", Some(HostKind::Name)),
            ("127.0.0.1.example.com", Some(HostKind::Name)),
            ("169.254.130.4:8000", Some(HostKind::Literal)),
            ("127.0.0.1", Some(HostKind::Literal)),
            ("[::1]:8000", Some(HostKind::Literal)),
            ("localhost:8000", Some(HostKind::Localhost)),
            ("LOCALHOST.", Some(HostKind::Localhost)),
            ("", None),
            (":80", None),
            ("a b", None),
            ("a,b", None),
            ("user@host", None),
            ("a/b", None),
            ("host:port", None),
            ("host:123456", None),
            ("[::1", None),
            ("[::1]x", None),
            ("::1", None),
            ("b\u{fc}cher.example", None),
        ] {
            assert_eq!(kind(host.as_bytes()), expected, "{host}");
        }
    }

    #[test]
    fn a_canonical_host_is_a_host_and_nothing_else() {
        assert_eq!(CanonicalHost::parse("WWW.Example.com").unwrap().as_str(), "www.example.com");
        assert!(CanonicalHost::parse("https://www.example.com").is_err());
        assert!(CanonicalHost::parse("www.example.com/").is_err());
        assert!(CanonicalHost::parse("").is_err());
    }
}
