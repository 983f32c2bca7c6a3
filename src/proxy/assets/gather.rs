//! Makes a table of assets from what the directories hold.
//!
//! Owns: which file is a variant of which, the order in which memory is given, the threads.
//! Must not know: requests, when a table is wanted.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::manifest::{self, Manifest};
use super::store::{Claim, Gone, Location, Store, Stored};
use super::table::{Entry, Table};
use super::walk::{Found, Listing, Oddity};
use super::{Place, Settings};
use crate::coding::{Coding, is_compressed_already};

/// A table and what it was made of.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) table: Arc<Table>,
    pub(super) store: Store,
    pub(super) files: Vec<Read>,
    /// What an operator should look at.
    pub(super) oddities: Vec<Oddity>,
    /// Whether a file was being written, or could not be read: it should be tried again.
    pub(super) is_restless: bool,
}

/// A file with its variants, read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    place: usize,
    found: Found,
    pub(super) identity: Arc<Stored>,
    pub(super) variants: Vec<(Coding, Arc<Stored>)>,
    /// Whether variants lie beside the file, sound or not: then none are made here.
    has_own_variants: bool,
}

impl Read {
    pub(super) fn name(&self) -> &str {
        &self.found.name
    }

    /// Whether variants may be made here.
    pub(super) fn may_get_variants(&self) -> bool {
        !self.has_own_variants && !is_compressed_already(self.name())
    }
}

/// A file with its variants, to be read.
#[derive(Debug)]
struct Unread {
    place: usize,
    directory: Arc<Path>,
    root: Arc<Path>,
    found: Found,
    variants: Vec<(Coding, Found)>,
}

/// Reads what the listings name and `former` does not have. It blocks.
pub(super) fn gather(settings: &Settings, listings: &[Listing], former: &Gathered) -> Gathered {
    let mut work: Vec<_> = listings
        .iter()
        .enumerate()
        .flat_map(|(place, listing)| pair_up(settings, place, listing))
        .collect();
    // Small ones first: they are asked for most, and memory goes round among most of them.
    work.sort_by_key(|unread| unread.found.version.size);
    let desk = Desk {
        store: Store::new(settings.memory),
        former: &former.store,
        settings,
        oddities: Mutex::default(),
        files: Mutex::default(),
        next: AtomicUsize::new(0),
        unread: AtomicUsize::new(0),
    };
    thread::scope(|scope| {
        for _ in 1..threads(work.len()) {
            scope.spawn(|| desk.read_all(&work));
        }
        desk.read_all(&work);
    });
    let mut files = desk.files.into_inner().unwrap_or_else(PoisonError::into_inner);
    // Later places win, and nothing depends on which thread was faster.
    files.sort_by(|one, other| (one.place, one.name()).cmp(&(other.place, other.name())));
    let mut oddities: Vec<_> =
        listings.iter().flat_map(|listing| listing.oddities.iter().cloned()).collect();
    oddities.extend(desk.oddities.into_inner().unwrap_or_else(PoisonError::into_inner));
    let is_restless = desk.unread.into_inner() > 0;
    let mut gathered =
        Gathered { table: Arc::default(), store: desk.store, files, oddities, is_restless };
    gathered.adopt_made(former);
    gathered.lay(settings, listings);
    gathered
}

impl Gathered {
    /// Takes over the variants that were made here for files that are still the same.
    fn adopt_made(&mut self, former: &Self) {
        let made = former.files.iter().filter(|file| file.may_get_variants());
        let made = made.filter(|file| !file.variants.is_empty());
        let made: HashMap<_, _> = made.map(|file| (file.identity.digest, &file.variants)).collect();
        for file in self.files.iter_mut().filter(|file| file.may_get_variants()) {
            let Some(variants) = made.get(&file.identity.digest) else { continue };
            for (coding, variant) in *variants {
                if let Some(kept) = self.store.keep_made_again(variant) {
                    file.variants.push((*coding, kept));
                }
            }
        }
    }

    /// Lays the table anew from the files that were read.
    pub(super) fn lay(&mut self, settings: &Settings, listings: &[Listing]) {
        let manifests: Vec<_> = settings
            .places
            .iter()
            .zip(listings)
            .map(|(place, listing)| read_manifest(place, listing, &mut self.oddities))
            .collect();
        let mut table = Table::default();
        for file in &self.files {
            let Some(place) = settings.places.get(file.place) else { continue };
            let manifest = manifests.get(file.place).and_then(Option::as_ref);
            // What may still be written must not be kept for ever.
            let is_immutable =
                file.identity.is_settled && is_immutable(settings, place, manifest, file.name());
            let entry = Entry {
                prefix: &place.prefix,
                name: file.name(),
                modified: file.found.version.modified,
                is_immutable,
                identity: Arc::clone(&file.identity),
                variants: file.variants.clone(),
            };
            table.put(entry, &settings.rules, settings.index.as_deref(), &settings.reserved);
        }
        let shadowed = table.shadowed.drain(..).map(|path| Oddity {
            path: PathBuf::from(path),
            what: "the platform's path is not served from a file",
        });
        self.oddities.extend(shadowed);
        self.note_missing(settings, &manifests);
        self.table = Arc::new(table);
    }

