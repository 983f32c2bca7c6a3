//! Keeps the content of assets: what tells contents apart, and which of them are in memory.
//!
//! Owns: digests, the budget of memory, the proof that a variant is one of its file.
//! Must not know: URLs, fields, which request wants what.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::Links;
use super::walk::{Found, Version};
use crate::coding::Coding;
use crate::proxy::file::confine::{Opened, Refusal, open_anywhere, open_beneath};

/// Tells one content from any other.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct Digest([u8; 16]);

impl Digest {
    pub(super) fn of(content: &[u8]) -> Self {
        Self::ended(blake3::Hasher::new().update(content))
    }

    /// 128 bits: enough that no two contents of a site are ever taken for one another.
    fn ended(hasher: &blake3::Hasher) -> Self {
        let mut short = [0; 16];
        hasher.finalize_xof().fill(&mut short);
        Self(short)
    }

    /// Its text in an entity tag.
    pub(super) fn text(self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.0))
    }
}

/// The content of a file, or one that was made here, as it was when it was read.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Nothing where the budget had no room.
    pub(super) body: Option<Bytes>,
    /// Where it was read; nothing for what was made here.
    pub(super) place: Option<Location>,
}

/// Where a file lies.
#[derive(Clone, Debug)]
pub(super) struct Location {
    root: Arc<Path>,
    name: String,
    version: Version,
    links: Links,
}

/// Why a file's content is not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum Gone {
    /// It is not the version that was looked at.
    #[error("it has changed meanwhile")]
    Changed,
    /// It is not opened.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not read.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

impl Location {
    /// Where `found` lies beneath `root`, a real path.
    pub(super) fn new(root: &Arc<Path>, found: &Found, links: Links) -> Self {
        let (root, name) = (Arc::clone(root), found.name.clone());
        Self { root, name, version: found.version, links }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// Opens the file, if it is still the version that was looked at. It blocks.
    pub(super) fn open(&self) -> Result<Opened, Gone> {
        let opened = self.open_anew()?;
        self.check(&opened.file)?;
        Ok(opened)
    }

    /// Opens the file as it is now. It blocks.
    pub(super) fn open_anew(&self) -> Result<Opened, Refusal> {
        match self.links {
            Links::Inside => open_beneath(&self.root, Path::new(&self.name)),
            Links::Anywhere => open_anywhere(self.path()),
        }
    }

    fn check(&self, file: &File) -> Result<(), Gone> {
        let is_same = Version::of(&file.metadata()?)? == self.version;
        if is_same { Ok(()) } else { Err(Gone::Changed) }
    }
}

/// Which file a content is of: its directory's real path and its name.
type Key = (Arc<Path>, String);

/// Contents, as they are gathered for one table.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Bytes of memory that are not taken.
    left: AtomicU64,
    budget: u64,
    contents: Mutex<HashMap<Digest, Bytes>>,
    stored: Mutex<HashMap<Key, Arc<Stored>>>,
    /// A file's content and a variant's, which was decoded and is the same.
    proven: Mutex<HashSet<(Digest, Digest)>>,
}

/// How much of the budget a content may claim.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Claim {
    /// All that is left.
    Full,
    /// As long as half of it is left: a file that has variants is rarely asked for as it is.
    Half,
}

impl Store {
    /// An empty store with a budget in bytes.
    pub(super) fn new(budget: u64) -> Self {
        Self { left: AtomicU64::new(budget), budget, ..Self::default() }
    }

    /// Bytes of memory in use.
    pub(super) fn used(&self) -> u64 {
        self.budget.saturating_sub(self.left.load(Ordering::Relaxed))
    }

    /// Reads a file, or takes what `former`, the store of the table before, has of it. It blocks.
    pub(super) fn load(
        &self,
        location: Location,
        claim: Claim,
        former: &Self,
    ) -> Result<Arc<Stored>, Gone> {
        let key = (Arc::clone(&location.root), location.name.clone());
        let known = lock(&former.stored).get(&key).cloned();
        let known = known.filter(|stored| {
            stored.place.as_ref().is_some_and(|place| place.version == location.version)
        });
        let stored = match known {
            Some(stored) => self.adopt(stored),
            None => Arc::new(self.read(location, claim)?),
        };
        lock(&self.stored).insert(key, Arc::clone(&stored));
        Ok(stored)
    }

