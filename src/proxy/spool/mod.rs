//! Where content waits: memory first, then an unlinked file, both within budgets of the process.
//!
//! Owns: the budgets, content that is kept whole, content that waits in line.
//! Must not know: whose content it is, sockets.

mod budget;
mod file;
mod line;
mod pieces;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;

pub use budget::{Budget, Lease};
pub use line::Line;
pub use whole::{Collector, Reader, Whole};

/// What all content that waits may take.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of memory, over all requests and answers.
    pub memory: u64,
    /// Bytes of files, over all requests and answers.
    pub disk: u64,
    /// Bytes of one answer that may wait in a file.
    pub answer_disk: u64,
    /// Where the files are. They have no name: nothing is left when the process ends.
    pub directory: PathBuf,
}

/// The stores of one process.
#[derive(Debug)]
pub struct Stores {
    memory: Arc<Budget>,
    disk: Arc<Budget>,
    answer_disk: u64,
    directory: PathBuf,
}

impl Stores {
    /// Stores with nothing in them.
    pub fn new(settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            memory: Budget::new(settings.memory),
            disk: Budget::new(settings.disk),
            answer_disk: settings.answer_disk,
            directory: settings.directory,
        })
    }

    /// What waits in memory.
    pub fn memory(&self) -> &Budget {
        &self.memory
    }

    /// What waits in files.
    pub fn disk(&self) -> &Budget {
        &self.disk
    }
}

/// Why content cannot wait.
#[derive(Debug, thiserror::Error)]
pub enum Full {
    /// The budget of files is spent.
    #[error("--spool-disk is spent")]
    Budget,
    /// The file could not be had, or is not taken any more.
    #[error("the spool's file failed")]
    File(#[source] std::io::Error),
    /// The file is not taken in time.
    #[error("the disk behind --spool-dir hangs")]
    Slow,
}