    /// What a manifest names and is not there: a collection is going on, or it is incomplete.
    fn note_missing(&mut self, settings: &Settings, manifests: &[Option<Manifest>]) {
        let names: HashSet<_> = self.files.iter().map(|file| (file.place, file.name())).collect();
        let mut missing = Vec::new();
        for (at, (place, manifest)) in settings.places.iter().zip(manifests).enumerate() {
            let Some(manifest) = manifest else { continue };
            let gone = manifest.hashed().filter(|name| !names.contains(&(at, *name)));
            missing.extend(gone.map(|name| place.directory.join(name)));
        }
        // One tells enough; they tend to be many.
        self.oddities.extend(missing.into_iter().min().map(|path| Oddity { path, what: UNNAMED }));
    }
}

/// Django's manifest decides where there is one; elsewhere a name with a hash as Django writes it.
/// The operator's patterns count in any case. At `/` nothing is hashed, as for WhiteNoise.
fn is_immutable(
    settings: &Settings,
    place: &Place,
    manifest: Option<&Manifest>,
    name: &str,
) -> bool {
    if settings.rules.is_immutable(&format!("{}{name}", place.prefix)) {
        return true;
    }
    match manifest {
        Some(manifest) => manifest.is_hashed(name),
        None => settings.rules.immutable.is_empty() && !place.is_top() && has_hash(name),
    }
}

/// Whether a name has twelve hexadecimal digits between two dots before its ending.
fn has_hash(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let mut parts = last.split('.');
    // The first part is the name and the last one the ending.
    let is_hash = |part: &str| {
        part.len() == 12 && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    parts.next_back().is_some() && parts.next().is_some() && parts.any(is_hash)
}

fn read_manifest(place: &Place, listing: &Listing, oddities: &mut Vec<Oddity>) -> Option<Manifest> {
    let root = listing.root.as_ref()?;
    if place.is_top() {
        return None;
    }
    match Manifest::read(root) {
        Ok(manifest) => Some(manifest),
        Err(manifest::Error::Missing) => None,
        Err(why) => {
            let what = if matches!(why, manifest::Error::Unreadable(_)) {
                "the manifest cannot be read"
            } else {
                "the manifest is not what Django writes"
            };
            oddities.push(Oddity { path: root.join(Manifest::NAME), what });
            None
        }
    }
}

/// Puts each variant to its file; one without its file is a file like any other.
fn pair_up(settings: &Settings, place: usize, listing: &Listing) -> Vec<Unread> {
    let (Some(root), Some(Place { directory, .. })) = (&listing.root, settings.places.get(place))
    else {
        return Vec::new();
    };
    let (root, directory): (Arc<Path>, Arc<Path>) =
        (root.as_path().into(), directory.as_path().into());
    let places: HashMap<&str, usize> =
        listing.files.iter().enumerate().map(|(at, found)| (found.name.as_str(), at)).collect();
    let mut variants: HashMap<usize, Vec<(Coding, Found)>> = HashMap::new();
    let mut sources = Vec::new();
    for (at, found) in listing.files.iter().enumerate() {
        let variant = Coding::of_variant(&found.name)
            .and_then(|(coding, name)| Some((coding, *places.get(name)?)));
        match variant {
            Some((coding, of)) => variants.entry(of).or_default().push((coding, found.clone())),
            None => sources.push((at, found)),
        }
    }
    let unread = |(at, found): (usize, &Found)| Unread {
        place,
        directory: Arc::clone(&directory),
        root: Arc::clone(&root),
        found: found.clone(),
        variants: variants.remove(&at).unwrap_or_default(),
    };
    sources.into_iter().map(unread).collect()
}

/// What the reading threads share.
struct Desk<'a> {
    store: Store,
    former: &'a Store,
    settings: &'a Settings,
    oddities: Mutex<Vec<Oddity>>,
    files: Mutex<Vec<Read>>,
    next: AtomicUsize,
    /// Files that should be tried again.
    unread: AtomicUsize,
}

