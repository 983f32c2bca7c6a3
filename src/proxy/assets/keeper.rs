//! Keeps the table of assets up to date, beside the way of a request.
//!
//! Owns: when the directories are looked at, when a change counts as complete, the log lines.
//! Must not know: how a table is made, who uses it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout};

use super::gather::{Gathered, gather};
use super::pack::Packer;
use super::walk::{Listing, Oddity, look};
use super::{Assets, Settings};

/// The least time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// A look at a slow share is followed by a pause of so many times what it took: looking never takes
/// more than a fiftieth of the time.
const PAUSE: u32 = 50;

/// A tree that does not come to rest is served as it is after so long.
const REST_DEADLINE: Duration = Duration::from_secs(30);

/// Oddities that were logged are remembered, so that each is told once, up to so many.
const TOLD_LIMIT: usize = 10_000;

/// Looks at the directories again and again, and replaces the table when they have changed.
#[derive(Debug)]
pub struct Keeper {
    assets: Arc<Assets>,
    settings: Arc<Settings>,
    gathered: Gathered,
    /// What the table is made of.
    served: Vec<Listing>,
    packer: Packer,
    told: HashSet<Oddity>,
}

impl Assets {
    /// Looks at the directories once and lays the table. It blocks: see [`Keeper`].
    pub fn look_once(&self) {
        let listings = look_at_all(&self.settings);
        let gathered = gather(&self.settings, &listings, &Gathered::default());
        self.table.send_replace(Some(gathered.table));
    }
}

impl Keeper {
    /// A keeper that has not looked yet.
    pub fn new(assets: Arc<Assets>) -> Self {
        let settings = Arc::clone(&assets.settings);
        let packer = Packer::new(settings.makes_variants);
        let (gathered, served, told) = (Gathered::default(), Vec::new(), HashSet::new());
        Self { assets, settings, gathered, served, packer, told }
    }

    /// Keeps the table up to date, for ever. It needs a runtime of tokio.
    pub async fn run(mut self) {
        if !self.assets.is_on() {
            return std::future::pending().await;
        }
        let Some((listings, mut took)) = self.look().await else { return };
        self.replace(listings).await;
        // What the last look showed, and since when it has not been what is served.
        let mut last: Option<(Vec<Listing>, Instant)> = None;
        loop {
            let pause = self.packer.pause().unwrap_or((took * PAUSE).max(INTERVAL));
            // A nudge is a reason to look at once.
            drop(timeout(pause, self.assets.nudge.notified()).await);
            let Some((listings, time)) = self.look().await else { return };
            took = time;
            if listings == self.served && !self.gathered.is_restless {
                last = None;
                self.pack().await;
                continue;
            }
            // Two looks that show the same: nobody is writing any more.
            let (before, since) = last.take().unwrap_or((Vec::new(), Instant::now()));
            if before == listings || since.elapsed() >= REST_DEADLINE {
                self.replace(listings).await;
            } else {
                last = Some((listings, since));
            }
        }
    }

    async fn look(&self) -> Option<(Vec<Listing>, Duration)> {
        let settings = Arc::clone(&self.settings);
        let begun = Instant::now();
        let listings = spawn_blocking(move || look_at_all(&settings)).await.ok()?;
        Some((listings, begun.elapsed()))
    }

    /// Lays a new table and puts it in the place of the old one.
    async fn replace(&mut self, listings: Vec<Listing>) {
        let begun = Instant::now();
        let settings = Arc::clone(&self.settings);
        let former = std::mem::take(&mut self.gathered);
        let work = spawn_blocking(move || {
            let gathered = gather(&settings, &listings, &former);
            (gathered, listings)
        });
        // It fails only when the runtime ends.
        let Ok((gathered, listings)) = work.await else { return };
        self.packer.begin(&gathered);
        self.gathered = gathered;
        self.served = listings;
        self.publish();
        self.tell(begun.elapsed());
    }

    /// Makes some more variants, if there are any to make.
    async fn pack(&mut self) {
        if !self.packer.has_work() {
            return;
        }
        let settings = Arc::clone(&self.settings);
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut packer = std::mem::take(&mut self.packer);
        let listings = std::mem::take(&mut self.served);
        let work = spawn_blocking(move || {
            if packer.work(&mut gathered) {
                gathered.lay(&settings, &listings);
            }
            (gathered, packer, listings)
        });
        let Ok((gathered, packer, listings)) = work.await else { return };
        self.gathered = gathered;
        self.packer = packer;
        self.served = listings;
        self.publish();
        if !self.packer.has_work() {
            tracing::info!(
                variants = self.packer.made(),
                memory_bytes = self.gathered.store.used(),
                compute_ms = self.packer.spent().as_millis(),
                "variants of static files made in memory; `forebay compress` makes smaller ones"
            );
        }
    }

    fn publish(&self) {
        self.assets.table.send_replace(Some(Arc::clone(&self.gathered.table)));
    }

    fn tell(&mut self, took: Duration) {
        let files = &self.gathered.files;
        tracing::info!(
            files = files.len(),
            paths = self.gathered.table.len(),
            variants = files.iter().map(|file| file.variants.len()).sum::<usize>(),
            memory_bytes = self.gathered.store.used(),
            elapsed_ms = took.as_millis(),
            "static files are served"
        );
        for oddity in &self.gathered.oddities {
            if self.told.len() < TOLD_LIMIT && self.told.insert(oddity.clone()) {
                tracing::warn!(path = %oddity.path.display(), why = oddity.what, "static files");
            }
        }
        // What has been mended is told anew when it comes back.
        self.told.retain(|oddity| self.gathered.oddities.contains(oddity));
    }
}

fn look_at_all(settings: &Settings) -> Vec<Listing> {
    settings.places.iter().map(|place| look(place, settings.links)).collect()
}
