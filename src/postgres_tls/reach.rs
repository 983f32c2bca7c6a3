//! TCP to the server: its addresses, which one answers, what keeps the connection alive.
//!
//! Owns: the look-up at each connection, the race of addresses, the options of the socket.
//! Must not know: TLS, PostgreSQL.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::Target;
use super::trouble::Trouble;

/// The server's addresses now: after a fail-over its name leads elsewhere. Those of the two families
/// alternate, so that one family without a route costs no more than [`STAGGER`].
///
/// # Errors
///
/// [`Trouble::NotFound`].
pub(super) async fn addresses(target: &Target, end: Instant) -> Result<Vec<SocketAddr>, Trouble> {
    let host = target.host.clone();
    let found = timeout_at(end, lookup_host((target.host.as_str(), target.port))).await;
    let found = found.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)));
    match found.map(Iterator::collect::<Vec<_>>) {
        Ok(found) if !found.is_empty() => Ok(alternate(found)),
        Ok(_) => Err(Trouble::NotFound { host, source: io::ErrorKind::NotFound.into() }),
        Err(source) => Err(Trouble::NotFound { host, source }),
    }
}

/// The same addresses, each family in its order, one by one; the first one stays the first.
fn alternate(all: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v4 = all.first().is_some_and(SocketAddr::is_ipv4);
    let (one, other): (Vec<_>, Vec<_>) =
        all.into_iter().take(MOST).partition(|it| it.is_ipv4() == first_is_v4);
    let mut other = other.into_iter();
    let mut mixed = Vec::new();
    for address in one {
        mixed.push(address);
        mixed.extend(other.next());
    }
    mixed.extend(other);
    mixed
}

/// Connects to the first of the addresses that answers; the next one is tried when one refuses, or
/// after [`STAGGER`] beside it (RFC 8305 §5).
///
/// # Errors
///
/// [`Trouble::Refused`], [`Trouble::Unanswered`] and [`Trouble::Unreachable`], by what the last one
/// said.
pub(super) async fn connect(
    target: &Target,
    addresses: &[SocketAddr],
    (deadline, end): (Duration, Instant),
) -> Result<(TcpStream, SocketAddr), Trouble> {
    let server = target.to_string();
    let mut waiting = addresses.iter().copied();
    // Those that are still on their way end with the set.
    let mut tries = JoinSet::new();
    let mut last = None;
    loop {
        let next = waiting.next();
        if let Some(address) = next {
            tries.spawn(async move { open(address).await.map(|stream| (stream, address)) });
        }
        let patience = if next.is_some() { end.min(Instant::now() + STAGGER) } else { end };
        match timeout_at(patience, tries.join_next()).await {
            Ok(Some(Ok(Ok(connected)))) => return Ok(connected),
            Ok(Some(Ok(Err(why)))) => last = Some(why),
            Ok(Some(Err(why))) => last = Some(io::Error::other(why)),
            Ok(None) => break,
            Err(_) if patience < end => {}
            Err(_) => return Err(Trouble::Unanswered { server, deadline }),
        }
    }
    let source = last.unwrap_or_else(|| io::ErrorKind::NotFound.into());
    if source.kind() == io::ErrorKind::ConnectionRefused {
        return Err(Trouble::Refused { server, port: target.port });
    }
    if source.kind() == io::ErrorKind::TimedOut {
        return Err(Trouble::Unanswered { server, deadline });
    }
    Err(Trouble::Unreachable { server, source })
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&stream, KEEP_ALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&stream, KEEP_ALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(&stream, USER_TIMEOUT_MS)?;
    Ok(stream)
}

/// Between two addresses of a race.
const STAGGER: Duration = Duration::from_millis(250);

/// More addresses are not tried: no server has as many.
const MOST: usize = 16;

/// A connection that rests so long is asked for: Azure's load balancers forget one after 4 minutes
/// (facts, 8).
const KEEP_ALIVE_IDLE: Duration = Duration::from_mins(1);

/// Between two questions without an answer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// After so many the connection is lost.
const KEEP_ALIVE_PROBES: u32 = 3;

/// Bytes that nobody confirms for so long end the connection, as do two questions of the kind above:
/// without it a query would wait for a quarter of an hour after a fail-over.
const USER_TIMEOUT_MS: u32 = 75_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn target(port: u16) -> Target {
        Target { host: "127.0.0.1".to_owned(), port }
    }

    fn in_a_moment() -> (Duration, Instant) {
        let deadline = Duration::from_secs(5);
        (deadline, Instant::now() + deadline)
    }

    #[test]
    fn families_alternate() {
        let of = |text: &str| text.split(' ').map(|it| it.parse().unwrap()).collect::<Vec<_>>();
        let mixed = alternate(of("[::1]:1 [::2]:1 [::3]:1 1.1.1.1:1"));
        assert_eq!(mixed, of("[::1]:1 1.1.1.1:1 [::2]:1 [::3]:1"));
        assert_eq!(alternate(of("1.1.1.1:1 [::1]:1")), of("1.1.1.1:1 [::1]:1"));
        assert!(alternate(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn an_address_that_refuses_gives_way_to_the_next() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let bad = closed.local_addr().unwrap();
        drop(closed);
        let (stream, address) =
            connect(&target(good.port()), &[bad, good], in_a_moment()).await.unwrap();
        assert_eq!(address, good);
        assert!(stream.nodelay().unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEP_ALIVE_IDLE);
        assert_eq!(sockopt::tcp_user_timeout(&stream).unwrap(), USER_TIMEOUT_MS);
        let why = connect(&target(bad.port()), &[bad], in_a_moment()).await.unwrap_err();
        assert!(matches!(why, Trouble::Refused { .. }), "{why}");
    }

    #[tokio::test]
    async fn a_name_is_looked_up() {
        let target = Target { host: "localhost".to_owned(), port: 5432 };
        let found = addresses(&target, in_a_moment().1).await.unwrap();
        assert!(found.iter().all(|it| it.ip().is_loopback() && it.port() == 5432));
        let target = Target { host: "no-such-host.invalid".to_owned(), port: 1 };
        let why = addresses(&target, in_a_moment().1).await.unwrap_err();
        assert!(matches!(why, Trouble::NotFound { .. }), "{why}");
    }
}
