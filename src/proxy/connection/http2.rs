//! Serves a connection of clear-text HTTP/2 (RFC 9113, prior knowledge).
//!
//! Owns: its limits and its orderly end.
//! Must not know: what a request asks for.

use std::error::Error as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::Response;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until};

use super::rewound::Rewound;
use super::streams::{Paced, Streams, Tally};
use super::{Client, Settings, last_call};
use crate::proxy::intake::Arriving;
use crate::proxy::{Gateway, Left};

/// Serves a connection, of which `held` has been read, until it ends.
pub(super) async fn serve<S>(stream: S, held: BytesMut, client: Arc<Client>, gateway: Arc<Gateway>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (vital, peer, settings) = (Arc::clone(&client.vital), client.peer, client.settings);
    let (readiness, tally) = (Arc::clone(&gateway.readiness), Arc::new(Tally::default()));
    let counting = Arc::clone(&tally);
    let service = service_fn(move |request| {
        let (mut head, content) = Arriving::of(request);
        let ending = gateway.begin(&head, &client);
        let (gateway, client) = (Arc::clone(&gateway), Arc::clone(&client));
        let attempt = counting.begin();
        async move {
            let answer = gateway.handle(&mut head, content, &client, ending).await?;
            attempt.answered();
            Ok::<_, Left>(Response::from(answer.map(Paced::new)))
        }
    });
    let stream = Rewound::new(stream, held);
    let stuck = stream.stuck();
    let patience = settings.deadlines.body_idle;
    let mut connection = pin!(
        http2::Builder::new(Streams { patience })
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAM_LIMIT)
            .max_header_list_size(section_limit(&settings))
            .max_pending_accept_reset_streams(RESET_LIMIT)
            .max_local_error_reset_streams(ERROR_LIMIT)
            .keep_alive_interval(patience)
            .keep_alive_timeout(settings.deadlines.header)
            .serve_connection(TokioIo::new(stream), service)
    );
    let mut last_call = pin!(last_call(&readiness));
    let mut closing: Option<Instant> = None;
    loop {
        let idle_until = vital.last_event() + settings.deadlines.idle;
        // Also a connection that is not idle yet may be stuck.
        let look_at = idle_until.min(Instant::now() + patience).max(Instant::now() + LOOK_AGAIN);
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(why) = result {
                    tell(peer, &why);
                }
                return;
            }
            () = &mut last_call, if closing.is_none() => {
                closing = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
            () = tally.struck() => {
                let cause = "too many requests were taken back";
                return tracing::warn!(%peer, cause, "an HTTP/2 connection was cut");
            }
            () = sleep_until(look_at) => {
                let now = Instant::now();
                if stuck.since().is_some_and(|since| since + patience <= now) {
                    let cause = "the client takes nothing";
                    return tracing::warn!(%peer, cause, "an HTTP/2 connection was cut");
                }
                if vital.in_flight() > 0 {
                    continue;
                }
                match closing {
                    // What is left is content that the client does not take.
                    Some(since) if since.max(vital.last_event()) + patience <= now => return,
                    None if vital.last_event() + settings.deadlines.idle <= now => {
                        closing = Some(now);
                        connection.as_mut().graceful_shutdown();
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Says why a connection ended early: a limit that struck is a warning.
fn tell(peer: SocketAddr, why: &hyper::Error) {
    let cause = why.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    match cause {
        Some(cause) if cause.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) => {
            tracing::warn!(%peer, %cause, "an HTTP/2 connection was ended");
        }
        _ => tracing::debug!(%peer, %why, "an HTTP/2 connection ended early"),
    }
}

/// The header section that h2 still hands over. What it does not, it answers itself with 431, or at
/// four times as much by ending the connection: so it gets twice our own limit, and what is between
/// them is answered with a code and logged.
fn section_limit(settings: &Settings) -> u32 {
    u32::try_from(2 * settings.limits.header_bytes).unwrap_or(u32::MAX)
}

/// Streams at once on one connection of HTTP/2: what a browser opens for one page.
pub(super) const STREAM_LIMIT: u32 = 128;

/// Streams that a client may open and reset before they are read (CVE-2023-44487).
const RESET_LIMIT: usize = 32;

/// Streams that a client may make forebay reset: those that it opens beyond [`STREAM_LIMIT`] before
/// it can know better, and a few by mistake (CVE-2025-8671).
const ERROR_LIMIT: usize = 256;

const LOOK_AGAIN: Duration = Duration::from_secs(1);
