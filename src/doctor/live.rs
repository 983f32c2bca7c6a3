//! Asks the site that runs here as a visitor's request would come.
//!
//! Owns: whom to ask, the request, what of the answer counts.
//! Must not know: which answer is right.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use super::{Known, NotLooked};
use crate::config::Config;
use crate::proxy::upstream::Address;

/// What the site answered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Live {
    /// Who was asked.
    pub at: String,
    /// Whether whoever was asked believes the scheme that it is told.
    pub believes_scheme: bool,
    /// What a visitor over https gets at `/`, for each of the hosts.
    pub answers: Vec<(String, Result<Answer, String>)>,
}

/// An answer without its content.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// `Location`.
    pub location: Option<String>,
    /// `X-Forebay-Error`.
    pub code: Option<String>,
}

/// Somebody who may be asked.
enum Whom {
    Tcp(SocketAddr),
    Unix(std::path::PathBuf),
}

/// Asks whoever listens at the public port, else at the upstream address that the operator chose.
pub(super) fn ask(config: &Config, hosts: &[String]) -> Known<Live> {
    let ip = match config.listen.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let public = Whom::Tcp(SocketAddr::new(ip, config.listen.port()));
    let upstream = || {
        let is_askable = config.is_chosen("upstream") && config.upstream.proxy_protocol.is_none();
        is_askable.then(|| whom(&config.upstream.address)).flatten()
    };
    let has_front_end = config.normalise.platform.has_front_end();
    let (whom, at, believes_scheme) = if connect(&public).is_ok() {
        let at = config.listen.port();
        (public, format!("port {at}, the public one"), has_front_end)
    } else if let Some(whom) = upstream().filter(|whom| connect(whom).is_ok()) {
        (whom, format!("{}, the upstream address", config.upstream.address), true)
    } else {
        return Err(NotLooked(format!(
            "nothing listens at {}: start the site, then ask again",
            config.listen
        )));
    };
    let local = ["localhost".to_owned()];
    let hosts = if hosts.is_empty() { &local } else { hosts };
    let ask = |host: &String| (host.clone(), answer(&whom, host).map_err(|why| why.to_string()));
    Ok(Live { at, believes_scheme, answers: hosts.iter().take(MOST).map(ask).collect() })
}

fn whom(address: &Address) -> Option<Whom> {
    match address {
        Address::Unix(path) => Some(Whom::Unix(path.clone())),
        Address::Tcp { host, port } => {
            (host.as_str(), *port).to_socket_addrs().ok()?.next().map(Whom::Tcp)
        }
    }
}

/// Both kinds of streams.
trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

fn connect(whom: &Whom) -> std::io::Result<Box<dyn Stream>> {
    Ok(match whom {
        Whom::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, CONNECT)?;
            stream.set_read_timeout(Some(READ))?;
            Box::new(stream)
        }
        Whom::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(READ))?;
            Box::new(stream)
        }
    })
}

/// One visit, as the front end would bring it.
fn answer(whom: &Whom, host: &str) -> std::io::Result<Answer> {
    let mut stream = connect(whom)?;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: forebay-doctor/{}\r\nDISGUISED-HOST: {host}\r\n\
         X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    stream.write_all(request.as_bytes())?;
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while head.len() < HEAD {
        let length = stream.read(&mut piece)?;
        head.extend_from_slice(piece.get(..length).unwrap_or_default());
        if length == 0 || head.windows(4).any(|it| it == b"\r\n\r\n") {
            break;
        }
    }
    read(&head).ok_or_else(|| std::io::Error::other("what came back is no HTTP"))
}

fn read(head: &[u8]) -> Option<Answer> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(head).ok()?;
    let field = |name: &str| {
        let field = response.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(String::from_utf8_lossy(field.value).into_owned())
    };
    let (location, code) = (field("location"), field("x-forebay-error"));
    Some(Answer { status: response.code?, location, code })
}

const CONNECT: Duration = Duration::from_secs(2);
const READ: Duration = Duration::from_secs(10);
/// The most hosts that are asked for.
const MOST: usize = 5;
/// The most bytes of a header section.
const HEAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answer_the_status_and_two_fields_count() {
        let head = b"HTTP/1.1 301 Moved\r\nLOCATION: https://a/\r\nX-Forebay-Error: FB-20\r\n\r\n";
        let expected = Answer {
            status: 301,
            location: Some("https://a/".to_owned()),
            code: Some("FB-20".to_owned()),
        };
        assert_eq!(read(head), Some(expected));
        assert_eq!(read(b"220 smtp"), None);
        assert_eq!(read(b""), None);
    }
}
