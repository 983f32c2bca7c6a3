//! Step 4a': shows forebay's own status to whoever has the token.
//!
//! Owns: the public path, who may read it, what a wrong guess costs.
//! Must not know: what the status says, where its numbers come from.
//!
//! It is answered before any queue and in every phase: it is there for the time when nothing else is.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, SERVER,
    VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Response};
use tokio::time::Instant;

use super::fields::{Head, names};
use super::normalise::{Scheme, Seen};
use crate::code::Code;
use crate::status::{Form, Look, POLICY};

pub use crate::status::PATH;

/// What the public status obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The token; nothing if the path is the application's.
    pub token: Option<Token>,
}

/// A token, as its digest: the text itself is kept nowhere.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct Token(blake3::Hash);

impl Token {
    /// Takes a text of 16 to 256 visible letters of ASCII.
    ///
    /// # Errors
    ///
    /// How to mend it, without the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_sound = (LEAST..=MOST).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_sound {
            return Ok(Self(blake3::hash(text.as_bytes())));
        }
        Err(format!(
            "write {LEAST} to {MOST} letters and digits without blanks, such as \
             `openssl rand -hex 24` makes"
        ))
    }

    /// Whether a text is this token. Digests are compared, in a time that says nothing about them.
    fn is(&self, text: &[u8]) -> bool {
        self.0 == blake3::hash(text)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

const LEAST: usize = 16;
const MOST: usize = 256;

/// Why somebody may not read the status.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// There is no token in the request.
    #[error("the request has no token")]
    NoToken,
    /// It is another one.
    #[error("the token is wrong")]
    WrongToken,
    /// So many were wrong that none is looked at for a while.
    #[error("{ATTEMPTS} wrong tokens came from this client within {WINDOW:?}")]
    TooManyAttempts,
}

impl Error {
    /// The code to answer with.
    pub fn code(self) -> Code {
        match self {
            Self::NoToken | Self::WrongToken => Code::StatusToken,
            Self::TooManyAttempts => Code::StatusAttempts,
        }
    }
}

/// Whether a request asks for the status.
pub fn is_asked(request: &Head) -> bool {
    request.uri.path() == PATH && matches!(request.method, Method::GET | Method::HEAD)
}

/// Answers those who have the token.
#[derive(Debug)]
pub struct Desk {
    token: Token,
    look: Look,
    attempts: Mutex<Attempts>,
    has_warned: AtomicBool,
}

impl Desk {
    /// With a token.
    pub fn new(token: Token, look: Look) -> Self {
        let attempts = Mutex::new(Attempts::default());
        Self { token, look, attempts, has_warned: AtomicBool::new(false) }
    }

    /// Answers with the status as a page or as JSON.
    ///
    /// # Errors
    ///
    /// [`Error`]: the client may not read it.
    pub async fn answer(&self, head: &Head, seen: &Seen) -> Result<Response<Bytes>, Error> {
        self.admit(head.fields.get(&names::AUTHORIZATION), seen.client)?;
        let is_clear = seen.scheme == Scheme::Http && !seen.client.to_canonical().is_loopback();
        if is_clear && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                mend = "ask over https, turn `HTTPS Only` on, and then choose another token",
                "the status token came over plain http: others may have read it"
            );
        }
        // Only a runtime that ends has nothing to say.
        let report = self.look.now().await.ok_or(Error::NoToken)?;
        let accept = head.fields.get(&names::ACCEPT);
        let (kind, content) = Form::wanted(accept).write(&report);
        let mut response = Response::new(Bytes::from(content));
        let length = HeaderValue::from(response.body().len());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CONTENT_LENGTH, length);
        for (name, value) in [
            (CACHE_CONTROL, "no-store"),
            (SERVER, "forebay"),
            (VARY, "accept, authorization"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CONTENT_SECURITY_POLICY, POLICY),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }

    fn admit(&self, field: Option<&[u8]>, client: IpAddr) -> Result<(), Error> {
        let now = Instant::now();
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.are_too_many(client, now) {
            return Err(Error::TooManyAttempts);
        }
        let sent = field.map(sent_token).ok_or(Error::NoToken)?;
        if sent.is_some_and(|sent| self.token.is(&sent)) {
            return Ok(());
        }
        attempts.was_wrong(client, now);
        Err(Error::WrongToken)
    }
}

/// The token of a field: `Bearer` (RFC 6750 §2.1), or the password of `Basic` with any user
/// (RFC 7617 §2). Nothing for what is neither.
fn sent_token(field: &[u8]) -> Option<Vec<u8>> {
    let (scheme, rest) = field.split_at_checked(memchr::memchr(b' ', field)?)?;
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = from_base64(rest)?;
    let colon = memchr::memchr(b':', &pair)?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Decodes base64 (RFC 4648 §4), with its padding or without.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|letter| *letter != b'=').map_or(0, |last| last + 1);
    let letters = text.get(..end)?;
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(end * 3 / 4), 0_u32, 0);
    for letter in letters {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).ok()?);
        }
    }
    Some(bytes)
}

