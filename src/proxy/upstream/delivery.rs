//! Brings one request to the application, over as many attempts as that safely takes (decision 6).
//!
//! Owns: which connection a request gets, when it may be sent again.
//! Must not know: how a request is written, what the answer says.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use tokio::time::Instant;

use super::connect::Connection;
use super::exchange::{Exchange, ONE_READ, Source};
use super::head::{self, Head, Length};
use super::queue::Place;
use super::running::{Errand, Running};
use super::{Error, Outgoing, Taken, Upstream, connect};
use crate::proxy::intake::Content;
use crate::proxy::proxy_protocol;
use crate::telemetry::Times;

/// One request on its way.
#[derive(Debug)]
pub(super) struct Delivery<'a> {
    upstream: &'a Upstream,
    outgoing: Outgoing<'a>,
    /// The header section.
    text: Bytes,
    /// What passes through cannot be sent twice.
    may_repeat: bool,
    reuse: Reuse,
    repeats: u32,
    arrived: Instant,
    patience: Instant,
}

/// Whether a request may go on a used connection, which may just be closing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reuse {
    /// It may be asked twice: safe by RFC 9110 §9.2.1, without content.
    Always,
    /// It is known afterwards whether it was read ([`Taken::NotAll`]), unless the application reads
    /// requests and then ends their connections.
    IfTrusted,
    /// It is not known, or a used connection has failed it already.
    Never,
}

impl Reuse {
    /// That of a request with so large a header section.
    fn of(outgoing: &Outgoing<'_>, head_bytes: usize, reuses_for_effects: bool) -> Self {
        let content_bytes = match &outgoing.content {
            Content::None if is_safe(&outgoing.head.method) => return Self::Always,
            Content::None => 0,
            Content::Whole(whole) if whole.is_in_memory() => whole.length(),
            Content::Whole(_) | Content::Stream(_) => return Self::Never,
        };
        let is_written_at_once = head_bytes as u64 + content_bytes <= ONE_READ as u64;
        if is_written_at_once && reuses_for_effects { Self::IfTrusted } else { Self::Never }
    }
}

/// A request is sent again at most so often: one that kills its worker must not kill them all.
const REPEATS: u32 = 2;

/// After this time it is more likely that a worker was ended for being slow than that it died by
/// chance, and the same again would take as long.
const REPEAT_WITHIN: Duration = Duration::from_secs(10);

impl<'a> Delivery<'a> {
    /// Begins; nothing is sent yet.
    pub(super) fn new(upstream: &'a Upstream, outgoing: Outgoing<'a>, arrived: Instant) -> Self {
        let patience = arrived + upstream.common.queue.patience(outgoing.wants_page);
        let method = &outgoing.head.method;
        let mut text = BytesMut::with_capacity(2048);
        let length = content_length(method, &outgoing.content);
        head::write_request(&mut text, outgoing.head, length);
        Self {
            reuse: Reuse::of(&outgoing, text.len(), upstream.settings.reuses_for_effects),
            text: text.freeze(),
            may_repeat: !matches!(outgoing.content, Content::Stream(_)),
            repeats: 0,
            arrived,
            patience,
            upstream,
            outgoing,
        }
    }

