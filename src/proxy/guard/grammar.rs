//! The grammar of a header section's parts.
//!
//! Owns: the parts of a request line; what a name, a value, a target and a length may be made of.
//! Must not know: where in a request they stand, limits.

use super::Refusal;
use crate::proxy::fields::{Known, has_control};

/// A request line in its parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestLine<'a> {
    /// The method, a token.
    pub method: &'a [u8],
    /// The target, in one of the forms of RFC 9112 §3.2.
    pub target: &'a [u8],
    /// Whether the version is HTTP/1.0 and not HTTP/1.1.
    pub is_http_1_0: bool,
}

/// Splits a request line into its parts: method, target and version with one space between them.
pub(super) fn split_request_line(text: &[u8]) -> Result<RequestLine<'_>, Refusal> {
    let (method, rest) = split_token(text);
    let rest = rest.strip_prefix(b" ").ok_or(Refusal::BadRequestLine)?;
    let space = memchr::memchr(b' ', rest).ok_or(Refusal::BadRequestLine)?;
    let (target, version) = rest.split_at_checked(space).ok_or(Refusal::BadRequestLine)?;
    if method.is_empty() || target.is_empty() || version.get(1..).is_none_or(has_space) {
        return Err(Refusal::BadRequestLine);
    }
    if !is_target(target) {
        return Err(Refusal::BadTarget);
    }
    let is_http_1_0 = match version {
        b" HTTP/1.1" => false,
        b" HTTP/1.0" => true,
        _ => return Err(Refusal::BadVersion),
    };
    Ok(RequestLine { method, target, is_http_1_0 })
}

/// A field line in its parts.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// Its name as it came, a token.
    pub name: &'a [u8],
    /// Its name, if that is known beforehand.
    pub known: Option<Known>,
    /// What is behind the colon, without control characters.
    pub value: &'a [u8],
}

/// Splits a field line into its parts.
pub(super) fn split_field(text: &[u8]) -> Result<Field<'_>, Refusal> {
    let field = match split_known(text) {
        Some(field) => field,
        None => match split_token(text) {
            ([], [b' ' | b'\t', ..]) => return Err(Refusal::FoldedField),
            (name @ [_, ..], [b':', value @ ..]) => Field { name, known: None, value },
            _ => return Err(Refusal::BadField),
        },
    };
    if has_control(field.value) { Err(Refusal::BadField) } else { Ok(field) }
}

/// Splits a field line whose name is known, and so a token.
fn split_known(text: &[u8]) -> Option<Field<'_>> {
    let colon = memchr::memchr(b':', text)?;
    let (name, value) = (text.get(..colon)?, text.get(colon + 1..)?);
    Known::find(name).map(|known| Field { name, known: Some(known), value })
}

/// Splits off the longest token at the start.
fn split_token(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| !is(byte, TOKEN)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

fn has_space(text: &[u8]) -> bool {
    text.contains(&b' ')
}

/// Reads a length: digits only, at most 18 of them, so that nothing overflows.
pub(in crate::proxy) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |length, &digit| length * 10 + u64::from(digit - b'0')))
}

/// Whether a target is visible ASCII that an address may hold, without a fragment, in one of the
/// forms of RFC 9112 §3.2.
///
/// Quotes, angle brackets and back-ticks are what browsers always escape; `\` is left out because
/// servers disagree whether it is a slash.
fn is_target(target: &[u8]) -> bool {
    // Nearly every target is a path; the other forms are rare enough to be parsed twice.
    is_clean_target(target)
        && (target.first() == Some(&b'/') || http::Uri::try_from(target).is_ok())
}

/// Whether a target holds nothing but what an address may hold.
pub(super) fn is_clean_target(target: &[u8]) -> bool {
    target.iter().all(|&byte| is(byte, TARGET))
}

fn is(byte: u8, class: u8) -> bool {
    CLASSES.get(usize::from(byte)).is_some_and(|classes| classes & class != 0)
}

/// RFC 9110 §5.6.2: `tchar`.
const TOKEN: u8 = 1;
/// What [`is_target`] allows.
const TARGET: u8 = 2;

/// The classes of each byte: the loops over every header section look them up.
static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "a table of 256 has a place for every byte")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let letter = byte as u8;
        if letter.is_ascii_alphanumeric() || among(letter, b"!#$%&'*+-.^_`|~") {
            classes[byte] |= TOKEN;
        }
        if letter.is_ascii_graphic() && !among(letter, b"\"#<>\\`") {
            classes[byte] |= TARGET;
        }
        byte += 1;
    }
    classes
}

#[expect(clippy::indexing_slicing, reason = "the place is below the length")]
const fn among(byte: u8, bytes: &[u8]) -> bool {
    let mut place = 0;
    while place < bytes.len() {
        if bytes[place] == byte {
            return true;
        }
        place += 1;
    }
    false
}
