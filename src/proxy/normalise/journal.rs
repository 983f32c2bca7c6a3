//! Keeps what was changed in a request, and why, when somebody wants to know.
//!
//! Owns: the record of changes.
//! Must not know: why anything is changed.

/// One change to a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The field, in lower case.
    pub subject: String,
    /// What it was; nothing if it was not there.
    pub before: Option<String>,
    /// What it is now; nothing if it is gone.
    pub after: Option<String>,
    /// Why.
    pub why: &'static str,
}

/// A place for changes that costs a branch when nobody reads them.
#[derive(Debug, Default)]
pub struct Journal(Option<Vec<Change>>);

impl Journal {
    /// A journal that keeps what it is told, if somebody reads it.
    pub fn new(is_read: bool) -> Self {
        Self(is_read.then(Vec::new))
    }

    /// Notes a change; `change` is called only when somebody reads.
    pub fn note(&mut self, change: impl FnOnce() -> Change) {
        if let Some(changes) = &mut self.0 {
            changes.push(change());
        }
    }

    /// What was noted, in order.
    pub fn into_changes(self) -> Vec<Change> {
        self.0.unwrap_or_default()
    }
}