    /// Sends the request until the application works on it, and waits for its answer to begin.
    ///
    /// # Errors
    ///
    /// Every [`Error`] but those of an answer's content.
    pub(super) async fn run(&mut self, times: &mut Times) -> Result<(Running, Head), Error> {
        let mut place = None;
        loop {
            let mine = match place.take() {
                Some(place) => place,
                None => self.enter(times).await?,
            };
            let begun = Instant::now();
            let (connection, is_fresh) = match self.reach(begun, times).await {
                Ok(found) => found,
                Err(why) if why.is_absence() => {
                    let is_patient = Instant::now() < self.patience;
                    let readiness = &self.upstream.common.readiness;
                    if readiness.mark_gone() && is_patient {
                        // It is waited for, without a place.
                        continue;
                    }
                    if readiness.phase().is_dying() {
                        return Err(Error::Dying);
                    }
                    return Err(Error::NotBack { is_starting: false });
                }
                Err(why) => return Err(why),
            };
            let mut running = self.start((connection, is_fresh), begun, mine);
            match running.head().await {
                Ok(head) => return Ok((running, head)),
                Err(why) if self.may_send_again(&why, is_fresh, begun) => {
                    times.repeats += 1;
                    self.upstream.common.pulse.repeated();
                    place = running.give_up();
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// Waits for the application and for a place in it.
    async fn enter(&self, times: &mut Times) -> Result<Place, Error> {
        let queue = &self.upstream.common.queue;
        if let Some(place) = queue.enter_at_once()? {
            return Ok(place);
        }
        let begun = Instant::now();
        let result = queue.enter(self.patience).await;
        times.queued += begun.elapsed();
        result
    }

    /// Finds a connection, and whether it is fresh.
    async fn reach(&self, begun: Instant, times: &mut Times) -> Result<(Connection, bool), Error> {
        let may_reuse = match self.reuse {
            Reuse::Always => true,
            Reuse::IfTrusted => !self.upstream.common.pulse.has_broken(begun),
            Reuse::Never => false,
        };
        if may_reuse && let Some(connection) = self.upstream.pool.take(begun) {
            return Ok((connection, false));
        }
        let Upstream { settings, common, .. } = self.upstream;
        let deadline = settings.deadlines.connect;
        let result = connect(&settings.address, deadline, &common.pulse).await;
        times.connect += begun.elapsed();
        result.map(|connection| (connection, true))
    }

    /// Puts the request on a connection.
    fn start(
        &mut self,
        (connection, is_fresh): (Connection, bool),
        begun: Instant,
        place: Place,
    ) -> Running {
        let Upstream { settings, pool, errands, .. } = self.upstream;
        let text = match settings.proxy_protocol {
            Some(version) if is_fresh => {
                let mut text = BytesMut::with_capacity(self.text.len() + 128);
                proxy_protocol::write(
                    &mut text,
                    version,
                    self.outgoing.client,
                    self.outgoing.local,
                );
                text.extend_from_slice(&self.text);
                text.freeze()
            }
            _ => self.text.clone(),
        };
        let content = &mut self.outgoing.content;
        let source = if let Content::Whole(whole) = content {
            Source::Kept(whole.reader())
        } else if let Content::Stream(stream) = std::mem::replace(content, Content::None) {
            Source::Client(stream)
        } else {
            Source::None
        };
        let head = self.outgoing.head;
        let errand = (!is_safe(&head.method) && !self.outgoing.is_upgrade).then(|| Errand {
            method: head.method.clone(),
            target: head.uri.clone(),
            errands: errands.clone(),
            begun: self.arrived,
        });
        let exchange = Exchange::new(
            connection,
            head.method.clone(),
            (text, source),
            begun,
            settings.deadlines,
        );
        Running::new(exchange, place, pool, errand.map(Box::new))
    }

    /// Whether the request may be sent once more after a failure: if the application cannot have begun
    /// with it, or if doing it twice is doing it once.
    fn may_send_again(&mut self, why: &Error, is_fresh: bool, begun: Instant) -> bool {
        let Error::ClosedEarly { was_silent, taken } = *why else { return false };
        if !is_fresh && was_silent {
            // It was closed while it was idle, as a rule.
            self.reuse = Reuse::Never;
            if taken == Taken::Unknown {
                self.upstream.common.pulse.broke(Instant::now());
            }
        }
        if !self.may_repeat {
            return false;
        }
        self.repeats += 1;
        let is_harmless = is_idempotent(&self.outgoing.head.method);
        let is_known = taken != Taken::Unknown;
        self.repeats <= REPEATS && (is_known || (is_harmless && begun.elapsed() < REPEAT_WITHIN))
    }
}

/// How the content goes on: with its length where that is known.
fn content_length(method: &Method, content: &Content) -> Length {
    match content {
        // RFC 9110 §8.6: a length is expected where a method anticipates content.
        Content::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            Length::Sized(0)
        }
        Content::None => Length::None,
        Content::Whole(whole) => Length::Sized(whole.length()),
        Content::Stream(stream) => stream.length().map_or(Length::Chunked, Length::Sized),
    }
}

/// RFC 9110 §9.2.1: methods without an effect that the client answers for.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// RFC 9110 §9.2.2: methods whose effect is the same however often they are sent.
fn is_idempotent(method: &Method) -> bool {
    is_safe(method) || matches!(*method, Method::PUT | Method::DELETE)
}
