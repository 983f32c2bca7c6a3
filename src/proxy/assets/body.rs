//! The content of an asset in memory.
//!
//! Owns: which contents lie in a sealed file in memory, from which the kernel sends without copying.
//! Must not know: what the content is of, who wants it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::proxy::file::{Content, Piece};

/// A content in memory.
#[derive(Clone, Debug)]
pub enum Body {
    /// In the process's own memory.
    Heap(Bytes),
    /// In a file that has no name and no disk, and that nobody can change any more.
    Sealed(Arc<File>, u64),
}

/// From here on copying a content into the socket costs more than having the kernel send it from a
/// file does.
const SEALED_FROM: usize = 64 * 1024;

/// The most contents in sealed files: each takes a descriptor, and a process may have no more than
/// 1,024 where nobody raised the limit.
const SEALED_LIMIT: usize = 128;

impl Body {
    /// Puts a content where it is sent from best; `sealed` counts the sealed files.
    pub(super) fn new(content: Vec<u8>, sealed: &AtomicUsize) -> Self {
        let is_worth_it =
            content.len() >= SEALED_FROM && sealed.fetch_add(1, Ordering::Relaxed) < SEALED_LIMIT;
        match if is_worth_it { seal(&content).ok() } else { None } {
            Some(file) => Self::Sealed(Arc::new(file), content.len() as u64),
            // Also where the system has no such files.
            None => Self::Heap(content.into()),
        }
    }

    /// Its bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Heap(bytes) => bytes.len() as u64,
            Self::Sealed(_, size) => *size,
        }
    }

    /// Brings the content into the process's own memory.
    ///
    /// # Errors
    ///
    /// What the system says when it reads its own memory, which does not happen.
    pub fn read(&self) -> io::Result<Bytes> {
        match self {
            Self::Heap(bytes) => Ok(bytes.clone()),
            Self::Sealed(file, size) => {
                let mut content = vec![0; usize::try_from(*size).unwrap_or_default()];
                file.read_exact_at(&mut content, 0)?;
                Ok(content.into())
            }
        }
    }

    /// Pieces of it, to be sent in this order.
    pub(super) fn content(&self, pieces: Vec<Piece>) -> Content {
        match self {
            Self::Heap(bytes) => Content::of_memory(bytes, pieces),
            Self::Sealed(file, _) => Content::of_sealed(Arc::clone(file), pieces),
        }
    }
}

fn seal(content: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(memfd_create("asset", flags)?);
    file.write_all(content)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&file, seals)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_contents_are_sealed_up_to_a_number() {
        let sealed = AtomicUsize::new(SEALED_LIMIT - 1);
        let small = Body::new(vec![1; SEALED_FROM - 1], &sealed);
        let large = Body::new(vec![2; SEALED_FROM], &sealed);
        let late = Body::new(vec![3; SEALED_FROM], &sealed);
        assert!(matches!(small, Body::Heap(_)) && matches!(late, Body::Heap(_)));
        let Body::Sealed(file, size) = &large else { panic!("{large:?}") };
        assert_eq!(*size, SEALED_FROM as u64);
        assert!(file.set_len(0).is_err() && file.write_at(b"x", 0).is_err(), "nobody changes it");
        for (body, byte) in [(&small, 1), (&large, 2), (&late, 3)] {
            let content = body.read().unwrap();
            assert_eq!(content.len() as u64, body.size());
            assert!(content.iter().all(|found| *found == byte));
        }
    }
}
