//! Keeps the table of assets up to date, beside the way of a request.
//!
//! Owns: when the directories are looked at, when a change counts as complete, the log lines.
//! Must not know: how a table is made, who uses it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::gather::{Gathered, gather};
use super::pack::{Packer, STRETCH};
use super::walk::{Listing, Oddity, look};
use super::{Assets, Settings};

/// The least time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// A look at a slow share where nothing has changed is followed by a pause of so many times what it
/// took: looking takes no more than a fiftieth of the time.
const PAUSE: u32 = 50;

/// A tree that does not come to rest is served as it is after so long.
const REST_DEADLINE: Duration = Duration::from_secs(30);

/// How long the pause before files are tried again that could not be read becomes.
const RETRY_LIMIT: Duration = Duration::from_mins(1);

/// A table is laid anew with variants made here at most so often.
const LAY_INTERVAL: Duration = Duration::from_secs(2);

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
    /// What the last look showed, and since when it has not been what is served.
    unrest: Option<(Vec<Listing>, Instant)>,
    /// When files are tried again that could not be read, and the pause before.
    retry: (Instant, Duration),
    packer: Packer,
    laid: Instant,
    told: HashSet<Oddity>,
}

impl Assets {
    /// Looks at the directories once and lays the table. It blocks: see [`Keeper`].
    pub fn look_once(&self) {
        let listings = look_at_all(&self.settings);
        let gathered = gather(&self.settings, &listings, &Gathered::default());
        self.lay(gathered.table);
    }
}

impl Keeper {
    /// A keeper that has not looked yet.
    pub fn new(assets: Arc<Assets>) -> Self {
        let settings = Arc::clone(&assets.settings);
        let packer = Packer::new(settings.makes_variants);
        let now = Instant::now();
        Self {
            assets,
            settings,
            packer,
            gathered: Gathered::default(),
            served: Vec::new(),
            unrest: None,
            retry: (now, INTERVAL),
            laid: now,
            told: HashSet::new(),
        }
    }

    /// Keeps the table up to date, for ever. It needs a runtime of tokio.
    pub async fn run(mut self) {
        if !self.assets.is_on() {
            return;
        }
        let mut next_look = Instant::now();
        loop {
            if self.packer.has_work() && Instant::now() + STRETCH < next_look {
                sleep(STRETCH).await;
                self.pack().await;
                continue;
            }
            sleep_until(next_look).await;
            let begun = Instant::now();
            let settings = Arc::clone(&self.settings);
            let look = spawn_blocking(move || look_at_all(&settings)).await;
            let took = begun.elapsed();
            match look {
                Ok(listings) => self.compare(listings).await,
                Err(why) => tracing::error!(%why, "static files could not be looked at"),
            }
            // What has been seen to change is not left waiting.
            let pause = if self.unrest.is_some() { took } else { took * PAUSE };
            next_look = Instant::now() + pause.max(INTERVAL);
        }
    }

    /// Decides what a look means.
    async fn compare(&mut self, listings: Vec<Listing>) {
        if listings.iter().any(|listing| listing.has_failed) {
            // Not a change of the files: what is served is served on, and the next look tells more.
            return self
                .tell(listings.iter().flat_map(|listing| listing.oddities.clone()).collect());
        }
        let is_first = self.served.is_empty();
        if is_first {
            return self.replace(listings).await;
        }
        if listings == self.served {
            self.unrest = None;
            if self.gathered.is_restless && Instant::now() >= self.retry.0 {
                self.retry.1 = (self.retry.1 * 2).min(RETRY_LIMIT);
                self.replace(listings).await;
            }
            return;
        }
        // Two looks that show the same: nobody is writing any more.
        let (before, since) = self.unrest.take().unwrap_or((Vec::new(), Instant::now()));
        if before == listings || since.elapsed() >= REST_DEADLINE {
            self.retry.1 = INTERVAL;
            self.replace(listings).await;
        } else {
            self.unrest = Some((listings, since));
        }
    }

    /// Lays a new table and puts it in the place of the old one.
    async fn replace(&mut self, listings: Vec<Listing>) {
        let begun = Instant::now();
        let settings = Arc::clone(&self.settings);
        let former = std::mem::take(&mut self.gathered);
        let is_new = listings != self.served;
        let work = spawn_blocking(move || {
            let gathered = gather(&settings, &listings, &former);
            (gathered, listings)
        });
        match work.await {
            Ok((gathered, listings)) => {
                self.packer.begin(&gathered);
                (self.gathered, self.served) = (gathered, listings);
                self.publish();
            }
            Err(why) => {
                // The table stands; the next look begins anew.
                self.served.clear();
                return tracing::error!(%why, "static files could not be read");
            }
        }
        self.retry.0 = Instant::now() + self.retry.1;
        if is_new {
            let files = &self.gathered.files;
            tracing::info!(
                files = files.len(),
                paths = self.gathered.table.len(),
                variants = files.iter().map(|file| file.variants.len()).sum::<usize>(),
                memory_bytes = self.gathered.store.used(),
                elapsed_ms = begun.elapsed().as_millis(),
                "static files are served"
            );
        }
        self.tell(self.gathered.oddities.clone());
    }

    /// Makes some more variants.
    async fn pack(&mut self) {
        let settings = Arc::clone(&self.settings);
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut packer = std::mem::take(&mut self.packer);
        let listings = std::mem::take(&mut self.served);
        let is_due = self.laid.elapsed() >= LAY_INTERVAL;
        let work = spawn_blocking(move || {
            packer.work(&mut gathered);
            if is_due || !packer.has_work() {
                gathered.lay(&settings, &listings);
            }
            (gathered, packer, listings)
        });
        match work.await {
            Ok(done) => (self.gathered, self.packer, self.served) = done,
            // The table stands; the next look begins anew, without variants made here.
            Err(why) => return tracing::error!(%why, "no variants of static files could be made"),
        }
        if is_due {
            self.laid = Instant::now();
        }
        self.publish();
        if !self.packer.has_work() && self.packer.made() > 0 {
            tracing::info!(
                variants = self.packer.made(),
                memory_bytes = self.gathered.store.used(),
                compute_ms = self.packer.spent().as_millis(),
                "variants of static files made in memory; `forebay compress` makes smaller ones"
            );
        }
    }

    fn publish(&self) {
        self.assets.lay(Arc::clone(&self.gathered.table));
    }

    /// Logs what is odd, each oddity once as long as it lasts.
    fn tell(&mut self, oddities: Vec<Oddity>) {
        let oddities: HashSet<_> = oddities.into_iter().take(TOLD_LIMIT).collect();
        for oddity in oddities.difference(&self.told) {
            tracing::warn!(path = %oddity.path.display(), why = oddity.what, "static files");
        }
        self.told = oddities;
    }
}

fn look_at_all(settings: &Settings) -> Vec<Listing> {
    settings.places.iter().map(|place| look(place, settings.links)).collect()
}
