//! Keeps the content of assets: what tells contents apart, and which of them are in memory.
//!
//! Owns: digests, the budget of memory, the proof that a variant is one of its file.
//! Must not know: URLs, fields, which request wants what.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::Links;
use super::body::Body;
use super::walk::{Found, Version};
use crate::coding::Coding;
use crate::proxy::file::conditions::Validators;
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
    pub(super) body: Option<Body>,
    /// Where it was read; nothing for what was made here.
    pub(super) place: Option<Location>,
    /// Whether it had rested for a while when it was read: else somebody may still be writing, and
    /// more may come without another time.
    pub(super) is_settled: bool,
}

/// Where a file lies.
#[derive(Clone, Debug)]
pub(super) struct Location {
    /// The directory as it is called, and its real path when it was looked at.
    directory: Arc<Path>,
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
    /// Where `found` lies beneath `directory`, whose real path is `root`.
    pub(super) fn new(
        directory: &Arc<Path>,
        root: &Arc<Path>,
        found: &Found,
        links: Links,
    ) -> Self {
        let (directory, root) = (Arc::clone(directory), Arc::clone(root));
        Self { directory, root, name: found.name.clone(), version: found.version, links }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    /// Opens the file, if it is still the version that was looked at. It blocks.
    pub(super) fn open(&self) -> Result<Opened, Gone> {
        let opened = self.open_in(&self.root)?;
        self.check(&opened.file)?;
        Ok(opened)
    }

    /// Opens the file as it is now; its directory may be another one of the same name, as after a
    /// deployment. It blocks.
    pub(super) fn open_anew(&self) -> Result<Opened, Refusal> {
        match fs::canonicalize(&self.directory) {
            Ok(root) => self.open_in(&root),
            Err(_) => Err(Refusal::Missing(self.path())),
        }
    }

    fn open_in(&self, root: &Path) -> Result<Opened, Refusal> {
        match self.links {
            Links::Inside => open_beneath(root, Path::new(&self.name)),
            Links::Anywhere => open_anywhere(root.join(&self.name)),
        }
    }

    fn check(&self, file: &File) -> Result<(), Gone> {
        let is_same = Version::of(&file.metadata()?)? == self.version;
        if is_same { Ok(()) } else { Err(Gone::Changed) }
    }

    fn is_settled(&self) -> bool {
        Validators::is_settled(self.version.modified, SystemTime::now())
    }
}

/// Which file a content is of: its directory as it is called, and its name.
type Key = (Arc<Path>, String);

/// Contents, as they are gathered for one table.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// Bytes of memory that are not taken.
    left: AtomicU64,
    budget: u64,
    contents: Mutex<HashMap<Digest, Body>>,
    /// How many of them lie in sealed files.
    sealed: AtomicUsize,
    stored: Mutex<HashMap<Key, Arc<Stored>>>,
    /// A file's content and a variant's, which was decoded and is the same.
    proven: Mutex<HashSet<(Coding, Digest, Digest)>>,
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
    ///
    /// # Errors
    ///
    /// [`Gone`]: see [`Store::fall_back`] then.
    pub(super) fn load(
        &self,
        location: Location,
        claim: Claim,
        former: &Self,
    ) -> Result<Arc<Stored>, Gone> {
        let key = (Arc::clone(&location.directory), location.name.clone());
        let known = lock(&former.stored).get(&key).cloned().filter(|stored| {
            let place = stored.place.as_ref();
            stored.is_settled && place.is_some_and(|place| place.version == location.version)
        });
        let stored = match known {
            // One that found no room may find some now.
            Some(stored) if stored.body.is_some() || !self.has_room(stored.size, claim) => {
                self.adopt(stored, claim)
            }
            Some(_) | None => Arc::new(self.read(location, claim)?),
        };
        lock(&self.stored).insert(key, Arc::clone(&stored));
        Ok(stored)
    }

