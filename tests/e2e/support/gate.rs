//! Holds a response of the site half sent for as long as a test needs it.

use std::fs;

use super::{database, fresh_number};

/// A file that `/events/` waits for between its first and its last event.
pub(crate) struct Gate(String);

impl Gate {
    /// The file is not there yet.
    pub(crate) fn closed() -> Self {
        Self(format!("{}/gate-{}", database::directory(), fresh_number()))
    }

    /// The request line, without the version, of the response that waits.
    pub(crate) fn events(&self) -> String {
        format!("GET /events/?until={}", self.0)
    }

    /// Lets the response end.
    pub(crate) fn open(&self) {
        fs::write(&self.0, "").unwrap();
    }
}