    /// Takes a content over from another store, with its body if that has room here.
    fn adopt(&self, stored: Arc<Stored>) -> Arc<Stored> {
        let Some(body) = &stored.body else { return stored };
        if self.keep(stored.digest, body.clone(), Claim::Full).is_some() {
            return stored;
        }
        let Stored { digest, size, ref place, .. } = *stored;
        Arc::new(Stored { digest, size, body: None, place: place.clone() })
    }

    fn read(&self, location: Location, claim: Claim) -> Result<Stored, Gone> {
        let mut opened = location.open()?;
        let size = opened.size;
        let (digest, body) = if self.has_room(size, claim) {
            let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            (&opened.file).take(size.saturating_add(1)).read_to_end(&mut content)?;
            let digest = Digest::of(&content);
            (digest, self.keep(digest, content.into(), claim))
        } else {
            let digest = digest(&mut opened.file, u64::MAX)?;
            (digest, lock(&self.contents).get(&digest).cloned())
        };
        location.check(&opened.file)?;
        Ok(Stored { digest, size, body, place: Some(location) })
    }

    /// Keeps a content made here, if it has room.
    pub(super) fn keep_made(&self, content: Vec<u8>) -> Option<Arc<Stored>> {
        let (digest, size) = (Digest::of(&content), content.len() as u64);
        let body = Some(self.keep(digest, content.into(), Claim::Full)?);
        Some(Arc::new(Stored { digest, size, body, place: None }))
    }

    /// Takes a content made here over from `former`, if it has room.
    pub(super) fn keep_again(&self, stored: &Arc<Stored>) -> Option<Arc<Stored>> {
        let body = stored.body.clone()?;
        self.keep(stored.digest, body, Claim::Full)?;
        Some(Arc::clone(stored))
    }

    fn has_room(&self, size: u64, claim: Claim) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        let reserve = if claim == Claim::Half { self.budget / 2 } else { 0 };
        left.checked_sub(size).is_some_and(|rest| rest >= reserve)
    }

    /// Keeps a body within the budget; a content that is there already takes nothing more, as when
    /// Django has written a file under two names.
    fn keep(&self, digest: Digest, body: Bytes, claim: Claim) -> Option<Bytes> {
        let mut contents = lock(&self.contents);
        if let Some(known) = contents.get(&digest) {
            return Some(known.clone());
        }
        // Under the lock, so that two never take the last room both.
        let size = body.len() as u64;
        if !self.has_room(size, claim) {
            return None;
        }
        self.left.fetch_sub(size, Ordering::Relaxed);
        contents.insert(digest, body.clone());
        Some(body)
    }

    /// Whether a variant, decoded, is its file. It blocks, unless that is known already.
    pub(super) fn is_variant(
        &self,
        coding: Coding,
        variant: &Stored,
        file: &Stored,
        former: &Self,
    ) -> Result<bool, Gone> {
        let pair = (file.digest, variant.digest);
        let is_known = lock(&former.proven).contains(&pair) || lock(&self.proven).contains(&pair);
        let is_proven = is_known || decoded(coding, variant, file.size)? == Some(file.digest);
        if is_proven {
            lock(&self.proven).insert(pair);
        }
        Ok(is_proven)
    }

    /// Takes it as known that a variant is one of a file: it was made from it.
    pub(super) fn vouch(&self, variant: &Stored, file: &Stored) {
        lock(&self.proven).insert((file.digest, variant.digest));
    }
}