impl Desk<'_> {
    fn read_all(&self, work: &[Unread]) {
        while let Some(unread) = work.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if let Some(read) = self.read(unread) {
                self.files.lock().unwrap_or_else(PoisonError::into_inner).push(read);
            }
        }
    }

    fn read(&self, unread: &Unread) -> Option<Read> {
        let has_own_variants = !unread.variants.is_empty();
        let claim = if has_own_variants { Claim::Half } else { Claim::Full };
        let identity = self.load(unread, &unread.found, claim)?;
        let mut variants = Vec::new();
        for (coding, found) in &unread.variants {
            let Some(variant) = self.load(unread, found, Claim::Full) else { continue };
            let is_sound = self.store.is_variant(*coding, &variant, &identity, self.former);
            match is_sound {
                Ok(true) => variants.push((*coding, variant)),
                Ok(false) => self.note(unread.root.join(&found.name), STALE),
                Err(why) => self.fail(unread.root.join(&found.name), &why),
            }
        }
        let (place, found) = (unread.place, unread.found.clone());
        Some(Read { place, found, identity, variants, has_own_variants })
    }

    fn load(&self, unread: &Unread, found: &Found, claim: Claim) -> Option<Arc<Stored>> {
        let Unread { directory, root, .. } = unread;
        let location = Location::new(directory, root, found, self.settings.links);
        match self.store.load(location.clone(), claim, self.former) {
            Ok(stored) => {
                if !stored.is_settled {
                    self.unread.fetch_add(1, Ordering::Relaxed);
                }
                Some(stored)
            }
            Err(why) => {
                self.fail(location.path(), &why);
                self.store.fall_back(&location, self.former)
            }
        }
    }

    fn fail(&self, path: PathBuf, why: &Gone) {
        self.unread.fetch_add(1, Ordering::Relaxed);
        match why {
            // The next look shows what it has become.
            Gone::Changed => {}
            Gone::Refused(_) => self.note(path, "it cannot be opened"),
            Gone::Unreadable(_) => self.note(path, "it cannot be read"),
        }
    }

    fn note(&self, path: PathBuf, what: &'static str) {
        let oddity = Oddity { path, what };
        self.oddities.lock().unwrap_or_else(PoisonError::into_inner).push(oddity);
    }
}

/// Reading waits for disks as much as it computes; more threads than this gain nothing.
const THREADS: usize = 8;

fn threads(work: usize) -> usize {
    let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    // A thread is worth it from some dozens of files on.
    cores.min(THREADS).min(work / 32 + 1)
}

const UNNAMED: &str = "the manifest names this file, which is not there";
const STALE: &str = "the variant is ignored: it is not one of its file";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::assets::table::Asset;
    use crate::proxy::assets::tests::{folder, packed, settings, write};
    use crate::proxy::assets::{Links, walk};
    use std::fs;

    fn gathered(settings: &Settings, former: &Gathered) -> Gathered {
        let listings: Vec<_> =
            settings.places.iter().map(|place| walk::look(place, Links::Inside)).collect();
        gather(settings, &listings, former)
    }

    fn lines(gathered: &Gathered, path: &str) -> Vec<String> {
        let Some(Asset::File(file)) = gathered.table.get(path) else { panic!("no {path}") };
        file.representations
            .iter()
            .map(|form| String::from_utf8(form.lines.all().to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn variants_go_to_their_files_and_stale_ones_nowhere() {
        let folder = folder();
        let css = b"a{} ".repeat(100);
        fs::write(folder.join("a.css"), &css).unwrap();
        fs::write(folder.join("a.css.gz"), packed(Coding::Gzip, &css)).unwrap();
        fs::write(folder.join("a.css.br"), packed(Coding::Brotli, b"older")).unwrap();
        fs::write(folder.join("orphan.css.gz"), packed(Coding::Gzip, &css)).unwrap();
        let found = gathered(&settings(&folder), &Gathered::default());
        assert_eq!(lines(&found, "/static/a.css").len(), 2);
        assert!(found.table.get("/static/a.css.gz").is_none());
        let orphan = lines(&found, "/static/orphan.css.gz").concat();
        assert!(orphan.contains("content-type: application/gzip\r\n"), "{orphan}");
        assert!(!orphan.contains("content-encoding"), "{orphan}");
        let stale: Vec<_> = found.oddities.iter().filter(|odd| odd.what == STALE).collect();
        assert_eq!(stale.len(), 1);
        assert!(stale[0].path.ends_with("a.css.br"));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_manifest_decides_what_is_kept_for_ever() {
        let folder = folder();
        for name in ["a.css", "a.0123456789ab.css", "old.ba9876543210.css"] {
            write(&folder.join(name), name.as_bytes());
        }
        fs::write(folder.join("new.0123456789ab.css"), "half of it").unwrap();
        let is_kept = |gathered: &Gathered, name: &str| {
            lines(gathered, &format!("/static/{name}")).concat().contains("immutable")
        };
        let settings = settings(&folder);
        let by_name = gathered(&settings, &Gathered::default());
        assert!(is_kept(&by_name, "a.0123456789ab.css"));
        assert!(is_kept(&by_name, "old.ba9876543210.css"));
        assert!(!is_kept(&by_name, "a.css"));
        assert!(!is_kept(&by_name, "new.0123456789ab.css") && by_name.is_restless);
        let text = r#"{"paths": {"a.css": "a.0123456789ab.css"}, "version": "1.1"}"#;
        fs::write(folder.join("staticfiles.json"), text).unwrap();
        let by_manifest = gathered(&settings, &by_name);
        assert!(is_kept(&by_manifest, "a.0123456789ab.css"));
        assert!(!is_kept(&by_manifest, "old.ba9876543210.css"), "Django does not name it");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_hash_stands_between_two_dots() {
        for (name, wanted) in [
            ("a/app.0123456789ab.css", true),
            ("app.min.0123456789ab.css", true),
            ("0123456789ab.css", false),
            ("app.0123456789ab", false),
            ("app.0123456789AB.css", false),
            ("app.0123456789abc.css", false),
            ("0123456789ab.d/app.css", false),
        ] {
            assert_eq!(has_hash(name), wanted, "{name}");
        }
    }
}
