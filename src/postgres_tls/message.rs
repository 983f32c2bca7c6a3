//! The first packets of a session, before anybody has logged in (PostgreSQL documentation, 55.2.1,
//! 55.2.10 and 55.7: `StartupMessage`, `SSLRequest`, `GSSENCRequest`, `CancelRequest`, `ErrorResponse`).
//!
//! Owns: their form, their bounds. Pure.
//! Must not know: sockets, TLS.

/// The first eight bytes of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Head {
    /// The client asks for TLS.
    TlsWanted,
    /// The client asks for GSSAPI.
    GssWanted,
    /// Asks to cancel a query; so many bytes follow.
    Cancel(usize),
    /// Begins a session of protocol 3; so many bytes follow.
    Startup(usize),
}

/// What is no packet that a session begins with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum BadHead {
    /// The first bytes of a TLS handshake.
    #[error("it begins with TLS at once")]
    Tls,
    /// The first letters of a request.
    #[error("it speaks HTTP")]
    Http,
    /// A length beyond the bounds.
    #[error("its first packet says that it has {0} bytes")]
    Length(u32),
    /// Another protocol.
    #[error("it wants version {0}.{1} of the protocol")]
    Version(u32, u32),
}

/// How long a head is.
pub(super) const HEAD: usize = 8;

/// Asks a server for TLS.
pub(super) const SSL_REQUEST: [u8; HEAD] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The most bytes of a `StartupMessage`, with its length: as many as PostgreSQL takes
/// (`MAX_STARTUP_PACKET_LENGTH`).
const STARTUP_LIMIT: u32 = 10_004;

/// The most bytes of a `CancelRequest`: protocol 3.2 has keys of up to 256 bytes, 3.0 such of four.
const CANCEL_LIMIT: u32 = 12 + 256;

const CANCEL: u32 = 80_877_102;
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// Reads the head of a packet that a client begins with.
///
/// # Errors
///
/// [`BadHead`].
pub(super) fn head(bytes: [u8; HEAD]) -> Result<Head, BadHead> {
    let both = u64::from_be_bytes(bytes);
    // Each half has 32 bits.
    let half = |bits: u64| u32::try_from(bits & 0xffff_ffff).unwrap_or(u32::MAX);
    let (length, code) = (half(both >> 32), half(both));
    // RFC 8446 §5.1: a record with a handshake, of a version that begins with 3.
    if bytes.starts_with(&[0x16, 3]) {
        return Err(BadHead::Tls);
    }
    if ["GET ", "POST", "HEAD", "PUT ", "OPTI"].iter().any(|it| bytes.starts_with(it.as_bytes())) {
        return Err(BadHead::Http);
    }
    let rest = |limit: u32| match length.checked_sub(8) {
        Some(rest) if length <= limit => usize::try_from(rest).map_err(|_| BadHead::Length(length)),
        _ => Err(BadHead::Length(length)),
    };
    match code {
        TLS => rest(8).map(|_| Head::TlsWanted),
        GSS => rest(8).map(|_| Head::GssWanted),
        // The number of a process, and a key of one byte at least.
        CANCEL if length < 13 => Err(BadHead::Length(length)),
        CANCEL => rest(CANCEL_LIMIT).map(Head::Cancel),
        _ if code >> 16 == 3 => rest(STARTUP_LIMIT).map(Head::Startup),
        _ => {
            rest(STARTUP_LIMIT)?;
            Err(BadHead::Version(code >> 16, code & 0xffff))
        }
    }
}

/// The user that a `StartupMessage` names; `content` is what follows its head.
pub(super) fn user(content: &[u8]) -> Option<&[u8]> {
    let mut words = content.split(|byte| *byte == 0);
    loop {
        // An empty name ends the list.
        let name = words.next().filter(|name| !name.is_empty())?;
        let value = words.next()?;
        if name == b"user" {
            return Some(value);
        }
    }
}

