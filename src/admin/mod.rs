//! Serves the status and the metrics at an address of their own.
//!
//! Owns: the admin socket, its limits, its paths.
//! Must not know: what the status says, the public port.
//!
//! Whoever reaches the address may read everything: a unix socket lets only its user in, and a TCP
//! address is for loopback or a network that is closed.

mod place;

use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use crate::status::{Form, Look, POLICY, metrics};
pub use place::{default_path, folder, found};

/// What the admin address obeys.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is; nothing for nowhere.
    pub wish: Option<Wish>,
    /// Where the default socket is put.
    pub folder: PathBuf,
}

/// Where the admin address is to be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wish {
    /// A unix socket with a name of forebay's choice.
    Auto,
    /// This unix socket.
    Unix(PathBuf),
    /// This address.
    Tcp(SocketAddr),
}

/// Why there is no admin address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another forebay answers at the socket.
    #[error("somebody answers at the admin socket {path} already")]
    Taken {
        /// Its path.
        path: PathBuf,
    },
    /// There is something else under its name.
    #[error("{path} is no socket")]
    NoSocket {
        /// Its path.
        path: PathBuf,
    },
    /// The socket could not be bound.
    #[error("cannot listen on the admin socket {path}")]
    Unix {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address could not be bound.
    #[error("cannot listen on the admin address {address}")]
    Tcp {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Error {
    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::Taken { .. } => "end the other forebay, or set --admin to another path or `off`",
            Self::NoSocket { .. } => "set --admin to a path where nothing is",
            Self::Unix { .. } => {
                "set --admin to a path of at most 107 bytes in a directory that forebay may write to"
            }
            Self::Tcp { .. } => "set --admin to an address of this machine whose port is free",
        }
        .to_owned()
    }
}

/// A listener, and what is to be removed at the end.
#[derive(Debug)]
pub struct Door {
    listener: Listener,
    socket: Option<Socket>,
}

#[derive(Debug)]
enum Listener {
    Unix(std::os::unix::net::UnixListener),
    Tcp(std::net::TcpListener),
}

/// A socket in the file system, removed with this if it is still the same.
#[derive(Debug)]
struct Socket {
    path: PathBuf,
    file: (u64, u64),
}