    /// What `former` has of a file that cannot be read just now: better than nothing, until the next
    /// look.
    pub(super) fn fall_back(&self, location: &Location, former: &Self) -> Option<Arc<Stored>> {
        let key = (Arc::clone(&location.directory), location.name.clone());
        let known = lock(&former.stored).get(&key).cloned();
        let stored = self.adopt(known.filter(|stored| stored.body.is_some())?, Claim::Full);
        lock(&self.stored).insert(key, Arc::clone(&stored));
        Some(stored)
    }

    /// Takes a content over from another store, with its body if that has room here.
    fn adopt(&self, stored: Arc<Stored>, claim: Claim) -> Arc<Stored> {
        let Some(body) = &stored.body else { return stored };
        if self.keep_again(stored.digest, body, claim) {
            return stored;
        }
        let Stored { digest, size, ref place, is_settled, .. } = *stored;
        Arc::new(Stored { digest, size, body: None, place: place.clone(), is_settled })
    }

    fn read(&self, location: Location, claim: Claim) -> Result<Stored, Gone> {
        let is_settled = location.is_settled();
        let mut opened = location.open()?;
        let size = opened.size;
        let (digest, body) = if let Some(room) = self.claim(size, claim) {
            let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            (&opened.file).take(size.saturating_add(1)).read_to_end(&mut content)?;
            if content.len() as u64 != size {
                return Err(Gone::Changed);
            }
            let digest = Digest::of(&content);
            (digest, Some(self.keep(digest, || Body::new(content, &self.sealed), room)))
        } else {
            let (digest, length) = digest(&mut opened.file, u64::MAX)?;
            if length != size {
                return Err(Gone::Changed);
            }
            (digest, lock(&self.contents).get(&digest).cloned())
        };
        location.check(&opened.file)?;
        Ok(Stored { digest, size, body, place: Some(location), is_settled })
    }

    /// Keeps a content made here, if it has room.
    pub(super) fn keep_made(&self, content: Vec<u8>) -> Option<Arc<Stored>> {
        let (digest, size) = (Digest::of(&content), content.len() as u64);
        let room = self.claim(size, Claim::Full)?;
        let body = Some(self.keep(digest, || Body::new(content, &self.sealed), room));
        Some(Arc::new(Stored { digest, size, body, place: None, is_settled: true }))
    }

    /// Takes a content made here over from the store before, if it has room.
    pub(super) fn keep_made_again(&self, stored: &Arc<Stored>) -> Option<Arc<Stored>> {
        let body = stored.body.as_ref()?;
        self.keep_again(stored.digest, body, Claim::Full).then(|| Arc::clone(stored))
    }

    fn has_room(&self, size: u64, claim: Claim) -> bool {
        self.rest(self.left.load(Ordering::Relaxed), size, claim).is_some()
    }

    /// What would be left of `left` bytes.
    fn rest(&self, left: u64, size: u64, claim: Claim) -> Option<u64> {
        let reserve = if claim == Claim::Half { self.budget / 2 } else { 0 };
        left.checked_sub(size).filter(|rest| *rest >= reserve)
    }

