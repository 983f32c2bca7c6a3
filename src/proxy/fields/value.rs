//! The value of a field.
//!
//! Owns: what a value may be made of.
//! Must not know: what it means.

use std::fmt;

use bytes::Bytes;

use crate::scan;

/// The value of a field: no control characters but tabs (RFC 9110 §5.5).
#[derive(Clone, Eq, PartialEq)]
pub struct Value(Bytes);

/// A value holds a control character, and so none of a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a field's value may not hold control characters")]
pub struct HasControl;

impl Value {
    /// A value that is known to be sound.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Checks bytes.
    ///
    /// # Errors
    ///
    /// [`HasControl`].
    pub fn read(bytes: impl Into<Bytes>) -> Result<Self, HasControl> {
        let bytes = bytes.into();
        if has_control(&bytes) { Err(HasControl) } else { Ok(Self(bytes)) }
    }

    /// What the guard, `http` or, in an answer, `httparse` has judged, or forebay has written.
    pub(in crate::proxy) fn judged(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be kept.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The text, as [`text`].
    pub fn to_str(&self) -> Option<&str> {
        text(&self.0)
    }
}

/// The text of a value; nothing if it is not visible ASCII with spaces and tabs.
pub fn text(value: &[u8]) -> Option<&str> {
    let is_strange =
        |byte| u8::from(byte != b'\t') & (u8::from(byte < b' ') | u8::from(byte > b'~'));
    if scan::any(value, is_strange) { None } else { std::str::from_utf8(value).ok() }
}

/// Whether bytes hold a control character other than a tab.
pub(in crate::proxy) fn has_control(bytes: &[u8]) -> bool {
    let is_control =
        |byte| u8::from(byte < b' ') & u8::from(byte != b'\t') | u8::from(byte == 0x7f);
    scan::any(bytes, is_control)
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<str> for &Value {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_no_part_of_a_value() {
        for sound in [&b""[..], b"a b\tc", "ä".as_bytes(), b"\xff"] {
            assert!(Value::read(sound.to_vec()).is_ok(), "{sound:?}");
        }
        for broken in [&b"\n"[..], b"a\r", b"\0", b"\x7f", b"0123456789abcdef\x01"] {
            assert_eq!(Value::read(broken.to_vec()), Err(HasControl), "{broken:?}");
        }
        assert_eq!(text(b"a\xff"), None);
    }
}