impl Drop for Socket {
    fn drop(&mut self) {
        if file_at(&self.path).is_ok_and(|file| file == self.file) {
            // If it cannot be removed, the next start replaces it.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn file_at(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

/// Binds the admin address and says where it is. The default socket is nobody's order: without it
/// there is a warning and nothing.
///
/// # Errors
///
/// [`Error`], for an address that was chosen.
pub fn open(settings: &Settings, public_port: u16) -> Result<Option<Door>, Error> {
    let door = match &settings.wish {
        None => return Ok(None),
        Some(Wish::Auto) => match unix(default_path(&settings.folder, public_port)) {
            Ok(door) => door,
            Err(why) => {
                let cause = std::error::Error::source(&why).map(ToString::to_string);
                let mend = why.mend();
                tracing::warn!(%why, cause, mend, "`forebay status` will not find this process");
                return Ok(None);
            }
        },
        Some(Wish::Unix(path)) => unix(path.clone())?,
        Some(Wish::Tcp(address)) => tcp(*address)?,
    };
    match &door.listener {
        Listener::Unix(_) => {
            let path = door.socket.as_ref().map(|socket| socket.path.display().to_string());
            tracing::info!(address = path.map(|path| format!("unix:{path}")), "admin address");
        }
        Listener::Tcp(listener) => {
            let address = listener.local_addr().ok();
            tracing::info!(address = address.map(|it| it.to_string()), "admin address");
            if address.is_some_and(|address| !address.ip().to_canonical().is_loopback()) {
                tracing::warn!(
                    mend = "set --admin to a unix socket or a loopback address, or see that only \
                            your own network reaches it",
                    "the admin address is open to whoever reaches it, without a token"
                );
            }
        }
    }
    Ok(Some(door))
}

fn tcp(address: SocketAddr) -> Result<Door, Error> {
    let bind = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let listener = bind().map_err(|source| Error::Tcp { address, source })?;
    Ok(Door { listener: Listener::Tcp(listener), socket: None })
}

fn unix(path: PathBuf) -> Result<Door, Error> {
    place::clear(&path)?;
    match place::bind(&path).and_then(|listener| Ok((listener, file_at(&path)?))) {
        Ok((listener, file)) => {
            let socket = Some(Socket { path, file });
            Ok(Door { listener: Listener::Unix(listener), socket })
        }
        Err(source) => Err(Error::Unix { path, source }),
    }
}

/// Answers at the admin address until the runtime ends. The socket stays until `door` is dropped.
pub fn serve(door: &Door, look: Look) -> impl Future<Output = ()> + use<> {
    let listener = match &door.listener {
        Listener::Unix(listener) => listener.try_clone().map(Listener::Unix),
        Listener::Tcp(listener) => listener.try_clone().map(Listener::Tcp),
    };
    async move {
        let served = match listener {
            Ok(Listener::Unix(listener)) => serve_unix(listener, look).await,
            Ok(Listener::Tcp(listener)) => serve_tcp(listener, look).await,
            Err(why) => Err(why),
        };
        if let Err(why) = served {
            tracing::error!(%why, "the admin address cannot be served");
        }
    }
}

async fn serve_unix(listener: std::os::unix::net::UnixListener, look: Look) -> io::Result<()> {
    let listener = UnixListener::from_std(listener)?;
    let desk = Desk::new(look, false);
    loop {
        let place = desk.place().await;
        match listener.accept().await {
            Ok((stream, _)) => desk.serve(stream, place),
            Err(_) => sleep(AFTER_FAILURE).await,
        }
    }
}

async fn serve_tcp(listener: std::net::TcpListener, look: Look) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let is_loopback = listener.local_addr()?.ip().to_canonical().is_loopback();
    let desk = Desk::new(look, is_loopback);
    loop {
        let place = desk.place().await;
        match listener.accept().await {
            Ok((stream, _)) => desk.serve(stream, place),
            Err(_) => sleep(AFTER_FAILURE).await,
        }
    }
}

/// What is answered.
struct Desk {
    look: Look,
    is_loopback: bool,
    places: Arc<Semaphore>,
}

impl Desk {
    fn new(look: Look, is_loopback: bool) -> Arc<Self> {
        Arc::new(Self { look, is_loopback, places: Arc::new(Semaphore::new(CONNECTIONS)) })
    }

    /// Waits for a place; those who connect meanwhile wait in the backlog.
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes the semaphore.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Serves a connection in a task of its own.
    fn serve(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let desk = Arc::clone(self);
        tokio::spawn(async move {
            desk.converse(stream).await;
            drop(place);
        });
    }

    /// Answers one request on a connection.
    async fn converse(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(self.answer(&request).await) });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_DEADLINE)
            .max_buf_size(HEADER_LIMIT)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        // Who asked badly or left needs no answer, and no line in the log.
        drop(timeout(DEADLINE, connection).await);
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Whole> {
        if self.is_loopback && !is_local(request.headers()) {
            // A page of somebody else whose name leads here must not read it.
            let text = "The Host is neither an IP address nor localhost.\n";
            return own(StatusCode::FORBIDDEN, TEXT, text.to_owned());
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = own(StatusCode::METHOD_NOT_ALLOWED, TEXT, "Only read.\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri().path();
        if !matches!(path, "/" | "/status" | "/metrics") {
            return own(
                StatusCode::NOT_FOUND,
                TEXT,
                "There are /status and /metrics.\n".to_owned(),
            );
        }
        let Some(report) = self.look.now().await else {
            return own(StatusCode::SERVICE_UNAVAILABLE, TEXT, "forebay ends.\n".to_owned());
        };
        if path == "/metrics" {
            return own(StatusCode::OK, METRICS, metrics(&report));
        }
        let accept = request.headers().get(ACCEPT).map(HeaderValue::as_bytes);
        let (kind, content) = Form::wanted(accept).write(&report);
        own(StatusCode::OK, kind, content)
    }
}

/// Whether the Host is an address or `localhost`, with or without a port.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return true };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || bare.parse::<std::net::IpAddr>().is_ok()
}

fn own(status: StatusCode, kind: &'static str, content: String) -> Response<Whole> {
    let mut response = Response::new(Whole(Some(Bytes::from(content))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Content that is there at once.
struct Whole(Option<Bytes>);

impl http_body::Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// So many connections are served at once.
const CONNECTIONS: usize = 16;

/// How long a header section may take.
const HEADER_DEADLINE: Duration = Duration::from_secs(5);

/// The largest header section, in bytes.
const HEADER_LIMIT: usize = 16 * 1024;

/// How long a request may take with its answer.
const DEADLINE: Duration = Duration::from_secs(20);

/// After a failure to accept: the cause, too many open files as a rule, needs time to pass.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_local_if_no_name_server_is_asked_for_it() {
        for (host, expected) in [
            ("127.0.0.1:9100", true),
            ("localhost", true),
            ("LOCALHOST:9100", true),
            ("[::1]:9100", true),
            ("[::1]", true),
            ("evil.example", false),
            ("localhost.evil.example:9100", false),
            ("127.0.0.1.evil.example", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            assert_eq!(is_local(&headers), expected, "{host}");
        }
    }
}
