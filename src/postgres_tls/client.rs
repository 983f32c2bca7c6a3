//! What a client says before a session begins.
//!
//! Owns: the order of the first packets, their deadline.
//! Must not know: the server, TLS.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::message::{self, HEAD, Head};
use super::trouble::Trouble;

/// What a client wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Opening {
    /// To begin a session; the whole packet.
    Session(Vec<u8>),
    /// To cancel a query of another connection; the whole packet.
    Cancel(Vec<u8>),
}

/// Reads what a client wants; whether it asks for TLS or for GSSAPI, each is answered with `N`.
/// Nothing if it leaves without a word, as who looks whether a port is open does.
///
/// # Errors
///
/// [`Trouble::BadClient`], [`Trouble::Insists`], [`Trouble::WantsTls`] and [`Trouble::SilentClient`].
pub(super) async fn opening<S>(
    client: &mut S,
    deadline: Duration,
) -> Result<Option<Opening>, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    timeout(deadline, read(client)).await.unwrap_or(Err(Trouble::SilentClient))
}

async fn read<S>(client: &mut S) -> Result<Option<Opening>, Trouble>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut is_refused = false;
    for _ in 0..PACKETS {
        let mut head = [0; HEAD];
        if client.read_exact(&mut head).await.is_err() {
            // One that insists on TLS goes when it is refused; one that only prefers it stays.
            return if is_refused { Err(Trouble::WantsTls) } else { Ok(None) };
        }
        match message::head(head).map_err(Trouble::BadClient)? {
            Head::TlsWanted => is_refused = true,
            Head::GssWanted => {}
            Head::Cancel(rest) => return Ok(whole(client, head, rest).await.map(Opening::Cancel)),
            Head::Startup(rest) => {
                return Ok(whole(client, head, rest).await.map(Opening::Session));
            }
        }
        if client.write_all(b"N").await.is_err() {
            return Ok(None);
        }
    }
    Err(Trouble::Insists)
}

/// The whole packet; nothing if the client leaves before its end.
async fn whole(
    client: &mut (impl AsyncRead + Unpin),
    head: [u8; HEAD],
    rest: usize,
) -> Option<Vec<u8>> {
    let mut packet = head.to_vec();
    packet.resize(HEAD + rest, 0);
    client.read_exact(packet.get_mut(HEAD..)?).await.ok()?;
    Some(packet)
}

/// Tells a client why there is no session, and ends its connection.
pub(super) async fn refuse(client: &mut (impl AsyncWrite + Unpin), trouble: &Trouble) {
    let response = trouble.response();
    let tell = async {
        client.write_all(&response).await?;
        client.shutdown().await
    };
    // Who does not take it is told nothing.
    drop::<Result<io::Result<()>, _>>(timeout(GOODBYE, tell).await);
}

/// A client asks for TLS and for GSSAPI, each once, and then for what it wants.
const PACKETS: usize = 4;

/// How long a client may take to read why there is no session.
const GOODBYE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);
    const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
    const STARTUP: &[u8] = b"\0\0\0\x10\0\x03\0\0user\0a\0\0";

    /// What is read of these bytes, after which the client leaves, and what it was answered.
    async fn of(bytes: &[u8]) -> (Result<Option<Opening>, Trouble>, Vec<u8>) {
        let (mut client, mut server): (DuplexStream, _) = duplex(1 << 16);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let result = opening(&mut server, DEADLINE).await;
        drop(server);
        let mut answered = Vec::new();
        client.read_to_end(&mut answered).await.unwrap();
        (result, answered)
    }

    #[tokio::test]
    async fn encryption_is_declined_in_any_order_and_not_for_ever() {
        let (tls, gss) = (&message::SSL_REQUEST[..], &GSS_REQUEST[..]);
        for (asked, answer) in
            [(&[][..], ""), (&[tls], "N"), (&[gss, tls], "NN"), (&[tls, gss], "NN")]
        {
            let (result, answered) = of(&[&asked.concat(), STARTUP].concat()).await;
            let opening = result.unwrap().unwrap();
            assert_eq!(opening, Opening::Session(STARTUP.to_vec()));
            assert_eq!(answered, answer.as_bytes());
        }
        let (result, answered) = of(&[tls, tls, tls, tls, STARTUP].concat()).await;
        assert!(matches!(result, Err(Trouble::Insists)));
        assert_eq!(answered, b"NNNN");
    }

    #[tokio::test]
    async fn who_leaves_is_understood() {
        for bytes in [&b""[..], b"\0\0\0", STARTUP.split_last().unwrap().1, &GSS_REQUEST] {
            assert!(matches!(of(bytes).await.0, Ok(None)), "{bytes:?}");
        }
        assert!(matches!(of(&message::SSL_REQUEST).await.0, Err(Trouble::WantsTls)));
    }

    #[tokio::test]
    async fn a_cancel_comes_whole_with_short_and_long_keys() {
        for key in [4, 32, 256] {
            let length = u8::try_from((12 + key) % 256).unwrap();
            let head = [0, 0, u8::from(key > 200), length, 0x04, 0xd2, 0x16, 0x2e];
            let packet = [&head[..], &vec![7; 4 + key]].concat();
            assert_eq!(
                of(&packet).await.0.unwrap(),
                Some(Opening::Cancel(packet.clone())),
                "{key}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_has_an_end() {
        let (mut client, mut server) = duplex(64);
        client.write_all(b"\0\0\0\x09\0\x03\0\0").await.unwrap();
        let result = opening(&mut server, DEADLINE).await;
        assert!(matches!(result, Err(Trouble::SilentClient)));
    }

    proptest! {
        #[test]
        fn hostile_bytes_end_without_a_session_or_are_one(bytes: Vec<u8>) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let (result, _) = runtime.block_on(of(&bytes));
            if let Ok(Some(Opening::Session(packet) | Opening::Cancel(packet))) = result {
                prop_assert!(packet.len() <= 10_004);
                prop_assert!(bytes.windows(packet.len()).any(|part| part == packet));
            }
        }
    }
}
