//! Makes variants in memory of files that have none beside them.
//!
//! Owns: which files are worth it, the encoders' levels, the budget of computing.
//! Must not know: requests, when there is time for it.

use std::collections::HashSet;
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use brotli::enc::BrotliEncoderParams;
use tokio::time::Instant;

use super::gather::Gathered;
use super::store::Digest;
use crate::coding::{Coding, pays};

/// Makes variants, a few at a time.
#[derive(Debug, Default)]
pub(super) struct Packer {
    is_on: bool,
    /// Files that may get variants, the last one first.
    waiting: Vec<usize>,
    spent: Duration,
    made: usize,
    /// Contents that were tried, so that a change of other files does not bring them back.
    tried: HashSet<Digest>,
}

/// All the computing that may be spent between two changes of the files: one core for so long.
const BUDGET: Duration = Duration::from_secs(20);

/// How long is worked at a stretch. A pause of the same length follows: the application, which is
/// starting at the same time, needs the core more.
pub(super) const STRETCH: Duration = Duration::from_millis(250);

/// Smaller files fit into one packet anyway.
const LEAST: u64 = 1024;

/// A larger file would hold up all others for seconds.
const MOST: u64 = 8 * 1024 * 1024;

/// Level 6 of 11: 42 MB of scripts in 3 s, a sixth larger than at level 11, which takes 80.
const BROTLI_LEVEL: i32 = 6;

/// Level 6 of 9, where gzip's gain ends.
const GZIP_LEVEL: u32 = 6;

impl Packer {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    /// Begins anew with the files of a new table.
    pub(super) fn begin(&mut self, gathered: &Gathered) {
        (self.spent, self.made) = (Duration::ZERO, 0);
        self.waiting.clear();
        let present: HashSet<_> = gathered.files.iter().map(|file| file.identity.digest).collect();
        self.tried.retain(|digest| present.contains(digest));
        if !self.is_on {
            return;
        }
        let files = gathered.files.iter().enumerate();
        let worth = files.filter(|(_, file)| {
            let size = file.identity.size;
            file.may_get_variants()
                && file.variants.is_empty()
                && !self.tried.contains(&file.identity.digest)
                && (LEAST..=MOST).contains(&size)
                && file.identity.body.is_some()
        });
        let mut worth: Vec<_> = worth.map(|(at, file)| (file.identity.size, at)).collect();
        // The smallest last, which is taken first: most files are done soonest.
        worth.sort_unstable_by(|one, other| other.cmp(one));
        self.waiting.extend(worth.into_iter().map(|(_, at)| at));
    }

