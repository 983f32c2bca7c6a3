//! Who may go to the application now: what cannot be served at once waits here.
//!
//! Owns: the limit of requests in the application, the line in front of it, how long each may wait.
//! Must not know: connections, HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::Error;
use crate::readiness::{Phase, Readiness};

/// What waiting obeys.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most requests in the application at once, over all data threads.
    pub concurrency: usize,
    /// The most requests that wait, for a place or for the application.
    pub queue_limit: usize,
    /// How long a request may wait for a place.
    pub queue_deadline: Duration,
    /// How long a request may wait for an application that does not listen.
    pub hold_deadline: Duration,
    /// The same for somebody who looks at a browser, and gets a page then.
    pub page_after: Duration,
}

/// The line in front of the application, one for all data threads.
#[derive(Debug)]
pub struct Queue {
    settings: Settings,
    /// First come, first served; who stops waiting is forgotten.
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    readiness: Arc<Readiness>,
    queued: AtomicU64,
    held: AtomicU64,
}

/// A place in the application. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place(#[expect(dead_code, reason = "its drop is its use")] OwnedSemaphorePermit);

/// Counts a request as waiting.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Queue {
    /// A line in which nobody waits.
    pub fn new(settings: Settings, readiness: Arc<Readiness>) -> Self {
        Self {
            settings,
            places: Arc::new(Semaphore::new(settings.concurrency)),
            waiting: AtomicUsize::new(0),
            readiness,
            queued: AtomicU64::new(0),
            held: AtomicU64::new(0),
        }
    }

    /// What it obeys.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Requests that wait now.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Requests in the application now.
    pub fn inside(&self) -> usize {
        self.settings.concurrency.saturating_sub(self.places.available_permits())
    }

    /// How many requests have waited for a place so far.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// How many requests have waited for the application to listen so far.
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether a request would be turned away at once: then its content need not be read.
    pub(super) fn is_full(&self) -> bool {
        self.waiting() >= self.settings.queue_limit
            && (self.places.available_permits() == 0 || self.readiness.phase().holds_visitors())
    }

    /// For how long somebody waits for an application that does not listen.
    pub(super) fn patience(&self, wants_page: bool) -> Duration {
        let Settings { page_after, hold_deadline, .. } = self.settings;
        if wants_page { page_after.min(hold_deadline) } else { hold_deadline }
    }

    /// A place that can be had without waiting.
    ///
    /// # Errors
    ///
    /// [`Error::Dying`].
    pub(super) fn enter_at_once(&self) -> Result<Option<Place>, Error> {
        let phase = self.readiness.phase();
        if phase.is_dying() {
            return Err(Error::Dying);
        }
        if phase.holds_visitors() {
            return Ok(None);
        }
        Ok(Arc::clone(&self.places).try_acquire_owned().ok().map(Place))
    }

    /// Waits for the application and for a place in it.
    ///
    /// # Errors
    ///
    /// [`Error::QueueFull`], [`Error::QueueDeadline`], [`Error::NotBack`] and [`Error::Dying`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting and nothing else.
    pub(super) async fn enter(&self, patience: Instant) -> Result<Place, Error> {
        if let Some(place) = self.enter_at_once()? {
            return Ok(place);
        }
        let _waiting = self.line_up()?;
        loop {
            self.hold(patience).await?;
            let place = self.queue().await?;
            // It may have gone while this request stood in line.
            if !self.readiness.phase().holds_visitors() {
                return Ok(place);
            }
        }
    }

    fn line_up(&self) -> Result<Waiting<'_>, Error> {
        let order = Ordering::Relaxed;
        let is_free = |waiting: usize| (waiting < self.settings.queue_limit).then(|| waiting + 1);
        self.waiting.fetch_update(order, order, is_free).map_err(|_| Error::QueueFull)?;
        Ok(Waiting(&self.waiting))
    }

    /// Waits until there is an application to go to.
    async fn hold(&self, patience: Instant) -> Result<(), Error> {
        if !self.readiness.phase().holds_visitors() {
            return Ok(());
        }
        self.held.fetch_add(1, Ordering::Relaxed);
        let opens = self.readiness.wait_for(|phase| !phase.holds_visitors());
        match timeout_at(patience, opens).await {
            // A stop waits for nobody who may not come.
            Ok(Phase::Draining) => Err(Error::NotBack { is_starting: false }),
            Ok(phase) if phase.is_dying() => Err(Error::Dying),
            Ok(_) => Ok(()),
            Err(_) => Err(Error::NotBack {
                is_starting: matches!(self.readiness.phase(), Phase::Starting(_)),
            }),
        }
    }

    /// Waits for a place.
    async fn queue(&self) -> Result<Place, Error> {
        let free = Arc::clone(&self.places).acquire_owned();
        if self.places.available_permits() == 0 {
            self.queued.fetch_add(1, Ordering::Relaxed);
        }
        match timeout(self.settings.queue_deadline, free).await {
            Ok(Ok(permit)) => Ok(Place(permit)),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(Error::QueueDeadline),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::Reason;

    const SETTINGS: Settings = Settings {
        concurrency: 2,
        queue_limit: 3,
        queue_deadline: Duration::from_secs(30),
        hold_deadline: Duration::from_secs(100),
        page_after: Duration::from_secs(4),
    };

    fn queue(phase: Phase) -> Arc<Queue> {
        let readiness = Arc::new(Readiness::new());
        readiness.set(phase);
        Arc::new(Queue::new(SETTINGS, readiness))
    }

    async fn enter(queue: &Queue, wants_page: bool) -> Result<Place, Error> {
        queue.enter(Instant::now() + queue.patience(wants_page)).await
    }

    async fn settle() {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_came_first_is_served_first_and_who_leaves_is_forgotten() {
        let queue = queue(Phase::Ready);
        let first = enter(&queue, false).await.unwrap();
        let _second = enter(&queue, false).await.unwrap();
        let served = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for number in 0..3 {
            let (queue, served) = (Arc::clone(&queue), Arc::clone(&served));
            waiting.push(tokio::spawn(async move {
                let place = enter(&queue, false).await;
                served.lock().unwrap().push(number);
                drop(place);
            }));
            settle().await;
        }
        assert_eq!((queue.waiting(), queue.inside(), queue.queued()), (3, 2, 3));
        assert!(queue.is_full());
        let turned_away = enter(&queue, false).await;
        assert!(matches!(turned_away, Err(Error::QueueFull)));
        waiting.remove(0).abort();
        settle().await;
        assert_eq!(queue.waiting(), 2);
        drop(first);
        settle().await;
        assert_eq!(*served.lock().unwrap(), [1, 2]);
        assert_eq!(queue.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_does_not_come_for_ever() {
        let queue = queue(Phase::Ready);
        let _places = (enter(&queue, false).await.unwrap(), enter(&queue, false).await.unwrap());
        let begun = Instant::now();
        assert!(matches!(enter(&queue, false).await, Err(Error::QueueDeadline)));
        assert_eq!(begun.elapsed().as_secs(), 30);
        assert_eq!(queue.waiting(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_is_away_is_waited_for() {
        let queue = queue(Phase::Failed(Reason::NotListening));
        let begun = Instant::now();
        let page = enter(&queue, true).await;
        assert!(matches!(page, Err(Error::NotBack { is_starting: false })));
        assert_eq!(begun.elapsed().as_secs(), 4);
        let program = enter(&queue, false).await;
        assert!(matches!(program, Err(Error::NotBack { is_starting: false })));
        assert_eq!(begun.elapsed().as_secs(), 104);
        let back = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            queue.readiness.set(Phase::Ready);
        };
        let (entered, ()) = tokio::join!(enter(&queue, false), back);
        assert!(entered.is_ok());
        assert_eq!((begun.elapsed().as_secs(), queue.held()), (154, 3));
    }
}