    /// Takes room before anything is read: many threads read at once.
    fn claim(&self, size: u64, claim: Claim) -> Option<Room<'_>> {
        let rest = |left| self.rest(left, size, claim);
        let claimed = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
        // Not `then_some`: a room that was not claimed must not be given back.
        claimed.ok().map(|_| Room { left: &self.left, size })
    }

    /// Keeps a body in its room. A content that is there already gives the room back, as when Django
    /// has written a file under two names.
    fn keep(&self, digest: Digest, body: impl FnOnce() -> Body, room: Room<'_>) -> Body {
        let mut contents = lock(&self.contents);
        if let Some(known) = contents.get(&digest) {
            return known.clone();
        }
        let body = body();
        contents.insert(digest, body.clone());
        room.take();
        body
    }

    /// Keeps a body that is in memory anyway; whether it has room.
    fn keep_again(&self, digest: Digest, body: &Body, claim: Claim) -> bool {
        if lock(&self.contents).contains_key(&digest) {
            return true;
        }
        if matches!(body, Body::Sealed(..)) {
            self.sealed.fetch_add(1, Ordering::Relaxed);
        }
        let room = self.claim(body.size(), claim);
        room.map(|room| self.keep(digest, || body.clone(), room)).is_some()
    }

    /// Whether a variant, decoded, is its file. It blocks, unless that is known already.
    pub(super) fn is_variant(
        &self,
        coding: Coding,
        variant: &Stored,
        file: &Stored,
        former: &Self,
    ) -> Result<bool, Gone> {
        let pair = (coding, file.digest, variant.digest);
        let is_known = lock(&former.proven).contains(&pair) || lock(&self.proven).contains(&pair);
        let is_proven = is_known || decoded(coding, variant, file.size)? == Some(file.digest);
        if is_proven {
            lock(&self.proven).insert(pair);
        }
        Ok(is_proven)
    }

    /// Takes it as known that a variant is one of a file: it was made from it.
    pub(super) fn vouch(&self, coding: Coding, variant: &Stored, file: &Stored) {
        lock(&self.proven).insert((coding, file.digest, variant.digest));
    }
}

/// Memory that is taken, and given back unless something is kept in it.
struct Room<'a> {
    left: &'a AtomicU64,
    size: u64,
}

impl Room<'_> {
    fn take(mut self) {
        self.size = 0;
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.left.fetch_add(self.size, Ordering::Relaxed);
    }
}

/// The digest of what a variant decodes to; nothing if it cannot be decoded, or is longer than
/// `size`, which ends bombs early.
fn decoded(coding: Coding, variant: &Stored, size: u64) -> Result<Option<Digest>, Gone> {
    let source: Box<dyn Read> = match (&variant.body, &variant.place) {
        (Some(body), _) => Box::new(io::Cursor::new(body.read()?)),
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
    Ok(result.ok().map(|(digest, _)| digest))
}

/// The digest and the number of the bytes that are read, of at most `limit`.
fn digest(source: &mut dyn Read, limit: u64) -> io::Result<(Digest, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; BUFFER];
    let mut total = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok((Digest::ended(&hasher), total)),
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
    use crate::proxy::assets::tests::{folder, packed, write};
    use crate::proxy::assets::walk::look;
    use std::fs;

    /// Loads every file of a folder, in the order of their names.
    fn load_all(store: &Store, folder: &Path, former: &Store) -> Vec<Arc<Stored>> {
        let place = Place { prefix: "/static/".to_owned(), directory: folder.to_owned() };
        let listing = look(&place, Links::Inside);
        let (directory, root) = (folder.into(), listing.root.unwrap().into());
        let location = |found| Location::new(&directory, &root, found, Links::Inside);
        let locations = listing.files.iter().map(location);
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
        write(&folder.join("a"), b"one");
        write(&folder.join("b"), b"two");
        let first = Store::new(1000);
        let before = load_all(&first, &folder, &Store::default());
        write(&folder.join("b"), b"three");
        // Somebody may still be writing it: it is looked at again.
        fs::write(folder.join("c"), "four").unwrap();
        let second = Store::new(1000);
        let after = load_all(&second, &folder, &first);
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        assert_eq!(after[1].body.as_ref().unwrap().read().unwrap(), "three");
        assert_eq!(second.used(), 12);
        assert!(!after[2].is_settled);
        let again = load_all(&Store::new(1000), &folder, &second);
        assert!(Arc::ptr_eq(&after[1], &again[1]) && !Arc::ptr_eq(&after[2], &again[2]));
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
            let other = if coding == Coding::Gzip { Coding::Brotli } else { Coding::Gzip };
            let variant = store.keep_made(whole).unwrap();
            assert!(!store.is_variant(other, &variant, &file, &nothing).unwrap(), "{coding:?}");
        }
    }
}
