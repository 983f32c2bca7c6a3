//! A connection to the server with TLS, ready for the first packet of a session.
//!
//! Owns: how TLS is begun, the second try, whose fault a failure is.
//! Must not know: clients, which server is believed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::message::SSL_REQUEST;
use super::reach;
use super::trouble::Trouble;
use super::trust::ALPN;
use super::wide::Wide;
use super::{Negotiation, Target};

/// The connection.
pub(super) type Stream = TlsStream<Wide<TcpStream>>;

/// The server, and how to speak with it.
#[derive(Debug)]
pub(super) struct Server {
    /// Where it is.
    pub(super) target: Target,
    /// The name that its certificate must have.
    pub(super) name: ServerName<'static>,
    /// How TLS begins.
    pub(super) negotiation: Negotiation,
    /// How long all of it may take.
    pub(super) deadline: Duration,
    /// Who is believed.
    pub(super) tls: Arc<ClientConfig>,
}

impl Server {
    /// Connects. When a connection breaks before TLS is agreed on, the name is looked up anew and
    /// another address is tried, or the same one where there is no other; once.
    ///
    /// # Errors
    ///
    /// [`Trouble`], after the deadline at the latest.
    pub(super) async fn connect(&self) -> Result<Stream, Trouble> {
        let end = Instant::now() + self.deadline;
        let addresses = reach::addresses(&self.target, end).await?;
        let (stream, address) =
            reach::connect(&self.target, &addresses, (self.deadline, end)).await?;
        match self.begin(stream, end).await {
            Err(why) if why.may_pass() => {
                let others = self.others(address, end).await?;
                let (stream, _) =
                    reach::connect(&self.target, &others, (self.deadline, end)).await?;
                self.begin(stream, end).await
            }
            result => result,
        }
    }

    /// The addresses without one that failed, unless it is the only one.
    async fn others(&self, failed: SocketAddr, end: Instant) -> Result<Vec<SocketAddr>, Trouble> {
        let mut addresses = reach::addresses(&self.target, end).await?;
        if addresses.iter().any(|it| *it != failed) {
            addresses.retain(|it| *it != failed);
        }
        Ok(addresses)
    }

    /// Begins TLS.
    async fn begin(&self, mut stream: TcpStream, end: Instant) -> Result<Stream, Trouble> {
        let server = self.target.to_string();
        let silent = |what| {
            let (server, deadline) = (server.clone(), self.deadline);
            move |_| Trouble::Silent { server, what, deadline }
        };
        let is_direct = self.negotiation == Negotiation::Direct;
        if !is_direct {
            let ask = self.ask(&mut stream);
            timeout_at(end, ask).await.map_err(silent("its answer to the request for TLS"))??;
        }
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let agree = connector.connect(self.name.clone(), Wide::new(stream));
        let stream = timeout_at(end, agree).await.map_err(silent("the agreement on TLS"))?;
        let stream = stream.map_err(|why| {
            let why = Trouble::of_handshake(&server, &self.name.to_str(), why);
            // As servers before version 17 answer.
            if is_direct && matches!(why, Trouble::Ended { .. }) {
                return Trouble::NotDirect { server: server.clone() };
            }
            why
        })?;
        let agreed = stream.get_ref().1.alpn_protocol();
        if is_direct && agreed != Some(ALPN) {
            return Err(Trouble::NotDirect { server });
        }
        Ok(stream)
    }

    /// Asks for TLS in PostgreSQL's own way; the answer must be one byte and nothing behind it, for
    /// what came in the clear would be taken for what came under TLS.
    async fn ask(&self, stream: &mut TcpStream) -> Result<(), Trouble> {
        let server = self.target.to_string();
        let what = "its answer to the request for TLS";
        let broke = |source| Trouble::Broke { server: self.target.to_string(), what, source };
        stream.write_all(&SSL_REQUEST).await.map_err(broke)?;
        let mut answer = [0; 512];
        let count = stream.read(&mut answer).await.map_err(broke)?;
        match answer.get(..count).unwrap_or_default() {
            [] => Err(Trouble::Ended { server, what }),
            [b'S'] => Ok(()),
            [b'S', rest @ ..] => Err(Trouble::Injected { server, count: rest.len() }),
            [b'N', ..] => Err(Trouble::NoTls { server }),
            // What it says is not read: nobody has shown yet who says it (CVE-2024-10977).
            [b'E', ..] => Err(Trouble::Error { server }),
            [b'H', b'T', b'T', b'P', ..] => Err(Trouble::Http { server }),
            [byte, ..] => Err(Trouble::NotPostgres { server, byte: *byte }),
        }
    }
}
