//! Serves a connection of clear-text HTTP/2 (RFC 9113, prior knowledge).
//!
//! Owns: its limits and its orderly end.
//! Must not know: what a request asks for.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep, sleep_until};

use super::rewound::Rewound;
use super::{Client, Settings, last_call};
use crate::proxy::Gateway;
use crate::proxy::body::Pace;
use crate::proxy::upstream::beside;

/// Serves a connection, of which `held` has been read, until it ends.
pub(super) async fn serve<S>(
    stream: S,
    held: BytesMut,
    client: Arc<Client>,
    gateway: Arc<Gateway>,
    settings: Settings,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let vital = Arc::clone(&client.vital);
    let readiness = Arc::clone(&gateway.readiness);
    let service = service_fn(move |request| {
        let ending = gateway.begin(&request, &client);
        let (gateway, client) = (Arc::clone(&gateway), Arc::clone(&client));
        async move { gateway.handle(request, client, ending).await }
    });
    let io = TokioIo::new(Rewound::new(stream, held));
    let mut connection = pin!(
        http2::Builder::new(Streams { patience: settings.deadlines.body_idle })
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAM_LIMIT)
            .max_header_list_size(u32::try_from(settings.limits.header_bytes).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(RESET_LIMIT)
            .keep_alive_interval(settings.deadlines.body_idle)
            .keep_alive_timeout(settings.deadlines.header)
            .serve_connection(io, service)
    );
    let mut last_call = pin!(last_call(&readiness));
    let mut is_closing = false;
    loop {
        let idle_until = vital.last_event() + settings.deadlines.idle;
        tokio::select! {
            result = connection.as_mut() => {
                if let Err(why) = result {
                    tracing::debug!(%why, "an HTTP/2 connection ended early");
                }
                return;
            }
            () = &mut last_call, if !is_closing => {
                is_closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = sleep_until(idle_until.max(Instant::now() + LOOK_AGAIN)), if !is_closing => {
                let is_idle = vital.in_flight() == 0
                    && vital.last_event() + settings.deadlines.idle <= Instant::now();
                if is_idle {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Streams at once on one connection of HTTP/2: what a browser opens for one page.
const STREAM_LIMIT: u32 = 128;

/// Streams that a client may open and reset before they are served (CVE-2023-44487).
const RESET_LIMIT: usize = 32;

const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs the streams of a connection, each until it ends or its client takes nothing for too long:
/// a stalled stream holds a worker of the application, and pings are answered all the same.
#[derive(Clone, Copy, Debug)]
struct Streams {
    patience: Duration,
}

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let patience = self.patience;
        tokio::spawn(async move {
            let pace = Arc::new(Pace::default());
            let mut stream = pin!(beside(Arc::clone(&pace).watch(stream)));
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
