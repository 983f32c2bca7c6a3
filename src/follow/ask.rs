//! One question to a forebay, on a connection of its own.
//!
//! Owns: connecting, what is sent, what of an answer is believed.
//! Must not know: when one asks again.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Target;
use super::empty::Empty;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    /// Nobody could be connected to, or the connection ended.
    #[error("no answer: {0}")]
    Connection(#[from] io::Error),
    /// What came back was not HTTP, or broke off.
    #[error("no answer: {0}")]
    Http(#[from] hyper::Error),
    /// It took too long.
    #[error("no answer within {0:?}")]
    Deadline(Duration),
    /// There is a forebay, which does not know the token.
    #[error("the token is missing or wrong ({0})")]
    Denied(StatusCode),
    /// The address leads elsewhere.
    #[error("it answers {status} and sends one to {location}")]
    Elsewhere {
        /// The status.
        status: StatusCode,
        /// Where to.
        location: String,
    },
    /// Somebody answered who is no forebay, or shows no status.
    #[error("what answers {0} there is no status of forebay")]
    NoStatus(StatusCode),
}

/// Asks a target.
pub(super) struct Asker {
    target: Target,
    token: Option<HeaderValue>,
    tls: Option<Arc<ClientConfig>>,
    /// How often it has asked: the addresses of a name take turns.
    count: usize,
}

impl Asker {
    pub(super) fn new(
        target: Target,
        token: Option<HeaderValue>,
        tls: Option<ClientConfig>,
    ) -> Self {
        Self { target, token, tls: tls.map(Arc::new), count: 0 }
    }

    /// Asks once. Every question has a connection of its own and no cookie, so that a load balancer
    /// sends it wherever it likes.
    ///
    /// # Errors
    ///
    /// [`Silence`].
    pub(super) async fn ask(&mut self, deadline: Duration) -> Result<Value, Silence> {
        self.count += 1;
        let answer = timeout(deadline, self.exchange()).await;
        answer.unwrap_or(Err(Silence::Deadline(deadline)))
    }

    async fn exchange(&self) -> Result<Value, Silence> {
        match &self.target {
            Target::Unix(path) => self.over(UnixStream::connect(path).await?).await,
            Target::Http { host, port, is_tls, .. } => {
                let stream = self.reach(host, *port).await?;
                stream.set_nodelay(true)?;
                match &self.tls {
                    Some(tls) if *is_tls => {
                        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
                        let connector = TlsConnector::from(Arc::clone(tls));
                        self.over(connector.connect(name, stream).await?).await
                    }
                    _ => self.over(stream).await,
                }
            }
        }
    }

    async fn reach(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
        let mut last = io::Error::other("the name has no address");
        for place in 0..addresses.len() {
            let Some(address) = addresses.get((self.count + place) % addresses.len()) else {
                break;
            };
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    async fn over<S>(&self, stream: S) -> Result<Value, Silence>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_LIMIT)
            .handshake(TokioIo::new(stream))
            .await?;
        // It ends with its one answer; the deadline of the question ends it sooner.
        let conversation = async {
            let response = sender.send_request(self.request()).await?;
            read(response).await
        };
        tokio::pin!(conversation);
        tokio::select! {
            result = &mut conversation => result,
            // The connection's end may be seen before the answer that came with it.
            _ = connection => conversation.await,
        }
    }

    fn request(&self) -> Request<Empty> {
        let mut request = Request::new(Empty);
        // A target's path was part of a URL.
        *request.uri_mut() = self.target.path().parse().unwrap_or_default();
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::try_from(self.target.authority()) {
            headers.insert(HOST, host);
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if let Some(token) = &self.token {
            headers.insert(AUTHORIZATION, token.clone());
        }
        request
    }
}

/// Reads an answer, up to [`CONTENT_LIMIT`].
async fn read(response: Response<Incoming>) -> Result<Value, Silence> {
    let status = response.status();
    // A firewall in front may say the same, and means something else.
    let code = response.headers().get(ERROR).map(HeaderValue::as_bytes);
    if matches!(code, Some(b"FB-60" | b"FB-61")) {
        return Err(Silence::Denied(status));
    }
    if let Some(location) = response.headers().get(LOCATION).filter(|_| status.is_redirection()) {
        let location = String::from_utf8_lossy(location.as_bytes());
        return Err(Silence::Elsewhere { status, location: crate::status::clean(&location) });
    }
    if status != StatusCode::OK {
        return Err(Silence::NoStatus(status));
    }
    let mut content = response.into_body();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut content).poll_frame(cx)).await {
        if let Ok(data) = frame?.into_data() {
            let data: Bytes = data;
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > CONTENT_LIMIT {
            return Err(Silence::NoStatus(status));
        }
    }
    let report: Value = serde_json::from_slice(&bytes).map_err(|_| Silence::NoStatus(status))?;
    let is_one = report.get("forebay").is_some_and(Value::is_string);
    if is_one { Ok(report) } else { Err(Silence::NoStatus(status)) }
}

/// The field in which forebay gives its codes.
const ERROR: &str = "x-forebay-error";

const AGENT: &str = concat!("forebay/", env!("CARGO_PKG_VERSION"));

/// The most bytes of a report.
const CONTENT_LIMIT: usize = 1024 * 1024;

/// The most bytes of an answer's header section.
const HEADER_LIMIT: usize = 64 * 1024;
