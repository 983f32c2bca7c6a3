//! Where a database is and who asks.
//!
//! Owns: what must be known to connect, and that a password is never shown.
//! Must not know: where it was written, sockets.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// What must be known to connect to a database.
#[derive(Clone, Eq, PartialEq)]
pub struct Target {
    /// The servers, in the order of being tried; at least one.
    pub places: Vec<Place>,
    /// The role.
    pub user: String,
    /// Its password, if it has any.
    pub password: Option<String>,
    /// The database.
    pub database: String,
    /// What was said about encryption.
    pub mode: Mode,
    /// Which servers are believed.
    pub trust: Trust,
    /// Settings for the session, as `-c search_path=app`.
    pub options: Option<String>,
}

/// Which servers are believed: by chain, and by name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Trust {
    /// Files of roots in PEM form.
    pub files: Vec<PathBuf>,
    /// Whether these alone count, and not the roots that are built in.
    pub is_all: bool,
    /// The name that the certificate must have, where it is not the host's.
    pub name: Option<String>,
}

/// One server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Place {
    /// A host by its name or address.
    Tcp {
        /// The host, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// The directory of a unix socket.
    Unix {
        /// The directory.
        directory: PathBuf,
        /// The port that is part of the socket's name.
        port: u16,
    },
}

/// What was said about encryption, in libpq's words. Whatever was said, a server that speaks TLS is
/// verified in full: `require` alone would give the password to anybody in between.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mode {
    /// `disable`: none.
    Never,
    /// Nothing, `allow` or `prefer`: always, but for hosts of this machine and for private ones that
    /// do not speak TLS.
    #[default]
    Fitting,
    /// `require`, `verify-ca` or `verify-full`: always.
    Always,
}

impl Mode {
    /// Reads libpq's word, or that of an ADO.NET connection string.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let word = text.to_ascii_lowercase().replace(['-', '_'], "");
        match word.as_str() {
            "disable" => Some(Self::Never),
            "" | "allow" | "prefer" => Some(Self::Fitting),
            "require" | "verifyca" | "verifyfull" => Some(Self::Always),
            _ => None,
        }
    }
}

impl Place {
    /// Whether it is the Azure service, which always speaks TLS and has a pooler of its own.
    pub fn is_azure(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => {
                let host = host.trim_end_matches('.').to_ascii_lowercase();
                [".postgres.database.azure.com", ".postgres.cosmos.azure.com"]
                    .iter()
                    .any(|ending| host.ends_with(ending))
            }
            Self::Unix { .. } => false,
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Unix { port, .. } => *port,
        }
    }

    /// The same host at another port.
    #[must_use]
    pub fn at(&self, port: u16) -> Self {
        match self {
            Self::Tcp { host, .. } => Self::Tcp { host: host.clone(), port },
            Self::Unix { directory, .. } => Self::Unix { directory: directory.clone(), port },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { directory, port } => {
                write!(f, "{}/.s.PGSQL.{port}", directory.display())
            }
        }
    }
}

/// As it may stand in a log: without the password.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<_> = self.places.iter().map(ToString::to_string).collect();
        write!(f, "database `{}` of {} as `{}`", self.database, places.join(", "), self.user)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("places", &self.places)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "[redacted]"))
            .field("database", &self.database)
            .field("mode", &self.mode)
            .field("trust", &self.trust)
            // They can hold anything.
            .field("options", &self.options.as_ref().map(|_| "[redacted]"))
            .finish()
    }
}

/// Whether traffic to an address stays in a network of one's own: then a server without TLS is
/// accepted where nobody asked for it.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(it) => it.is_loopback() || it.is_private() || it.is_link_local(),
        IpAddr::V6(it) => it.is_loopback() || it.is_unique_local() || it.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let target = Target {
            places: vec![Place::Tcp { host: "::1".to_owned(), port: 5432 }],
            user: "app".to_owned(),
            password: Some("s3cret".to_owned()),
            database: "site".to_owned(),
            mode: Mode::Fitting,
            trust: Trust::default(),
            options: Some("-c a=s3cret".to_owned()),
        };
        let shown = format!("{target} {target:?} {target:#?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.starts_with("database `site` of [::1]:5432 as `app`"), "{shown}");
    }

    #[test]
    fn what_is_said_about_encryption_is_understood_or_refused() {
        for (text, mode) in [
            ("disable", Some(Mode::Never)),
            ("prefer", Some(Mode::Fitting)),
            ("require", Some(Mode::Always)),
            ("Require", Some(Mode::Always)),
            ("verify-full", Some(Mode::Always)),
            ("VerifyFull", Some(Mode::Always)),
            ("verify-all", None),
            ("1", None),
        ] {
            assert_eq!(Mode::parse(text), mode, "{text}");
        }
    }

    #[test]
    fn azure_is_known_by_its_names() {
        for (host, is_azure) in [
            ("a.postgres.database.azure.com", true),
            ("A.Postgres.Database.Azure.com.", true),
            ("postgres.database.azure.com.example.com", false),
            ("127.0.0.1", false),
        ] {
            let place = Place::Tcp { host: host.to_owned(), port: 6432 };
            assert_eq!(place.is_azure(), is_azure, "{host}");
        }
    }

    #[test]
    fn private_addresses_are_known() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("10.1.2.3", true),
            ("172.17.0.2", true),
            ("::ffff:192.168.0.1", true),
            ("fd00::1", true),
            ("20.50.2.1", false),
            ("2603:1020::1", false),
        ] {
            assert_eq!(is_private(address.parse().unwrap()), expected, "{address}");
        }
    }
}
