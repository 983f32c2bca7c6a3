//! Looks at files: what they hold, and whether that is known already.
//!
//! Owns: how a file is opened without waiting for anybody, when a hash need not be made again.
//! Must not know: codings, the record, why somebody asks.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blake3::Hash;

/// What a file was seen to hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Seen {
    pub(super) bytes: u64,
    pub(super) hash: Hash,
    /// Nothing where the file was too young to be known by its times.
    pub(super) stamp: Option<Stamp>,
}

/// What changes whenever a file does. The time of its last modification can be set, and images and
/// archives set it to the same for all: so the time of the last change and the number of the file
/// are in it too, which nobody sets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    pub(super) modified_ns: i64,
    pub(super) changed_ns: i64,
    pub(super) inode: u64,
}

/// Looks at files as of one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eye {
    began_ns: i64,
}

/// A file that changed this shortly before may change again without its times showing it: file
/// systems keep them in steps of up to two seconds. Git calls such files racy.
const YOUNG: Duration = Duration::from_secs(2);
/// How much is read at once to be hashed.
const PIECE: usize = 128 << 10;

impl Eye {
    pub(super) fn open_now() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began_ns: i64::try_from(now.as_nanos()).unwrap_or(i64::MAX) }
    }

    /// Looks at a regular file; reads it unless its stamp is that of `known`.
    pub(super) fn see(self, path: &Path, known: Option<&Seen>) -> io::Result<Seen> {
        let (mut file, metadata) = open(path)?;
        let stamp = Stamp::of(&metadata);
        if let Some(known) = known
            && known.stamp == Some(stamp)
            && known.bytes == metadata.len()
        {
            return Ok(known.clone());
        }
        let mut hasher = blake3::Hasher::new();
        let mut piece = vec![0; PIECE];
        let mut bytes = 0;
        loop {
            let length = match file.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => length,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Err(why),
            };
            hasher.update(piece.get(..length).unwrap_or_default());
            bytes += length as u64;
        }
        let is_settled = self.is_settled(stamp) && Stamp::of(&file.metadata()?) == stamp;
        Ok(Seen { bytes, hash: hasher.finalize(), stamp: is_settled.then_some(stamp) })
    }

    /// Whether a file still holds what it held.
    pub(super) fn still_holds(self, path: &Path, seen: &Seen) -> bool {
        self.see(path, Some(seen)).is_ok_and(|now| now.hash == seen.hash)
    }

    fn is_settled(self, stamp: Stamp) -> bool {
        let young_ns = i64::try_from(YOUNG.as_nanos()).unwrap_or(i64::MAX);
        stamp.changed_ns < self.began_ns.saturating_sub(young_ns)
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
        Self {
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

/// Opens a regular file. A pipe that took its place is refused, not waited for.
pub(super) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

/// The content of a file if it is the one of this hash and size.
pub(super) fn read(path: &Path, bytes: u64, hash: Hash) -> io::Result<Option<Vec<u8>>> {
    let (file, _) = open(path)?;
    let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
    // A byte more, so that a file that grew is noticed, and no more of it.
    file.take(bytes.saturating_add(1)).read_to_end(&mut content)?;
    Ok((blake3::hash(&content) == hash).then_some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(changed_ns: i64) -> Stamp {
        Stamp { modified_ns: 0, changed_ns, inode: 1 }
    }

    #[test]
    fn a_file_is_known_by_its_times_from_two_seconds_on() {
        let eye = Eye { began_ns: 10_000_000_000 };
        assert!(eye.is_settled(at(7_999_999_999)));
        for young in [8_000_000_000, 10_000_000_000, i64::MAX] {
            assert!(!eye.is_settled(at(young)), "{young}");
        }
        assert!(eye.is_settled(at(i64::MIN)));
    }

    #[test]
    fn a_known_stamp_saves_the_reading_and_another_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "content").unwrap();
        let later = Eye { began_ns: i64::MAX };
        let seen = later.see(&path, None).unwrap();
        assert_eq!((seen.bytes, seen.hash), (7, blake3::hash(b"content")));
        assert!(seen.stamp.is_some());
        let claimed = Seen { hash: blake3::hash(b"claimed"), ..seen.clone() };
        assert_eq!(later.see(&path, Some(&claimed)).unwrap(), claimed);
        for doubted in [Seen { bytes: 8, ..claimed.clone() }, Seen { stamp: None, ..claimed }] {
            assert_eq!(later.see(&path, Some(&doubted)).unwrap(), seen);
        }
        // It is young as of now.
        assert_eq!(Eye::open_now().see(&path, None).unwrap().stamp, None);
    }

    #[test]
    fn only_the_content_that_was_seen_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        std::fs::write(&path, "content").unwrap();
        let hash = blake3::hash(b"content");
        assert_eq!(read(&path, 7, hash).unwrap().as_deref(), Some(b"content".as_slice()));
        assert_eq!(read(&path, 5, hash).unwrap(), None);
        std::fs::write(&path, "contents").unwrap();
        assert_eq!(read(&path, 7, hash).unwrap(), None);
        assert!(read(directory.path(), 7, hash).is_err());
    }
}
