//! Step 1, second half: serves one client's connection until it ends.
//!
//! Owns: which protocol it speaks, its deadlines, its orderly end.
//! Must not know: what a request asks for.

mod client;
mod opening;
mod direct;
mod answer;
mod http2;
mod streams;
mod rewound;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer::Answer;
use super::body::Body;
use super::guard::{Deadlines, Detour, Guard, Limits, Refusal, Verdict, Vital};
use super::intake::Arriving;
use super::upstream::beside;
use super::{Gateway, Left, respond, tunnel};
use crate::code::Code;
use crate::readiness::Readiness;
use crate::telemetry::Record;
pub use client::{Client, Next};
use direct::Turn;
use opening::{Opening, PREFACE, open, read_some};

/// What a connection obeys.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The most a header section may be.
    pub limits: Limits,
    /// The most time a client may take.
    pub deadlines: Deadlines,
    /// What it obeys once it has changed its protocol.
    pub tunnel: tunnel::Settings,
    /// Whether each connection must begin with a PROXY protocol header.
    pub accepts_proxy_protocol: bool,
}

/// What a connection is served over.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The socket, if the kernel can send files over it.
    fn tcp(&self) -> Option<&TcpStream> {
        None
    }
}

impl Socket for TcpStream {
    fn tcp(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// In memory, as `forebay explain` has it.
impl Socket for DuplexStream {}

/// How a stretch of HTTP/1 ended.
enum End<S> {
    /// For good.
    Closed,
    /// It is idle: nothing of it is left but the stream.
    Parked(S, BytesMut),
    /// What follows is plain.
    Diverted(S, BytesMut),
    /// The client is not served any more; it may still be told why.
    Refused(S, Refusal),
    /// The stream belongs to another protocol now.
    Upgraded(S, BytesMut),
}

/// Serves a connection until it ends. Returns when the last byte is out, or at the deadline.
pub async fn serve<S>(
    mut stream: S,
    (peer, local): (SocketAddr, SocketAddr),
    gateway: Arc<Gateway>,
    settings: Settings,
) where
    S: Socket,
{
    // A connection that says nothing at all may wait as long as one between two requests.
    let opening = tokio::select! {
        opening = open(&mut stream, peer, &settings) => opening,
        () = last_call(&gateway.readiness) => return,
    };
    let (peer, held) = match opening {
        Opening::Speaks(peer, held) => (peer, held),
        Opening::Silent => return,
        Opening::Overdue => {
            report(peer, Refusal::HeaderDeadline, &gateway);
            return say_goodbye(stream, &respond::last_words(Code::HeaderDeadline)).await;
        }
        Opening::NotProxied(why) => {
            let record = Record::unread(peer, Code::Malformed, why.to_string());
            return gateway.reporter.report(&record, Instant::now());
        }
    };
    if held.starts_with(PREFACE) {
        let client = Client::new(peer, local, false, settings);
        return Box::pin(http2::serve(stream, held, client, gateway)).await;
    }
    serve_http1(stream, held, Client::new(peer, local, true, settings), gateway).await;
}

async fn serve_http1<S>(
    mut stream: S,
    mut held: BytesMut,
    client: Arc<Client>,
    gateway: Arc<Gateway>,
) where
    S: Socket,
{
    // Whether the next request was found not to be plain and is the parser's.
    let mut must_pass = false;
    loop {
        // Boxed, so that a parked connection does not keep the room that a stretch needs.
        if gateway.reads_plain() {
            match beside(Box::pin(direct::serve(stream, held, &client, &gateway))).await {
                Turn::Parser(back, rest, was_tried) => {
                    (stream, held, must_pass) = (back, rest, was_tried);
                }
                Turn::Parked(idle) => match woken(idle, BytesMut::new(), &client, &gateway).await {
                    Some(awake) => {
                        (stream, held) = awake;
                        continue;
                    }
                    None => return,
                },
                Turn::Closed => return,
            }
        }
        let stretch = serve_stretch(stream, (held, must_pass), &client, &gateway);
        match beside(Box::pin(stretch)).await {
            End::Closed => return,
            End::Parked(idle, rest) => match woken(idle, rest, &client, &gateway).await {
                Some(awake) => (stream, held) = awake,
                None => return,
            },
            End::Diverted(back, rest) => (stream, held) = (back, rest),
            End::Refused(stream, refusal) => {
                let vital = &client.vital;
                // A request in flight reports its end itself; who stalls had an answer.
                if !vital.was_refused_in_flight() && refusal != Refusal::Stalled {
                    report(client.peer, refusal, &gateway);
                }
                // Where a part of an answer is out, a second one would be taken for its content.
                if !vital.has_answered() && refusal.code() != Code::ClientLeft {
                    say_goodbye(stream, &respond::last_words(refusal.code())).await;
                }
                return;
            }
            End::Upgraded(stream, rest) => {
                if let Some(next) = client.take_next() {
                    // Boxed, so that other connections do not keep the room for it.
                    let end = tunnel::End { stream, early: rest };
                    Box::pin(join(end, *next, &gateway, client.settings.tunnel.idle)).await;
                }
                return;
            }
        }
    }
}

/// Waits until an idle connection says something; nothing if it ends first, in order.
async fn woken<S>(
    mut stream: S,
    mut held: BytesMut,
    client: &Client,
    gateway: &Gateway,
) -> Option<(S, BytesMut)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let is_woken = tokio::select! {
        woken = read_some(&mut stream, &mut held, client.settings.deadlines.idle) => woken,
        () = last_call(&gateway.readiness) => false,
    };
    if is_woken {
        return Some((stream, held));
    }
    // An orderly end between two requests; the client may have gone already.
    drop(stream.shutdown().await);
    None
}

/// Serves HTTP/1 until the connection ends, becomes idle, or has a plain request.
async fn serve_stretch<S>(
    stream: S,
    held: (BytesMut, bool),
    client: &Arc<Client>,
    gateway: &Arc<Gateway>,
) -> End<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Client { vital, settings, .. } = &**client;
    let guard = Guard::new(stream, held, settings.limits, Arc::clone(vital), Arc::clone(gateway));
    let service = service_fn(|request| {
        let (mut head, content) = Arriving::of(request);
        let ending = gateway.begin(&head, client);
        async move {
            let answer = gateway.handle(&mut head, content, client, ending).await?;
            Ok::<_, Left>(Response::from(last(answer, gateway)))
        }
    });
    let mut connection = http1::Builder::new()
        // The guard and its vital signs keep these; hyper's own timer costs 3 % (perf, A4).
        .header_read_timeout(None)
        .max_headers(settings.limits.header_count)
        // The guard passes on whole header sections; room for one and what is read with it.
        .max_buf_size(settings.limits.header_bytes + BUFFER)
        // A client that closes its side has left: nobody sends half-closed requests here.
        .half_close(false)
        .keep_alive(true)
        .pipeline_flush(false)
        .serve_connection(TokioIo::new(guard), service);
    let mut alarm = pin!(sleep_until(Instant::now() + settings.deadlines.header));
    let mut draining = pin!(last_call(&gateway.readiness));
    let (mut is_draining, mut was_idle) = (false, false);
    let result = loop {
        let wait = poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Event::Ended(result));
            }
            if vital.take_diverted() {
                return Poll::Ready(Event::Diverted);
            }
            if !is_draining && draining.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Event::Draining);
            }
            if let Verdict::KeepOn(until) = vital.verdict(Instant::now(), &settings.deadlines)
                && alarm.deadline() > until
            {
                alarm.as_mut().reset(until);
            }
            alarm.as_mut().poll(cx).map(|()| Event::Alarm)
        });
        match wait.await {
            Event::Ended(result) => break result.map_err(|why| why.to_string()),
            Event::Diverted => {
                let (stream, held) = torn(connection.into_parts());
                return End::Diverted(stream, held);
            }
            Event::Draining => {
                (is_draining, was_idle) = (true, vital.in_flight() == 0);
                Pin::new(&mut connection).graceful_shutdown();
            }
            Event::Alarm => match vital.verdict(Instant::now(), &settings.deadlines) {
                Verdict::KeepOn(until) => alarm.as_mut().reset(until),
                Verdict::Park => {
                    let (stream, held) = torn(connection.into_parts());
                    return End::Parked(stream, held);
                }
                Verdict::Overdue(refusal) => {
                    vital.refuse(refusal);
                    break Ok(());
                }
            },
        }
    };
    let (stream, held) = torn(connection.into_parts());
    // A client may have sent its next request before it was told that there is none.
    let lingers = gateway.readiness.is_draining() && !was_idle;
    ended(stream, held, result, (vital, lingers)).await
}