/// Wrong tokens by client: of the last ones, and of so many at most.
#[derive(Debug, Default)]
struct Attempts(HashMap<IpAddr, (u32, Instant)>);

impl Attempts {
    fn are_too_many(&self, client: IpAddr, now: Instant) -> bool {
        self.0
            .get(&network(client))
            .is_some_and(|(count, since)| *count >= ATTEMPTS && now < *since + WINDOW)
    }

    fn was_wrong(&mut self, client: IpAddr, now: Instant) {
        let client = network(client);
        if self.0.len() >= CLIENTS && !self.0.contains_key(&client) {
            self.0.retain(|_, (_, since)| now < *since + WINDOW);
            let oldest = self.0.iter().min_by_key(|(_, (_, since))| *since);
            if let Some(oldest) =
                oldest.map(|(client, _)| *client).filter(|_| self.0.len() >= CLIENTS)
            {
                self.0.remove(&oldest);
            }
        }
        let (count, since) = self.0.entry(client).or_insert((0, now));
        if now >= *since + WINDOW {
            (*count, *since) = (0, now);
        }
        *count += 1;
    }
}

/// Whoever has an address of IPv6 has its whole network of 64 bits.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// So many wrong tokens a client may send within [`WINDOW`]; then even the right one is refused, so
/// that guessing tells nothing. A token of 16 letters is not guessed at this pace.
const ATTEMPTS: u32 = 10;

/// See [`ATTEMPTS`]. It is what Retry-After says with FB-61.
const WINDOW: Duration = Duration::from_mins(1);

/// So many clients are remembered; the oldest is forgotten for another.
const CLIENTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RIGHT: &str = "0123456789abcdef";

    fn desk() -> Desk {
        Desk::new(Token::parse(RIGHT).unwrap(), Look::by(crate::status::tests::report))
    }

    fn admit(desk: &Desk, field: &str, client: &str) -> Result<(), Error> {
        desk.admit(Some(field.as_bytes()), client.parse().unwrap())
    }

    #[test]
    fn a_token_has_its_length() {
        assert!(Token::parse(&"a".repeat(15)).is_err());
        assert!(Token::parse(&"a".repeat(16)).is_ok());
        assert!(Token::parse(&"a".repeat(256)).is_ok());
        assert!(Token::parse(&"a".repeat(257)).is_err());
        assert!(Token::parse("0123456789abcde f").is_err());
        assert_eq!(format!("{:?}", Token::parse(RIGHT).unwrap()), "Token");
    }

    #[test]
    fn the_token_comes_as_bearer_or_as_a_password() {
        let desk = desk();
        assert_eq!(desk.admit(None, [127, 0, 0, 1].into()), Err(Error::NoToken));
        for field in [
            "Bearer 0123456789abcdef",
            "bearer  0123456789abcdef",
            // `any:` and `:` before the token.
            "Basic YW55OjAxMjM0NTY3ODlhYmNkZWY=",
            "Basic OjAxMjM0NTY3ODlhYmNkZWY",
        ] {
            assert_eq!(admit(&desk, field, "203.0.113.7"), Ok(()), "{field}");
        }
        for field in [
            "0123456789abcdef",
            "Bearer",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcdef0",
            "Digest 0123456789abcdef",
            "Basic MDEyMzQ1Njc4OWFiY2RlZg==",
            "Basic !",
        ] {
            assert_eq!(admit(&desk, field, "203.0.113.8"), Err(Error::WrongToken), "{field}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_ten_wrong_tokens_none_is_looked_at_for_a_minute() {
        let desk = desk();
        let right = format!("Bearer {RIGHT}");
        for _ in 0..ATTEMPTS {
            assert_eq!(admit(&desk, "Bearer wrong", "2001:db8::1"), Err(Error::WrongToken));
        }
        assert_eq!(admit(&desk, &right, "2001:db8::2"), Err(Error::TooManyAttempts));
        assert_eq!(admit(&desk, &right, "2001:db8:0:1::1"), Ok(()), "somebody else");
        tokio::time::advance(WINDOW).await;
        assert_eq!(admit(&desk, &right, "2001:db8::1"), Ok(()));
        for _ in 1..ATTEMPTS {
            assert_eq!(admit(&desk, "Bearer wrong", "2001:db8::1"), Err(Error::WrongToken));
        }
        assert_eq!(admit(&desk, &right, "2001:db8::1"), Ok(()), "one below");
    }

    #[test]
    fn many_clients_take_no_more_memory() {
        let mut attempts = Attempts::default();
        let now = Instant::now();
        for client in 0..10_000_u32 {
            attempts.was_wrong(std::net::Ipv4Addr::from_bits(client).into(), now);
        }
        assert_eq!(attempts.0.len(), CLIENTS);
    }

    proptest! {
        #[test]
        fn what_is_sent_never_panics(field: Vec<u8>) {
            drop(sent_token(&field));
            drop(from_base64(&field));
        }
    }
}
