//! The vital signs of one client's connection, and what its deadlines make of them.
//!
//! Owns: what was last read, written and answered; the verdict at a given time.
//! Must not know: sockets, timers, what is done about a verdict.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::Refusal;

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// From the first byte of a header section to its last.
    pub header: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Between two pieces of content, in either direction, while the client is waited for.
    pub body_idle: Duration,
}

/// What a connection deserves at a given time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Nothing before this time.
    KeepOn(Instant),
    /// It has been idle for a moment: its buffers can go.
    Park,
    /// The client took too long over this.
    Overdue(Refusal),
}

/// What the guard, the handler and the owner of a connection know together.
///
/// All of them run on one thread; the lock is never contended.
#[derive(Debug)]
pub struct Vital(Mutex<Signs>);

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent observations, not one state")]
struct Signs {
    /// Requests handed to the handler whose answers have not ended.
    in_flight: u32,
    is_in_head: bool,
    is_at_boundary: bool,
    is_waiting_for_bytes: bool,
    is_tunnel: bool,
    /// Whether the request that was read last is not the parser's.
    is_diverted: bool,
    /// Whether anything was written since the present request began.
    has_answered: bool,
    head_since: Instant,
    /// The last byte read, answer ended, or connection opened.
    last_event: Instant,
    write_blocked_since: Option<Instant>,
    refusal: Option<Refusal>,
    refused_in_flight: bool,
    /// Woken when a pipelined request may go on.
    next_waker: Option<Waker>,
    /// Woken when everything that was to be written is out.
    written_waker: Option<Waker>,
}

/// An idle connection keeps its buffers this long, about 30 KiB. Waking it again costs a few
/// microseconds, which nobody notices at fewer than ten requests a second.
pub const PARK_AFTER: Duration = Duration::from_millis(100);

impl Vital {
    /// Begins when the connection is accepted.
    pub fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(Signs {
            in_flight: 0,
            is_in_head: false,
            is_at_boundary: true,
            is_waiting_for_bytes: false,
            is_tunnel: false,
            is_diverted: false,
            has_answered: false,
            head_since: now,
            last_event: now,
            write_blocked_since: None,
            refusal: None,
            refused_in_flight: false,
            next_waker: None,
            written_waker: None,
        }))
    }

    fn signs(&self) -> MutexGuard<'_, Signs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request was handed to the handler.
    pub fn begin(&self) {
        self.signs().in_flight += 1;
    }

    /// An answer has ended now, whole or not.
    pub fn end(&self, now: Instant) {
        let mut signs = self.signs();
        signs.in_flight = signs.in_flight.saturating_sub(1);
        signs.last_event = now;
        if signs.in_flight == 0
            && let Some(waker) = signs.next_waker.take()
        {
            waker.wake();
        }
    }

    /// Requests handed to the handler whose answers have not ended.
    pub fn in_flight(&self) -> u32 {
        self.signs().in_flight
    }

    /// When the last byte was read or the last answer ended.
    pub fn last_event(&self) -> Instant {
        self.signs().last_event
    }

    /// From now on the connection carries another protocol.
    pub fn becomes_tunnel(&self) {
        self.signs().is_tunnel = true;
    }

    /// Whether the connection carries another protocol.
    pub fn is_tunnel(&self) -> bool {
        self.signs().is_tunnel
    }

    /// The guard keeps a request back that is not the parser's.
    pub(super) fn divert(&self) {
        self.signs().is_diverted = true;
    }

    /// Whether the guard keeps a request back that is not the parser's; told once.
    pub fn take_diverted(&self) -> bool {
        std::mem::take(&mut self.signs().is_diverted)
    }

    /// Whether the next request may go to the parser; if not, `waker` is woken when it may.
    pub(super) fn admits_next(&self, waker: &Waker) -> bool {
        let mut signs = self.signs();
        if signs.in_flight == 0 && signs.write_blocked_since.is_none() {
            return true;
        }
        signs.next_waker = Some(waker.clone());
        false
    }

    pub(super) fn waits_for_bytes(&self) {
        self.signs().is_waiting_for_bytes = true;
    }

    pub(super) fn was_read(&self, is_in_head: bool, is_at_boundary: bool) {
        let mut signs = self.signs();
        let now = Instant::now();
        if signs.is_at_boundary || (is_in_head && !signs.is_in_head) {
            signs.head_since = now;
            signs.has_answered = false;
        }
        signs.is_in_head = is_in_head;
        signs.is_at_boundary = is_at_boundary;
        signs.is_waiting_for_bytes = false;
        signs.last_event = now;
    }

    pub(super) fn was_written(&self, is_blocked: bool, is_interim: bool) {
        let mut signs = self.signs();
        signs.has_answered |= !is_interim;
        if is_blocked {
            signs.write_blocked_since.get_or_insert_with(Instant::now);
        } else if signs.write_blocked_since.take().is_some() {
            if let Some(waker) = signs.written_waker.take() {
                waker.wake();
            }
            if signs.in_flight == 0
                && let Some(waker) = signs.next_waker.take()
            {
                waker.wake();
            }
        }
    }

    /// Whether the client has not taken what is written to it; if so, `waker` is woken when it has.
    pub fn is_write_blocked(&self, waker: &Waker) -> bool {
        let mut signs = self.signs();
        let is_blocked = signs.write_blocked_since.is_some();
        if is_blocked {
            signs.written_waker = Some(waker.clone());
        }
        is_blocked
    }

    /// Whether the request that was read last has been read to its end.
    pub fn is_at_boundary(&self) -> bool {
        self.signs().is_at_boundary
    }

    /// The client is not served any more, for this reason.
    pub fn refuse(&self, refusal: Refusal) {
        let mut signs = self.signs();
        signs.refusal = Some(refusal);
        signs.refused_in_flight = signs.in_flight > 0;
        if signs.is_at_boundary && signs.write_blocked_since.is_none() {
            // What has been written belongs to an earlier request, and is complete.
            signs.has_answered = false;
        }
    }

    /// Why the client is not served any more, if it is not.
    pub fn refusal(&self) -> Option<Refusal> {
        self.signs().refusal
    }

    /// Whether a request was in the handler when the client was refused: then it reports the end.
    pub fn was_refused_in_flight(&self) -> bool {
        self.signs().refused_in_flight
    }

    /// Whether a part of an answer to the present request may have left already.
    pub fn has_answered(&self) -> bool {
        self.signs().has_answered
    }

    /// Judges the connection as it stands at `now`.
    pub fn verdict(&self, now: Instant, deadlines: &Deadlines) -> Verdict {
        let signs = self.signs();
        let (since, allowed, verdict) = if let Some(since) = signs.write_blocked_since {
            (since, deadlines.body_idle, Verdict::Overdue(Refusal::Stalled))
        } else if signs.is_in_head {
            (signs.head_since, deadlines.header, Verdict::Overdue(Refusal::HeaderDeadline))
        } else if !signs.is_at_boundary && signs.is_waiting_for_bytes {
            (signs.last_event, deadlines.body_idle, Verdict::Overdue(Refusal::BodyDeadline))
        } else if signs.in_flight == 0 && signs.is_at_boundary {
            (signs.last_event, PARK_AFTER, Verdict::Park)
        } else {
            // The application is at work; look again in a while.
            return Verdict::KeepOn(now + deadlines.body_idle);
        };
        let until = since + allowed;
        if now < until { Verdict::KeepOn(until) } else { verdict }
    }
}