    pub(super) fn has_work(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn made(&self) -> usize {
        self.made
    }

    pub(super) fn spent(&self) -> Duration {
        self.spent
    }

    /// Works for a while; returns whether anything was made. It blocks.
    pub(super) fn work(&mut self, gathered: &mut Gathered) -> bool {
        let (begun, before) = (Instant::now(), self.made);
        while let Some(at) = self.waiting.pop() {
            self.pack(gathered, at);
            if self.spent + begun.elapsed() >= BUDGET {
                self.waiting.clear();
            }
            if begun.elapsed() >= STRETCH {
                break;
            }
        }
        self.spent += begun.elapsed();
        self.made > before
    }

    fn pack(&mut self, gathered: &mut Gathered, at: usize) {
        let Gathered { files, store, .. } = gathered;
        let Some(file) = files.get_mut(at) else { return };
        let body = file.identity.body.as_ref().and_then(|body| body.read().ok());
        let Some(body) = body else { return };
        self.tried.insert(file.identity.digest);
        for coding in [Coding::Brotli, Coding::Gzip] {
            // The encoders write to memory, which does not fail.
            let Ok(packed) = encode(coding, &body) else { continue };
            if !pays(file.identity.size, packed.len() as u64) {
                continue;
            }
            let Some(variant) = store.keep_made(packed) else {
                // Memory is spent.
                return self.waiting.clear();
            };
            store.vouch(coding, &variant, &file.identity);
            file.variants.push((coding, variant));
            self.made += 1;
        }
        self.share(gathered, at);
    }

    /// Gives the variants of one file to all with the same content, as Django writes each twice.
    fn share(&mut self, gathered: &mut Gathered, at: usize) {
        let Some(file) = gathered.files.get(at) else { return };
        let (identity, variants) = (Arc::clone(&file.identity), file.variants.clone());
        self.waiting.retain(|&other| {
            let Some(twin) = gathered.files.get_mut(other) else { return false };
            let is_twin = twin.identity.digest == identity.digest;
            if is_twin {
                twin.variants.clone_from(&variants);
            }
            !is_twin
        });
    }
}

fn encode(coding: Coding, content: &[u8]) -> io::Result<Vec<u8>> {
    if coding == Coding::Brotli {
        let params = BrotliEncoderParams {
            quality: BROTLI_LEVEL,
            lgwin: window(content.len()),
            size_hint: content.len(),
            ..BrotliEncoderParams::default()
        };
        let mut packed = Vec::new();
        brotli::BrotliCompress(&mut io::Cursor::new(content), &mut packed, &params)?;
        return Ok(packed);
    }
    let level = flate2::Compression::new(GZIP_LEVEL);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder.write_all(content)?;
    encoder.finish()
}

/// How far back brotli looks, as a power of two: no further than there is anything, and 1 MiB at
/// most. Its tables grow with it, and zeroing them would cost more than a small file does.
fn window(length: usize) -> i32 {
    let needed = usize::BITS - length.leading_zeros();
    i32::try_from(needed).unwrap_or(20).clamp(10, 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::assets::gather::gather;
    use crate::proxy::assets::store::Store;
    use crate::proxy::assets::tests::{folder, settings};
    use crate::proxy::assets::{Links, Settings, walk};
    use std::fs;

    fn read(settings: &Settings, former: &Gathered) -> Gathered {
        let listings: Vec<_> =
            settings.places.iter().map(|place| walk::look(place, Links::Inside)).collect();
        gather(settings, &listings, former)
    }

    #[test]
    fn files_that_shrink_get_variants_and_twins_share_them() {
        let folder = folder();
        let text = b"some text ".repeat(500);
        for name in ["a.js", "a.0123456789ab.js", "b.png", "own.js"] {
            fs::write(folder.join(name), &text).unwrap();
        }
        fs::write(folder.join("own.js.gz"), "stale").unwrap();
        fs::write(folder.join("small.js"), &text[..1000]).unwrap();
        let settings = settings(&folder);
        let mut gathered = read(&settings, &Gathered::default());
        let mut packer = Packer::new(true);
        packer.begin(&gathered);
        while packer.has_work() {
            packer.work(&mut gathered);
        }
        assert_eq!(packer.made(), 2);
        let counts: Vec<_> =
            gathered.files.iter().map(|file| (file.name(), file.variants.len())).collect();
        let wanted =
            [("a.0123456789ab.js", 2), ("a.js", 2), ("b.png", 0), ("own.js", 0), ("small.js", 0)];
        assert_eq!(counts, wanted);
        for file in &gathered.files {
            for (coding, variant) in &file.variants {
                let nothing = Store::default();
                let is_sound =
                    gathered.store.is_variant(*coding, variant, &file.identity, &nothing);
                assert!(is_sound.unwrap());
            }
        }
        // A new table takes over what was made.
        fs::write(folder.join("new.css"), "a{}").unwrap();
        let again = read(&settings, &gathered);
        let made: usize = again.files.iter().map(|file| file.variants.len()).sum();
        assert_eq!(made, 4);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nothing_is_made_when_it_is_off() {
        let folder = folder();
        fs::write(folder.join("a.js"), b"some text ".repeat(500)).unwrap();
        let gathered = read(&settings(&folder), &Gathered::default());
        let mut packer = Packer::new(false);
        packer.begin(&gathered);
        assert!(!packer.has_work());
        fs::remove_dir_all(folder).unwrap();
    }
}