/// An answer as it goes out: while forebay stops it is the last one of its connection.
fn last(mut answer: Answer<Body>, gateway: &Gateway) -> Answer<Body> {
    if gateway.readiness.is_draining() && answer.status != StatusCode::SWITCHING_PROTOCOLS {
        answer.fields().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

/// Takes the parser off its stream; what was read and not used comes with it.
fn torn<S, D: Detour, H>(parts: http1::Parts<TokioIo<Guard<S, D>>, H>) -> (S, BytesMut) {
    let (stream, held) = parts.io.into_inner().into_parts();
    (stream, joined(&parts.read_buf, held))
}

/// What a wait on a connection brought.
enum Event {
    Ended(hyper::Result<()>),
    Diverted,
    Draining,
    Alarm,
}

/// What follows when hyper is done with a connection, which may have to linger.
async fn ended<S: AsyncWrite + AsyncRead + Unpin>(
    mut stream: S,
    rest: BytesMut,
    result: Result<(), String>,
    (vital, lingers): (&Vital, bool),
) -> End<S> {
    if let Some(refusal) = vital.refusal() {
        return End::Refused(stream, refusal);
    }
    if vital.is_tunnel() {
        return End::Upgraded(stream, rest);
    }
    if let Err(why) = result {
        tracing::debug!(why, "a connection ended early");
    }
    if vital.is_at_boundary() && !lingers {
        // The client may have gone already.
        drop(stream.shutdown().await);
    } else {
        // The answer came before the request's end, which may still be on its way.
        say_goodbye(stream, b"").await;
    }
    End::Closed
}

/// Reports a client whose request was not read.
fn report(peer: SocketAddr, refusal: Refusal, gateway: &Gateway) {
    let record = Record::unread(peer, refusal.code(), refusal.to_string());
    gateway.reporter.report(&record, Instant::now());
}

/// Sends the last answer of a connection and waits a moment for the client to take it: closing at
/// once, with bytes unread, would destroy the answer on its way (RFC 9112 §9.6).
pub(super) async fn say_goodbye<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, words: &[u8]) {
    let goodbye = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        // Not a part of every connection's state.
        let mut sink = vec![0; 16 * 1024];
        while stream.read(&mut sink).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the client took it changes nothing any more.
    drop(timeout(LINGER, goodbye).await);
}

/// Carries what follows a change of protocol, and logs its end.
async fn join<S>(client: tunnel::End<S>, next: Next, gateway: &Gateway, idle: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Next { application, protocol, place, mut record } = next;
    let drain = gateway.readiness.draining();
    let carried = tunnel::carry(client, application, protocol, idle, drain).await;
    drop(place);
    record.bytes = carried.to_client;
    if let Some(tunnel) = &mut record.tunnel {
        tunnel.received_bytes = carried.to_application;
        tunnel.ended_by = carried.cause.as_str();
    }
    gateway.reporter.tell(&record, record.started.elapsed());
}

fn joined(first: &[u8], second: BytesMut) -> BytesMut {
    if first.is_empty() {
        return second;
    }
    let mut all = BytesMut::from(first);
    all.extend_from_slice(&second);
    all
}

/// Waits until forebay stops and a moment longer, the same for all: a request that is on its way when
/// it is told to stop is still answered, where closing at once would lose it.
pub(super) async fn last_call(readiness: &Readiness) {
    readiness.draining().await;
    sleep_until(readiness.draining_since().unwrap_or_else(Instant::now) + LAST_CALL).await;
}

/// What hyper may hold of a connection beside its header section, in each direction. Four times as
/// much would save a fifth of the CPU of large uploads and cost as much memory for each.
const BUFFER: usize = 64 * 1024;

const LAST_CALL: Duration = Duration::from_millis(300);

/// How long a client that was answered early is listened to.
const LINGER: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readiness::Phase;

    #[tokio::test(start_paused = true)]
    async fn the_last_call_is_the_same_for_whoever_asks_and_whenever() {
        let readiness = Readiness::new();
        readiness.set(Phase::Draining);
        let begun = Instant::now();
        tokio::time::advance(LAST_CALL / 2).await;
        last_call(&readiness).await;
        let tick = Duration::from_millis(2);
        assert!(begun.elapsed() < LAST_CALL + tick, "{:?}", begun.elapsed());
        last_call(&readiness).await;
        assert!(begun.elapsed() < LAST_CALL + tick, "{:?}", begun.elapsed());
    }
}
