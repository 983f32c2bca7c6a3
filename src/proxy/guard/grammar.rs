//! The grammar of a header section's parts.
//!
//! Owns: what a name, a value, a target and a length may be made of.
//! Must not know: where in a request they stand, limits.

use super::Refusal;

/// Splits a field line into its name and what is behind the colon.
pub(super) fn split_field(text: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let (name, rest) = split_token(text);
    let value = match (name, rest) {
        ([], [b' ' | b'\t', ..]) => return Err(Refusal::FoldedField),
        ([_, ..], [b':', value @ ..]) => value,
        _ => return Err(Refusal::BadField),
    };
    if has_control(value) { Err(Refusal::BadField) } else { Ok((name, value)) }
}

/// Splits off the longest token at the start.
pub(super) fn split_token(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| !is(byte, TOKEN)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

pub(super) fn has_space(text: &[u8]) -> bool {
    text.contains(&b' ')
}

/// Reads a length: digits only, at most 18 of them, so that nothing overflows.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 18 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0, |length, &digit| length * 10 + u64::from(digit - b'0')))
}

/// Whether a value holds a control character other than a tab (RFC 9110 §5.5).
pub(super) fn has_control(value: &[u8]) -> bool {
    // Without a branch in it, the loop takes sixteen bytes at a time.
    let found = value.iter().fold(0, |found, &byte| {
        found | u8::from(byte < 0x20) & u8::from(byte != b'\t') | u8::from(byte == 0x7f)
    });
    found != 0
}

/// Whether a target is visible ASCII that an address may hold, without a fragment, in one of the
/// forms of RFC 9112 §3.2.
///
/// Quotes, angle brackets and back-ticks are what browsers always escape; `\` is left out because
/// servers disagree whether it is a slash.
pub(super) fn is_target(target: &[u8]) -> bool {
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