/// An `ErrorResponse` that ends a session before it began.
pub(super) fn error_response(code: &str, message: &str, hint: &str) -> Vec<u8> {
    let fields = [("S", "FATAL"), ("V", "FATAL"), ("C", code), ("M", message), ("H", hint)];
    let mut content = Vec::new();
    for (kind, text) in fields {
        content.extend(kind.bytes());
        content.extend(text.bytes().filter(|byte| *byte != 0));
        content.push(0);
    }
    content.push(0);
    let mut response = vec![b'E'];
    // The length counts itself. These texts are far from 4 GiB.
    response.extend(u32::try_from(content.len() + 4).unwrap_or(u32::MAX).to_be_bytes());
    response.extend(content);
    response
}

/// The SQLSTATE of an `ErrorResponse` that begins `bytes`; nothing if they begin with something else.
pub(super) fn sqlstate(bytes: &[u8]) -> Option<&str> {
    let fields = bytes.strip_prefix(b"E")?.get(4..)?;
    let mut fields = fields.split(|byte| *byte == 0).take_while(|field| !field.is_empty());
    let code = fields.find_map(|field| field.strip_prefix(b"C"))?;
    (code.len() == 5).then(|| str::from_utf8(code).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(length: u32, code: u32) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&length.to_be_bytes());
        bytes[4..].copy_from_slice(&code.to_be_bytes());
        bytes
    }

    #[test]
    fn each_packet_has_its_bounds() {
        assert_eq!(head(SSL_REQUEST), Ok(Head::TlsWanted));
        assert_eq!(head(packet(8, GSS)), Ok(Head::GssWanted));
        assert_eq!(head(packet(16, CANCEL)), Ok(Head::Cancel(8)), "protocol 3.0");
        assert_eq!(head(packet(268, CANCEL)), Ok(Head::Cancel(260)), "the longest key of 3.2");
        assert_eq!(head(packet(8, 0x0003_0000)), Ok(Head::Startup(0)));
        assert_eq!(head(packet(10_004, 0x0003_0002)), Ok(Head::Startup(9996)));
        for (length, code) in [
            (9, TLS),
            (7, GSS),
            (12, CANCEL),
            (269, CANCEL),
            (7, 0x0003_0000),
            (10_005, 0x0003_0000),
            (u32::MAX, 0x0003_0000),
            (0, 0),
        ] {
            assert_eq!(head(packet(length, code)), Err(BadHead::Length(length)), "{code}");
        }
        assert_eq!(head(packet(8, 0x0002_0001)), Err(BadHead::Version(2, 1)));
    }

    #[test]
    fn what_comes_to_the_wrong_port_is_named() {
        assert_eq!(head([0x16, 3, 1, 2, 0, 1, 0, 1]), Err(BadHead::Tls));
        assert_eq!(head(*b"GET / HT"), Err(BadHead::Http));
    }

    #[test]
    fn the_user_is_found_among_the_parameters() {
        let content = b"database\0user\0user\0admin@server\0\0";
        assert_eq!(user(content), Some(&b"admin@server"[..]));
        for content in [&b""[..], b"\0", b"user", b"a\0b\0\0user\0c\0\0", b"a\0"] {
            assert_eq!(user(content), None, "{content:?}");
        }
    }

    #[test]
    fn the_code_of_a_servers_error_is_read() {
        assert_eq!(sqlstate(&error_response("53300", "too many", "fewer")), Some("53300"));
        for bytes in
            [&b""[..], b"E", b"E\0\0\0\x08C1\0", b"R\0\0\0\x08\0\0\0\0", b"E1234S\0\0C12345"]
        {
            assert_eq!(sqlstate(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_hostile_passes_the_bounds(bytes: [u8; HEAD], content: Vec<u8>) {
            match head(bytes) {
                Ok(Head::Startup(rest)) => prop_assert!(rest <= 9996 && bytes[4..6] == [0, 3]),
                Ok(Head::Cancel(rest)) => prop_assert!((5..=260).contains(&rest)),
                Ok(Head::TlsWanted | Head::GssWanted) | Err(_) => {}
            }
            user(&content);
            sqlstate(&content);
        }

        #[test]
        fn an_error_is_whole_whatever_its_words_are(message: String, hint: String) {
            let bytes = error_response("08006", &message, &hint);
            let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap());
            prop_assert_eq!(length as usize, bytes.len() - 1);
            prop_assert!(bytes.ends_with(&[0, 0]));
            // Five fields, and the end.
            let fields = bytes[5..].split(|byte| *byte == 0).count();
            prop_assert_eq!(fields, 7);
        }
    }
}
