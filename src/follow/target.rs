//! Whom `forebay status` asks.
//!
//! Owns: how a target is written, to whom a token may go.
//! Must not know: connections, answers.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;

use crate::status::PATH;

/// Whom to ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Target {
    /// The admin socket of a forebay on this machine.
    Unix(PathBuf),
    /// A public or an admin address.
    Http {
        /// A name or an IP address, without brackets.
        host: String,
        /// The port.
        port: u16,
        /// The path.
        path: String,
        /// Whether over TLS.
        is_tls: bool,
    },
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http { path, is_tls, .. } => {
                let scheme = if *is_tls { "https" } else { "http" };
                write!(f, "{scheme}://{}{path}", self.authority())
            }
        }
    }
}

impl Target {
    /// Reads a URL, `unix:/path` or `HOST:PORT` of an admin address.
    ///
    /// # Errors
    ///
    /// How to mend it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            "write a URL such as `https://www.example.com`, or an admin address: \
             `unix:/path/to/socket` or `127.0.0.1:9100`"
                .to_owned()
        };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() { Ok(Self::Unix(path)) } else { Err(wrong()) };
        }
        let is_url = text.contains("://");
        let url = if is_url { text.to_owned() } else { format!("http://{text}") };
        let url: Uri = url.parse().map_err(|_| wrong())?;
        let is_tls = match url.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let authority = url.authority().ok_or_else(wrong)?;
        if authority.as_str().contains('@') {
            return Err("leave the user and the password out; the token comes from --token or \
                        FOREBAY_STATUS_TOKEN"
                .to_owned());
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            None if is_url => {
                if is_tls {
                    443
                } else {
                    80
                }
            }
            None => return Err(wrong()),
        };
        let path = match url.path_and_query().map_or("/", |path| path.as_str()) {
            "/" if is_url => PATH.to_owned(),
            "/" => "/status".to_owned(),
            path => path.to_owned(),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || port == 0 {
            return Err(wrong());
        }
        Ok(Self::Http { host, port, path, is_tls })
    }

    /// Whether whatever is sent stays on this machine or is encrypted.
    pub(super) fn keeps_secrets(&self) -> bool {
        match self {
            Self::Unix(_) | Self::Http { is_tls: true, .. } => true,
            Self::Http { host, is_tls: false, .. } => {
                let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
                host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
            }
        }
    }

    /// What stands in the Host field.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Unix(_) => "localhost".to_owned(),
            Self::Http { host, port, is_tls, .. } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                let usual = if *is_tls { 443 } else { 80 };
                if *port == usual { host } else { format!("{host}:{port}") }
            }
        }
    }

    /// What is asked for.
    pub(super) fn path(&self) -> &str {
        match self {
            Self::Unix(_) => "/status",
            Self::Http { path, .. } => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_url_or_an_admin_address() {
        for (text, shown) in [
            ("https://www.example.com", "https://www.example.com/.forebay/status"),
            ("https://www.example.com/", "https://www.example.com/.forebay/status"),
            ("http://localhost:8000", "http://localhost:8000/.forebay/status"),
            ("https://a.example:8443/x?y=1", "https://a.example:8443/x?y=1"),
            ("127.0.0.1:9100", "http://127.0.0.1:9100/status"),
            ("[::1]:9100", "http://[::1]:9100/status"),
            ("unix:/tmp/a.sock", "unix:/tmp/a.sock"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for text in [
            "",
            "www.example.com",
            "unix:a.sock",
            "ftp://a/",
            "https://",
            "https://u:p@a/",
            "a:0",
            "a b:1",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_token_goes_nowhere_in_clear_text() {
        for (text, may) in [
            ("https://www.example.com", true),
            ("http://www.example.com", false),
            ("http://127.0.0.1:8000", true),
            ("http://127.1.2.3:8000", true),
            ("http://[::1]:8000", true),
            ("http://localhost:8000", true),
            ("http://10.0.0.1:8000", false),
            ("http://localhost.example.com", false),
            ("unix:/tmp/a.sock", true),
        ] {
            assert_eq!(Target::parse(text).unwrap().keeps_secrets(), may, "{text}");
        }
    }
}