/// The digest of what a variant decodes to; nothing if it cannot be decoded, or is longer than
/// `size`, which ends bombs early.
fn decoded(coding: Coding, variant: &Stored, size: u64) -> Result<Option<Digest>, Gone> {
    let source: Box<dyn Read> = match (&variant.body, &variant.place) {
        (Some(body), _) => Box::new(io::Cursor::new(body.clone())),
        (None, Some(place)) => Box::new(place.open()?.file),
        (None, None) => return Ok(None),
    };
    let result = match coding {
        Coding::Gzip => digest(&mut flate2::read::MultiGzDecoder::new(source), size),
        Coding::Brotli => digest(&mut brotli::Decompressor::new(source, BUFFER), size),
        Coding::Zstd => match zstd::Decoder::new(source) {
            Ok(mut decoder) => digest(&mut decoder, size),
            Err(why) => Err(why),
        },
    };
    // What cannot be decoded is no variant; a file that cannot be read has its own line.
    Ok(result.ok())
}

/// The digest of what is read, of at most `limit` bytes.
fn digest(source: &mut dyn Read, limit: u64) -> io::Result<Digest> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok(Digest::ended(&hasher)),
            Ok(count) => count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => return Err(why),
        };
        total += count as u64;
        if total > limit {
            return Err(io::Error::other("it is longer than its file"));
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
    }
}

const BUFFER: usize = 64 * 1024;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::assets::Place;
    use crate::proxy::assets::tests::{folder, packed};
    use crate::proxy::assets::walk::look;
    use std::fs;

    /// Loads every file of a folder, in the order of their names.
    fn load_all(store: &Store, folder: &Path, former: &Store) -> Vec<Arc<Stored>> {
        let place = Place { prefix: "/static/".to_owned(), directory: folder.to_owned() };
        let listing = look(&place, Links::Inside);
        let root = listing.root.unwrap().into();
        let locations =
            listing.files.iter().map(|found| Location::new(&root, found, Links::Inside));
        locations.map(|location| store.load(location, Claim::Full, former).unwrap()).collect()
    }

    #[test]
    fn the_same_content_takes_memory_once_and_the_budget_holds() {
        let folder = folder();
        fs::write(folder.join("a"), [1; 600]).unwrap();
        fs::write(folder.join("b"), [1; 600]).unwrap();
        fs::write(folder.join("c"), [2; 600]).unwrap();
        let store = Store::new(1000);
        let loaded = load_all(&store, &folder, &Store::default());
        let in_memory: Vec<_> = loaded.iter().map(|stored| stored.body.is_some()).collect();
        assert_eq!(in_memory, [true, true, false]);
        assert_eq!(store.used(), 600);
        assert_eq!(loaded[0].digest, loaded[1].digest);
        assert_eq!(loaded[2].digest, Digest::of(&[2; 600]), "also when it is read in pieces");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_has_not_changed_is_not_read_again() {
        let folder = folder();
        fs::write(folder.join("a"), "one").unwrap();
        fs::write(folder.join("b"), "two").unwrap();
        let first = Store::new(1000);
        let before = load_all(&first, &folder, &Store::default());
        fs::write(folder.join("b"), "three").unwrap();
        let second = Store::new(1000);
        let after = load_all(&second, &folder, &first);
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        assert_eq!(after[1].body.as_deref(), Some(&b"three"[..]));
        assert_eq!(second.used(), 8);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_variant_is_known_by_what_it_decodes_to() {
        let store = Store::new(1 << 20);
        let content = b"text ".repeat(1000);
        let file = store.keep_made(content.clone()).unwrap();
        let nothing = Store::default();
        for coding in Coding::ALL {
            let whole = packed(coding, &content);
            let is_variant = |bytes: &[u8]| {
                let variant = store.keep_made(bytes.to_vec()).unwrap();
                store.is_variant(coding, &variant, &file, &nothing).unwrap()
            };
            assert!(is_variant(&whole), "{coding:?}");
            assert!(!is_variant(&packed(coding, b"older")), "{coding:?}");
            assert!(!is_variant(&packed(coding, &b"text ".repeat(1001))), "{coding:?}");
            assert!(!is_variant(&whole[..whole.len() / 2]), "{coding:?}");
            assert!(!is_variant(b""), "{coding:?}");
        }
    }
}
