use super::*;

use std::future::pending;

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::JoinHandle;

const IDLE: Duration = Duration::from_mins(5);
const KEY: [u8; 4] = [1, 2, 3, 4];

/// A tunnel, seen from outside: its client, its application, its drain.
struct World {
    client: DuplexStream,
    application: DuplexStream,
    carried: JoinHandle<Carried>,
    drain: Option<tokio::sync::oneshot::Sender<()>>,
}

fn open(protocol: Protocol) -> World {
    let ((client, near), (far, application)) = (duplex(4096), duplex(4096));
    let (drain, draining) = tokio::sync::oneshot::channel::<()>();
    let carried = tokio::spawn(async move {
        let end = |stream| End { stream, early: BytesMut::new() };
        let draining = async {
            if draining.await.is_err() {
                pending::<()>().await;
            }
        };
        carry(end(near), end(far), protocol, IDLE, draining).await
    });
    World { client, application, carried, drain: Some(drain) }
}

impl World {
    fn drain(&mut self) {
        self.drain.take().unwrap().send(()).unwrap();
    }
}

async fn bytes(stream: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

async fn rest(stream: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// The status code of a Close frame from a client.
fn unmasked(frame: &[u8]) -> u16 {
    assert_eq!(frame[..2], [0x88, 0x82]);
    u16::from_be_bytes([frame[6] ^ frame[2], frame[7] ^ frame[3]])
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_websocket_with_going_away() {
    let mut world = open(Protocol::WebSocket);
    let begun = Instant::now();
    tokio::time::sleep(Duration::from_secs(IDLE.as_secs() - 1)).await;
    // A ping is life, and passes untouched.
    world.application.write_all(&[0x89, 1, b'x']).await.unwrap();
    assert_eq!(bytes(&mut world.client, 3).await, [0x89, 1, b'x']);
    assert_eq!(bytes(&mut world.client, 4).await, close(1001, None));
    assert_eq!(unmasked(&bytes(&mut world.application, 8).await), 1001);
    assert_eq!(begun.elapsed().as_secs(), 2 * IDLE.as_secs() - 1);
    world.client.write_all(&close(1001, Some(KEY))).await.unwrap();
    world.application.write_all(&close(1001, None)).await.unwrap();
    let carried = world.carried.await.unwrap();
    assert_eq!(carried, Carried { to_client: 7, to_application: 8, cause: Cause::Idle });
    assert_eq!(begun.elapsed().as_secs(), 2 * IDLE.as_secs() - 1, "nobody waits any longer");
    assert!(rest(&mut world.client).await.is_empty(), "nothing follows a Close frame");
    assert!(rest(&mut world.application).await.is_empty(), "nothing follows a Close frame");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_another_protocol_without_a_word() {
    let mut world = open(Protocol::Other);
    world.client.write_all(b"x").await.unwrap();
    assert_eq!(rest(&mut world.application).await, b"x");
    assert!(rest(&mut world.client).await.is_empty());
    assert_eq!(world.carried.await.unwrap().cause, Cause::Idle);
}

#[tokio::test(start_paused = true)]
async fn a_frame_on_its_way_ends_before_the_close_frame() {
    let mut world = open(Protocol::WebSocket);
    world.application.write_all(&[0x82, 4, b'a', b'b']).await.unwrap();
    world.client.write_all(&[0x82, 0x84, 1, 2, 3, 4, b'a']).await.unwrap();
    assert_eq!(bytes(&mut world.client, 4).await, [0x82, 4, b'a', b'b']);
    assert_eq!(bytes(&mut world.application, 7).await, [0x82, 0x84, 1, 2, 3, 4, b'a']);
    world.drain();
    tokio::time::sleep(FRAME_END / 2).await;
    // What follows the frame is dropped.
    world.application.write_all(&[b'c', b'd', 0x81, 1, b'e']).await.unwrap();
    world.client.write_all(b"bcd\x81\x81\x01\x02\x03\x04e").await.unwrap();
    assert_eq!(bytes(&mut world.client, 2).await, b"cd");
    assert_eq!(bytes(&mut world.client, 4).await, close(1012, None));
    assert_eq!(bytes(&mut world.application, 3).await, b"bcd");
    assert_eq!(unmasked(&bytes(&mut world.application, 8).await), 1012);
    world.client.write_all(&close(1012, Some(KEY))).await.unwrap();
    world.application.shutdown().await.unwrap();
    assert_eq!(world.carried.await.unwrap().cause, Cause::Drain);
    assert!(rest(&mut world.client).await.is_empty());
    assert!(rest(&mut world.application).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_frame_whose_end_does_not_come_is_cut() {
    let mut world = open(Protocol::WebSocket);
    world.application.write_all(&[0x82, 4, b'a', b'b']).await.unwrap();
    assert_eq!(bytes(&mut world.client, 4).await, [0x82, 4, b'a', b'b']);
    let begun = Instant::now();
    world.drain();
    assert!(rest(&mut world.client).await.is_empty(), "never inside a frame");
    assert_eq!(unmasked(&rest(&mut world.application).await), 1012);
    assert_eq!(begun.elapsed().as_millis(), FRAME_END.as_millis());
    assert_eq!(world.carried.await.unwrap().cause, Cause::Drain);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_a_close_frame_is_waited_for_a_second() {
    let mut world = open(Protocol::WebSocket);
    let begun = Instant::now();
    world.drain();
    assert_eq!(rest(&mut world.client).await, close(1012, None));
    assert_eq!(unmasked(&rest(&mut world.application).await), 1012);
    assert_eq!(begun.elapsed().as_millis(), HANDSHAKE.as_millis());
    assert_eq!(world.carried.await.unwrap().cause, Cause::Drain);
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_does_not_hold_up_the_end() {
    let mut world = open(Protocol::WebSocket);
    let frame = [&[0x82, 126, 0x40, 0][..], &[0; 0x4000]].concat();
    let stuffed = tokio::spawn(async move {
        drop(world.application.write_all(&frame).await);
        drop(world.application.write_all(&frame).await);
    });
    tokio::task::yield_now().await;
    let begun = Instant::now();
    world.drain.take().unwrap().send(()).unwrap();
    assert_eq!(world.carried.await.unwrap().cause, Cause::Drain);
    assert_eq!(begun.elapsed().as_millis(), FRAME_END.as_millis());
    stuffed.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_closing_handshake_that_has_begun_is_left_alone() {
    let mut world = open(Protocol::WebSocket);
    world.application.write_all(&close(4000, None)).await.unwrap();
    assert_eq!(bytes(&mut world.client, 4).await, close(4000, None));
    world.drain();
    assert_eq!(unmasked(&bytes(&mut world.application, 8).await), 1012);
    world.client.write_all(&close(4000, Some(KEY))).await.unwrap();
    assert_eq!(world.carried.await.unwrap().cause, Cause::Drain);
    assert!(rest(&mut world.client).await.is_empty(), "no second Close frame");
}

#[tokio::test(start_paused = true)]
async fn the_first_to_close_ended_the_tunnel() {
    for protocol in [Protocol::WebSocket, Protocol::Other] {
        let mut world = open(protocol);
        world.client.shutdown().await.unwrap();
        assert!(rest(&mut world.application).await.is_empty());
        // The other direction goes on.
        world.application.write_all(b"\x81\x01x").await.unwrap();
        world.application.shutdown().await.unwrap();
        assert_eq!(rest(&mut world.client).await, b"\x81\x01x");
        let carried = world.carried.await.unwrap();
        assert_eq!(carried, Carried { to_client: 3, to_application: 0, cause: Cause::Client });

        let world = open(protocol);
        drop(world.application);
        drop(world.client);
        assert_eq!(world.carried.await.unwrap().cause, Cause::Client, "both at once");
    }
    // A client's Close frame comes before the application's end.
    let mut world = open(Protocol::WebSocket);
    world.client.write_all(&close(1000, Some(KEY))).await.unwrap();
    assert_eq!(bytes(&mut world.application, 8).await, close(1000, Some(KEY)));
    world.application.write_all(&close(1000, None)).await.unwrap();
    drop(world.application);
    assert_eq!(rest(&mut world.client).await, close(1000, None));
    drop(world.client);
    assert_eq!(world.carried.await.unwrap().cause, Cause::Client);
}

#[test]
fn places_are_given_back_and_never_more_than_the_limit() {
    let counters = Arc::new(Counters::new());
    let first = Place::take(&counters, 2).unwrap();
    let second = Place::take(&counters, 2).unwrap();
    assert!(Place::take(&counters, 2).is_none());
    drop(first);
    assert!(Place::take(&counters, 2).is_some());
    drop(second);
    assert_eq!(counters.tunnels.load(Ordering::Relaxed), 0);
}

/// Sends frames of these lengths in pieces of these sizes, and drains after so many pieces: each end
/// gets whole frames and then one Close frame.
fn check_drain(lengths: &[usize], pieces: &[usize], drain_after: usize) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    let received = runtime.block_on(async {
        let mut world = open(Protocol::WebSocket);
        let mut sent = Vec::new();
        for length in lengths {
            sent.extend([0x82, 126]);
            sent.extend(u16::try_from(*length).unwrap().to_be_bytes());
            sent.extend(vec![0x88; *length]);
        }
        let mut sizes = pieces.iter().copied().cycle();
        let (mut place, mut count) = (0, 0);
        while place < sent.len() {
            let end = (place + sizes.next().unwrap()).min(sent.len());
            drop(world.application.write_all(&sent[place..end]).await);
            (place, count) = (end, count + 1);
            if count == drain_after {
                world.drain();
            }
            tokio::task::yield_now().await;
        }
        if count < drain_after || drain_after == 0 {
            world.drain();
        }
        rest(&mut world.client).await
    });
    let mut rest = received.as_slice();
    while let [0x82, 126, high, low, more @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        assert!(more.len() >= length);
        rest = &more[length..];
    }
    assert_eq!(rest, close(1012, None));
}

#[test]
fn a_drain_behind_the_first_bytes_waits_for_their_frame() {
    check_drain(&[217, 84, 231, 104, 235, 157], &[1, 1], 1);
    check_drain(&[130, 290, 203, 20], &[3], 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whenever the drain comes.
    #[test]
    fn a_close_frame_never_stands_inside_another(
        lengths in prop::collection::vec(0..300_usize, 1..12),
        pieces in prop::collection::vec(1..200_usize, 1..12),
        drain_after in 0..12_usize,
    ) {
        check_drain(&lengths, &pieces, drain_after);
    }
}
