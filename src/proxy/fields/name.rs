//! The name of a field.
//!
//! Owns: how a name is read, kept and compared.
//! Must not know: what a field means.

use std::fmt;

use http::HeaderName;

use super::known::Known;

/// The name of a field, in lower case.
#[derive(Clone, Eq, PartialEq)]
pub struct Name(Repr);

/// A name that is known is never kept as another one.
#[derive(Clone, Eq, PartialEq)]
enum Repr {
    Known(Known),
    Other(Box<str>),
}

impl Name {
    /// A known name.
    pub const fn known(known: Known) -> Self {
        Self(Repr::Known(known))
    }

    /// Reads a name in any case; nothing if it is no token (RFC 9110 §5.6.2).
    pub fn read(name: &[u8]) -> Option<Self> {
        Known::find(name).map(Self::known).or_else(|| Self::read_other(name))
    }

    /// Reads a name that is not known, as [`Name::read`].
    pub(in crate::proxy) fn read_other(name: &[u8]) -> Option<Self> {
        HeaderName::from_bytes(name).ok().map(|name| Self::other(&name))
    }

    fn other(name: &HeaderName) -> Self {
        Self(Repr::Other(name.as_str().into()))
    }

    /// The place of a known name among all of them.
    pub(in crate::proxy) fn number(&self) -> Option<usize> {
        match self.0 {
            Repr::Known(known) => Some(known.number()),
            Repr::Other(_) => None,
        }
    }

    /// The same name as `http` keeps it.
    pub(in crate::proxy) fn to_http(&self) -> Option<HeaderName> {
        match &self.0 {
            Repr::Known(known) => known.to_http(),
            Repr::Other(name) => HeaderName::from_bytes(name.as_bytes()).ok(),
        }
    }

    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Known(known) => known.as_str(),
            Repr::Other(name) => name,
        }
    }
}

impl From<&HeaderName> for Name {
    fn from(name: &HeaderName) -> Self {
        Known::find(name.as_str().as_bytes()).map_or_else(|| Self::other(name), Self::known)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::fields::names;
    use proptest::prelude::*;

    #[test]
    fn a_known_name_is_the_same_however_it_is_written() {
        assert_eq!(Name::read(b"X-Forwarded-For"), Some(names::X_FORWARDED_FOR));
        assert_eq!(Name::from(&http::header::HOST), names::HOST);
    }

    #[test]
    fn what_only_resembles_a_known_name_is_another() {
        for text in
            ["hos", "hosts", "x_forwarded_for", "x-forwarded-fo^", "x-forwarded-fo", "cookie2"]
        {
            let name = Name::read(text.as_bytes()).unwrap();
            assert_eq!((name.number(), name.as_str()), (None, text), "{text}");
        }
        for text in ["", "a b", "a:", "ä", "a\n"] {
            assert_eq!(Name::read(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn names_are_those_of_http(text in "([!-~]{0,40}|[\\x00-\\xff]{0,12}|x[\\r-]forwarded[\\r_-]for)") {
            let own = Name::read(text.as_bytes()).map(|name| name.to_string());
            let theirs = HeaderName::from_bytes(text.as_bytes()).ok().map(|name| name.to_string());
            prop_assert_eq!(own, theirs);
        }
    }
}
