//! Reads the manifest that Django's `ManifestStaticFilesStorage` leaves beside the files.
//!
//! Owns: its name and form, which names may be kept for ever because of it.
//! Must not know: URLs, how an answer is made.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;

/// What a manifest says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Manifest {
    /// The files beneath its directory whose names change with their content.
    hashed: HashSet<String>,
}

/// Why there is no manifest.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// There is none.
    #[error("there is no manifest")]
    Missing,
    /// The system does not read it.
    #[error("the manifest cannot be read")]
    Unreadable(#[source] io::Error),
    /// It is not what Django writes.
    #[error("the manifest is no JSON object with `paths`")]
    Malformed,
}

impl Manifest {
    /// The name of the file.
    pub(super) const NAME: &str = "staticfiles.json";

    /// Reads the manifest in a directory.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub(super) fn read(directory: &Path) -> Result<Self, Error> {
        match fs::read(directory.join(Self::NAME)) {
            Ok(text) => Self::parse(&text),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Err(Error::Missing),
            Err(why) => Err(Error::Unreadable(why)),
        }
    }

    /// Django's rule, which WhiteNoise keeps too: what `paths` maps to has its content's hash in its
    /// name, as long as that differs from the name without it.
    fn parse(text: &[u8]) -> Result<Self, Error> {
        let value: serde_json::Value =
            serde_json::from_slice(text).map_err(|_| Error::Malformed)?;
        let paths =
            value.get("paths").and_then(|paths| paths.as_object()).ok_or(Error::Malformed)?;
        let mut manifest = Self::default();
        for (plain, hashed) in paths {
            let hashed = hashed.as_str().ok_or(Error::Malformed)?;
            if hashed != plain {
                manifest.hashed.insert(hashed.to_owned());
            }
        }
        Ok(manifest)
    }

    /// The files whose names change with their content.
    pub(super) fn hashed(&self) -> impl Iterator<Item = &str> {
        self.hashed.iter().map(String::as_str)
    }

    /// Whether the name of a file changes with its content.
    pub(super) fn is_hashed(&self, name: &str) -> bool {
        self.hashed.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_django_maps_to_is_hashed() {
        let text = r#"{"paths": {"a/b.css": "a/b.0123456789ab.css", "c.txt": "c.txt"},
            "version": "1.1", "hash": "x"}"#;
        let manifest = Manifest::parse(text.as_bytes()).unwrap();
        assert_eq!(manifest.hashed().collect::<Vec<_>>(), ["a/b.0123456789ab.css"]);
        assert!(manifest.is_hashed("a/b.0123456789ab.css"));
        assert!(!manifest.is_hashed("a/b.css") && !manifest.is_hashed("c.txt"));
    }

    #[test]
    fn what_django_does_not_write_is_no_manifest() {
        for text in ["", "{", "[]", "{}", r#"{"paths": []}"#, r#"{"paths": {"a": 1}}"#] {
            assert!(matches!(Manifest::parse(text.as_bytes()), Err(Error::Malformed)), "{text}");
        }
    }
}
