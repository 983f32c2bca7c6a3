//! Opens a session: the socket, TLS where it must be, PostgreSQL.
//!
//! Owns: when TLS is demanded, deadlines, how a dead peer is noticed.
//! Must not know: what the session is for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::NoTls;
use tokio_postgres::config::SslMode;
use tokio_rustls::TlsConnector;

use super::error::{Error, Fault};
use super::target::{Mode, Place, Target, is_private};
use crate::tls;

/// A session. It ends when this is dropped.
#[derive(Debug)]
pub struct Client {
    /// Asks questions.
    pub queries: tokio_postgres::Client,
    /// Where it leads.
    pub place: Place,
    /// Whether it goes through TLS.
    pub is_encrypted: bool,
    lost: watch::Receiver<bool>,
}

impl Client {
    /// Waits until the session is lost.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting and nothing else.
    pub async fn lost(&self) {
        // Whoever would say so is gone: then it is lost as well.
        drop(self.lost.clone().wait_for(|is_lost| *is_lost).await.map(|_| ()));
    }
}

/// Opens a session with the first server of the target that takes writes.
///
/// A server that speaks TLS is verified in full before it gets to know anything, its name as well.
/// TLS is demanded but for unix sockets, hosts of this machine and those with private addresses; and
/// never used with `sslmode=disable`.
///
/// # Errors
///
/// [`Error`] of the last server that was tried, each within the deadline.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
pub async fn connect(target: &Target, deadline: Duration) -> Result<Client, Error> {
    let mut roots = Vec::new();
    for path in target.trust.files.iter().filter(|_| target.mode != Mode::Never) {
        roots.extend(tls::read_roots(path)?);
    }
    let tls = Arc::new(tls::verifying(&roots, !target.trust.is_all)?);
    let mut last = None;
    for place in &target.places {
        let end = Instant::now() + deadline;
        let opened = timeout_at(end, open(target, place, &tls)).await;
        match opened {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(why)) => last = Some(why),
            Err(_) => last = Some(Error::TimedOut { place: place.clone(), deadline }),
        }
    }
    Err(last.unwrap_or_else(|| Error::Resolve {
        place: Place::Tcp { host: String::new(), port: 0 },
        source: std::io::Error::from(std::io::ErrorKind::NotFound),
    }))
}

async fn open(target: &Target, place: &Place, tls: &Arc<ClientConfig>) -> Result<Client, Error> {
    let failed = |source| Error::Connect { place: place.clone(), source };
    let client = match place {
        Place::Unix { directory, port } => {
            let path = directory.join(format!(".s.PGSQL.{port}"));
            let stream = UnixStream::connect(path).await.map_err(failed)?;
            begin(target, place, stream, false).await?
        }
        Place::Tcp { host, port } => {
            let resolve = |source| Error::Resolve { place: place.clone(), source };
            let addresses: Vec<_> =
                lookup_host((host.as_str(), *port)).await.map_err(resolve)?.collect();
            let mut stream = TcpStream::connect(addresses.as_slice()).await.map_err(failed)?;
            watch_over(&stream).map_err(failed)?;
            let address = stream.peer_addr().map_err(failed)?;
            if wants_tls(target.mode, place, address, &mut stream).await? {
                let name = target.trust.name.as_ref().unwrap_or(host);
                let stream = encrypt(place, name, stream, tls).await?;
                begin(target, place, stream, true).await?
            } else {
                begin(target, place, stream, false).await?
            }
        }
    };
    let question = "SELECT pg_catalog.pg_is_in_recovery()";
    let row = client.queries.query_one(question, &[]).await;
    let is_replica = row.and_then(|row| row.try_get(0));
    if is_replica.map_err(|source| Error::of_session(place, source))? {
        return Err(Error::Replica { place: place.clone() });
    }
    Ok(client)
}

/// A peer that is gone without a word is noticed in about half a minute, and Azure's load balancer,
/// which forgets connections that are silent for 4 minutes, does not forget this one.
fn watch_over(stream: &TcpStream) -> std::io::Result<()> {
    sockopt::set_tcp_nodelay(stream, true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, Duration::from_secs(15))?;
    sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5))?;
    sockopt::set_tcp_keepcnt(stream, 3)?;
    sockopt::set_tcp_user_timeout(stream, 30_000)?;
    Ok(())
}

/// Asks for TLS where it may be, and refuses to go on without where it must be.
async fn wants_tls(
    mode: Mode,
    place: &Place,
    address: SocketAddr,
    stream: &mut TcpStream,
) -> Result<bool, Error> {
    let is_private = is_private(address.ip()) && !place.is_azure();
    match mode {
        Mode::Never => return Ok(false),
        // Servers of Debian have a certificate that nobody signed; nobody is in between.
        Mode::Fitting if address.ip().to_canonical().is_loopback() && is_private => {
            return Ok(false);
        }
        Mode::Fitting | Mode::Always => {}
    }
    let strange = |source| Error::Strange { place: place.clone(), source };
    stream.write_all(&TLS_REQUEST).await.map_err(strange)?;
    // One byte and no more: what came behind it in clear would be an attack.
    match stream.read_u8().await.map_err(strange)? {
        b'S' => Ok(true),
        b'N' if mode == Mode::Fitting && is_private => Ok(false),
        b'N' => Err(Error::NoTls { place: place.clone() }),
        other => {
            let text = format!("it answered byte {other} to a request for TLS");
            Err(strange(std::io::Error::new(std::io::ErrorKind::InvalidData, text)))
        }
    }
}

/// PostgreSQL, "Message Formats": `SSLRequest`.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

async fn encrypt(
    place: &Place,
    host: &str,
    stream: TcpStream,
    tls: &Arc<ClientConfig>,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
    let unproven = |source: std::io::Error| Error::Unproven {
        place: place.clone(),
        fault: Fault::of(&source),
        source,
    };
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned())
        .map_err(|why| unproven(std::io::Error::new(std::io::ErrorKind::InvalidInput, why)))?;
    TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(unproven)
}

/// Speaks PostgreSQL over a stream that is as safe as it has to be.
async fn begin<S>(
    target: &Target,
    place: &Place,
    stream: S,
    is_encrypted: bool,
) -> Result<Client, Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut config = tokio_postgres::Config::new();
    config.user(&target.user).dbname(&target.database).application_name(NAME);
    // The stream has it already.
    config.ssl_mode(SslMode::Disable);
    if let Some(password) = &target.password {
        config.password(password);
    }
    if let Some(options) = &target.options {
        config.options(options);
    }
    let opened = config.connect_raw(stream, NoTls).await;
    let (queries, connection) = opened.map_err(|source| Error::of_session(place, source))?;
    let (lose, lost) = watch::channel(false);
    // It ends when `queries` is dropped, or the session is lost.
    tokio::spawn(async move {
        if let Err(why) = connection.await {
            tracing::debug!(%why, "a session with the database ended");
        }
        lose.send_replace(true);
    });
    Ok(Client { queries, place: place.clone(), is_encrypted, lost })
}

/// How the server shows the session in `pg_stat_activity`.
const NAME: &str = "forebay";