impl Default for Vital {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINES: Deadlines = Deadlines {
        header: Duration::from_secs(10),
        idle: Duration::from_mins(5),
        body_idle: Duration::from_mins(1),
    };

    #[tokio::test(start_paused = true)]
    async fn each_part_of_a_request_has_its_own_deadline() {
        let vital = Vital::new();
        let begun = Instant::now();
        let at = |seconds| vital.verdict(begun + Duration::from_secs(seconds), &DEADLINES);
        assert_eq!(at(0), Verdict::KeepOn(begun + PARK_AFTER));
        assert_eq!(at(1), Verdict::Park);

        vital.was_read(true, false);
        assert_eq!(at(9), Verdict::KeepOn(begun + Duration::from_secs(10)));
        assert_eq!(at(10), Verdict::Overdue(Refusal::HeaderDeadline));

        vital.was_read(false, false);
        vital.begin();
        assert!(matches!(at(61), Verdict::KeepOn(_)), "nobody waits for the client");
        vital.waits_for_bytes();
        assert_eq!(at(60), Verdict::Overdue(Refusal::BodyDeadline));

        vital.was_read(false, true);
        assert!(matches!(at(400), Verdict::KeepOn(_)), "the application is at work");
        vital.was_written(true, false);
        assert_eq!(at(60), Verdict::Overdue(Refusal::Stalled));
        vital.was_written(false, false);
        vital.end(Instant::now());
        assert_eq!(at(1), Verdict::Park);
    }

    #[tokio::test(start_paused = true)]
    async fn dribbling_a_header_section_does_not_extend_its_deadline() {
        let vital = Vital::new();
        vital.was_read(true, false);
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(9)).await;
        vital.was_read(true, false);
        let verdict = vital.verdict(begun + DEADLINES.header, &DEADLINES);
        assert_eq!(verdict, Verdict::Overdue(Refusal::HeaderDeadline));
    }

    #[tokio::test]
    async fn a_refusal_between_two_requests_is_answered_and_one_in_an_answer_is_not() {
        let vital = Vital::new();
        vital.was_read(false, true);
        vital.begin();
        vital.was_written(false, false);
        vital.end(Instant::now());
        assert!(vital.has_answered());
        vital.refuse(Refusal::BareLineFeed);
        assert!(!vital.has_answered(), "the answer belongs to the request before");

        let vital = Vital::new();
        vital.was_read(false, false);
        vital.begin();
        vital.was_written(false, false);
        vital.refuse(Refusal::BadChunk);
        assert!(vital.has_answered());
        assert!(vital.was_refused_in_flight());
    }

    #[tokio::test]
    async fn the_next_request_waits_until_the_answer_before_it_has_been_written() {
        let vital = Vital::new();
        vital.begin();
        assert!(!vital.admits_next(Waker::noop()), "it has no answer yet");
        vital.was_written(true, false);
        vital.end(Instant::now());
        assert!(
            !vital.admits_next(Waker::noop()),
            "its answer is still held back by a slow reader"
        );
        vital.was_written(false, false);
        assert!(vital.admits_next(Waker::noop()));
    }
}
