//! The streams of one connection of HTTP/2: how long each may stall, how many may be taken back.
//!
//! Owns: the pace of each answer, the count of requests that came to nothing.
//! Must not know: frames, what a request asks for.

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::proxy::upstream::beside;

/// Runs the streams of a connection, each until it ends or its client takes nothing for too long:
/// a stalled stream holds a worker of the application, and pings are answered all the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Streams {
    pub(super) patience: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let patience = self.patience;
        tokio::spawn(async move {
            let pace = Arc::new(Pace::default());
            let mut stream = pin!(beside(Box::pin(PACE.scope(Arc::clone(&pace), stream))));
            loop {
                tokio::select! {
                    () = &mut stream => return,
                    // Dropping the stream resets it.
                    () = sleep(patience) => if pace.is_stalled(patience) { return },
                }
            }
        });
    }
}

tokio::task_local! {
    /// The pace of the stream whose task this is.
    static PACE: Arc<Pace>;
}

/// Since when an answer waits for its client, if it does.
#[derive(Debug, Default)]
struct Pace(Mutex<Option<Instant>>);

impl Pace {
    fn is_stalled(&self, patience: Duration) -> bool {
        let waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.is_some_and(|since| since.elapsed() >= patience)
    }

    fn tell(&self, waiting: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }
}

/// Content that tells its stream when it was last asked for. hyper asks for one piece ahead of the
/// client's window and no more, so that a window of zero shows as well.
#[derive(Debug)]
pub(super) struct Paced<B> {
    content: B,
    /// What is left of a large piece. Small ones show that a client takes some, however little.
    rest: Bytes,
    pace: Option<Arc<Pace>>,
}

impl<B> Paced<B> {
    /// Begins to wait for the client. Must be called in the task of the stream.
    pub(super) fn new(content: B) -> Self {
        let pace = PACE.try_with(Arc::clone).ok();
        if let Some(pace) = &pace {
            pace.tell(Some(Instant::now()));
        }
        Self { content, rest: Bytes::new(), pace }
    }
}

/// So much is handed out at once: a frame of HTTP/2.
const PIECE: usize = 16 * 1024;

impl<B: Body<Data = Bytes> + Unpin> Body for Paced<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        if self.rest.is_empty() {
            let frame = Pin::new(&mut self.content).poll_frame(cx);
            match frame {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return self.told(Poll::Ready(Some(Ok(frame)))),
                },
                other @ (Poll::Ready(_) | Poll::Pending) => return self.told(other),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.told(Poll::Ready(Some(Ok(Frame::data(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.rest.len() as u64;
        let mut hint = self.content.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + left);
        }
        hint.set_lower(hint.lower() + left);
        hint
    }
}

impl<B> Paced<B> {
    /// Takes note of what is handed out.
    fn told<T>(&self, frame: Poll<T>) -> Poll<T> {
        if let Some(pace) = &self.pace {
            // While there is no frame the application is waited for.
            pace.tell(frame.is_ready().then(Instant::now));
        }
        frame
    }
}

/// How many requests of a connection were answered, and how many came to nothing: because the
/// client took them back (CVE-2023-44487), or made forebay reset them (CVE-2025-8671). h2 counts
/// only those that are taken back before they are read, and the application pays for the others.
#[derive(Debug, Default)]
pub(super) struct Tally {
    answered: AtomicU64,
    wasted: AtomicU64,
    struck: Notify,
}

impl Tally {
    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> Attempt {
        Attempt { tally: Arc::clone(self), is_answered: false }
    }

    /// Waits until [`WASTE_LIMIT`] more requests were wasted than answered. A visitor who leaves a
    /// page cancels dozens, and a front end brings many visitors together: both are answered more.
    pub(super) async fn struck(&self) {
        self.struck.notified().await;
    }
}

/// One request, until its answer begins.
#[derive(Debug)]
pub(super) struct Attempt {
    tally: Arc<Tally>,
    is_answered: bool,
}

impl Attempt {
    /// The answer begins.
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Tally { answered, wasted, struck } = &*self.tally;
        if self.is_answered {
            answered.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let wasted = wasted.fetch_add(1, Ordering::Relaxed) + 1;
        if wasted > answered.load(Ordering::Relaxed) + WASTE_LIMIT {
            struck.notify_one();
        }
    }
}

/// As many as may be open at once.
const WASTE_LIMIT: u64 = super::http2::STREAM_LIMIT as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    async fn is_struck(tally: &Tally) -> bool {
        timeout(Duration::from_millis(1), tally.struck()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn wasted_requests_strike_at_the_limit_and_answers_make_up_for_them() {
        let tally = Arc::new(Tally::default());
        for _ in 0..10 {
            tally.begin().answered();
        }
        for _ in 0..WASTE_LIMIT + 10 {
            drop(tally.begin());
        }
        assert!(!is_struck(&tally).await, "as many as it may");
        drop(tally.begin());
        assert!(is_struck(&tally).await, "one more");
    }
}
