//! Errors with their causes, in one line.
//!
//! Owns: how causes are joined.
//! Must not know: which error, who reads the line.

use std::error::Error;
use std::iter::successors;

/// The causes of an error, the nearest first.
pub fn causes<'a>(error: &'a (dyn Error + 'a)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    successors(error.source(), |&cause| cause.source())
}

/// All causes of an error in one line; nothing where there is none.
pub fn cause(error: &dyn Error) -> Option<String> {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.join(": "))
}

/// An error and all its causes in one line.
pub fn chain(error: &dyn Error) -> String {
    match cause(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("inner")]
    struct Inner(#[source] io::Error);

    #[test]
    fn causes_follow_the_nearest_first() {
        let error = Outer(Inner(io::Error::other("disk")));
        assert_eq!(chain(&error), "outer: inner: disk");
        assert_eq!(cause(&error).as_deref(), Some("inner: disk"));
        let bare = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!((chain(&bare), cause(&bare)), (bare.to_string(), None));
    }
}
