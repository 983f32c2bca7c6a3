//! What goes wrong with one connection, in words for the program that wanted it and for the log.
//!
//! Owns: the words, the SQLSTATE, how often the log says the same.
//! Must not know: how it was found out.

use std::collections::HashMap;
use std::error::Error as _;
use std::io;
use std::mem::{Discriminant, discriminant};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustls::{AlertDescription, CertificateError, PeerIncompatible};
use tokio::time::Instant;

use super::message::{self, BadHead};
use super::trust::Stranger;

/// Why a connection is not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the client does not begin as PostgreSQL's clients do: {0}")]
    BadClient(BadHead),
    #[error("the client asked for encryption more often than any client does")]
    Insists,
    #[error("the client left when it was told that there is no TLS on this side")]
    WantsTls,
    #[error("the client did not begin its session in time")]
    SilentClient,
    #[error("all {limit} connections of forebay are taken")]
    Full { limit: usize },
    #[error("forebay is stopping")]
    Stopping,
    #[error("the host `{host}` is not found")]
    NotFound { host: String, source: io::Error },
    #[error("{server} refuses the connection: nobody listens there")]
    Refused { server: String, port: u16 },
    #[error("{server} does not answer within {} s", deadline.as_secs_f32())]
    Unanswered { server: String, deadline: Duration },
    #[error("{server} cannot be reached")]
    Unreachable { server: String, source: io::Error },
    #[error("{server} was reached, but {what} did not come within {} s", deadline.as_secs_f32())]
    Silent { server: String, what: &'static str, deadline: Duration },
    #[error("{server} ended the connection before {what}")]
    Ended { server: String, what: &'static str },
    #[error("{server}: the connection broke before {what}")]
    Broke { server: String, what: &'static str, source: io::Error },
    #[error("{server} has no TLS")]
    NoTls { server: String },
    #[error("{server} answered with an error in the place of TLS")]
    Error { server: String },
    #[error("{server} answers HTTP: this is not PostgreSQL's port")]
    Http { server: String },
    #[error("{server} does not answer as PostgreSQL does (its first byte is {byte:#04x})")]
    NotPostgres { server: String, byte: u8 },
    #[error("{server} sent {count} bytes in the clear where TLS was to begin (CVE-2021-23222)")]
    Injected { server: String, count: usize },
    #[error("{server} takes no TLS without a request before it, or no `postgresql` (ALPN)")]
    NotDirect { server: String },
    #[error("{server} has a certificate that it issued itself, and that is no known root")]
    SelfSigned { server: String },
    #[error("the certificate of {server} comes from `{issuer}`, which leads to no known root")]
    UnknownIssuer { server: String, issuer: String },
    #[error("the certificate of {server} has expired{since}")]
    Expired { server: String, since: String },
    #[error("the certificate of {server} is not valid yet")]
    NotYetValid { server: String },
    #[error("the certificate of {server} is not for `{wanted}` but for {names}")]
    WrongName { server: String, wanted: String, names: String },
    #[error("the certificate of {server} is not believed: {source}")]
    Certificate { server: String, source: rustls::Error },
    #[error("{server} speaks no TLS of version 1.2 or 1.3")]
    TooOld { server: String },
    #[error("TLS with {server} failed: {source}")]
    Tls { server: String, source: rustls::Error },
    #[error("{server} has no connection left")]
    ServerFull { server: String },
}

impl Trouble {
    /// What a failed handshake means.
    pub(super) fn of_handshake(server: &str, name: &str, why: io::Error) -> Self {
        let what = "TLS was agreed on";
        let server = server.to_owned();
        let inner = why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(tls) = inner.cloned() else {
            if why.kind() == io::ErrorKind::UnexpectedEof {
                return Self::Ended { server, what };
            }
            return Self::Broke { server, what, source: why };
        };
        if let rustls::Error::InvalidCertificate(bad) = &tls {
            return Self::of_certificate(server, name, bad);
        }
        let is_old = matches!(
            tls,
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
                | rustls::Error::PeerIncompatible(
                    PeerIncompatible::ServerDoesNotSupportTls12Or13
                        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                )
        );
        let is_alpn =
            matches!(tls, rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol));
        if is_old {
            return Self::TooOld { server };
        }
        if is_alpn {
            return Self::NotDirect { server };
        }
        Self::Tls { server, source: tls }
    }

    fn of_certificate(server: String, name: &str, bad: &CertificateError) -> Self {
        if let CertificateError::ExpiredContext { time, not_after } = bad {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            return Self::Expired { server, since: format!(", {days} days ago") };
        }
        if let CertificateError::NotValidForNameContext { presented, .. } = bad {
            let names = presented.iter().take(8).map(|it| format!("`{}`", bare_name(it)));
            let names = match names.collect::<Vec<_>>().join(", ") {
                none if none.is_empty() => "no name at all".to_owned(),
                names => names,
            };
            return Self::WrongName { server, wanted: name.to_owned(), names };
        }
        if let CertificateError::Other(other) = bad
            && let Some(stranger) = other.0.downcast_ref::<Stranger>()
        {
            return match stranger {
                Stranger::SelfSigned => Self::SelfSigned { server },
                Stranger::IssuedBy(issuer) => {
                    Self::UnknownIssuer { server, issuer: issuer.clone() }
                }
            };
        }
        let is = |kinds: &[CertificateError]| kinds.contains(bad);
        if is(&[CertificateError::Expired]) {
            return Self::Expired { server, since: String::new() };
        }
        if is(&[CertificateError::NotValidYet])
            || matches!(bad, CertificateError::NotValidYetContext { .. })
        {
            return Self::NotYetValid { server };
        }
        Self::Certificate { server, source: rustls::Error::InvalidCertificate(bad.clone()) }
    }

    /// Whether another try may meet a better moment, or a better address.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Ended { .. } | Self::Broke { .. })
    }

    /// Whether the program that wanted the connection can be told.
    pub(super) fn is_for_the_client(&self) -> bool {
        !matches!(self, Self::WantsTls | Self::SilentClient)
            && !matches!(self, Self::BadClient(BadHead::Tls | BadHead::Http))
    }

    /// The code for programs (PostgreSQL documentation, appendix A).
    pub(super) fn sqlstate(&self) -> &'static str {
        match self {
            Self::BadClient(BadHead::Version(..)) => "0A000",
            Self::BadClient(_) | Self::Insists | Self::WantsTls | Self::SilentClient => "08P01",
            Self::Full { .. } | Self::ServerFull { .. } => "53300",
            Self::Stopping => "57P03",
            Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Unanswered { .. }
            | Self::Unreachable { .. } => "08001",
            Self::Silent { .. }
            | Self::Ended { .. }
            | Self::Broke { .. }
            | Self::NoTls { .. }
            | Self::Error { .. }
            | Self::Http { .. }
            | Self::NotPostgres { .. }
            | Self::Injected { .. }
            | Self::NotDirect { .. }
            | Self::SelfSigned { .. }
            | Self::UnknownIssuer { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::WrongName { .. }
            | Self::Certificate { .. }
            | Self::TooOld { .. }
            | Self::Tls { .. } => "08006",
        }
    }

    /// What to do next.
    pub(super) fn mend(&self) -> &'static str {
        match self {
            Self::BadClient(BadHead::Tls) | Self::Insists | Self::WantsTls => {
                "let the client speak without TLS to forebay, which speaks TLS to the server: \
                 sslmode=disable in the URL or in OPTIONS of Django's DATABASES"
            }
            Self::BadClient(_) => "connect PostgreSQL's own clients, of version 7.4 or later",
            Self::SilentClient => "find out what connects and says nothing, such as a port scan",
            Self::Full { .. } => {
                "raise --postgres-connections, or let the application keep fewer (CONN_MAX_AGE, \
                 pools, workers x threads)"
            }
            Self::ServerFull { .. } => {
                "let the application keep fewer connections (CONN_MAX_AGE, pools), take the built-in \
                 PgBouncer on port 6432, or a larger tier"
            }
            Self::Stopping => "connect again when it has started",
            Self::NotFound { .. } => {
                "correct the host's name, or look at the private DNS zone and its link to the \
                 virtual network"
            }
            Self::Refused { port: 6432, .. } => {
                "switch the server's built-in PgBouncer on (not on Burstable tiers), or use port \
                 5432"
            }
            Self::Refused { .. } => "start the server, or correct host and port",
            Self::Unanswered { .. } => {
                "let the server's firewall rules or the virtual network admit this instance; a \
                 server that is stopped does not answer either"
            }
            Self::Unreachable { .. } => "look at the network between here and the server",
            Self::Silent { .. } | Self::Ended { .. } | Self::Broke { .. } => {
                "look at the server's log: it may be starting, out of memory or failing over; and \
                 is this PostgreSQL's port?"
            }
            Self::NoTls { .. } => {
                "switch ssl on in the server, or do without forebay's leg on a network of your own"
            }
            Self::Error { .. } => "look at the server's log: it may be out of processes or memory",
            Self::Http { .. } | Self::NotPostgres { .. } => {
                "correct the port: 5432, or 6432 for the built-in PgBouncer"
            }
            Self::Injected { .. } => {
                "somebody between here and the server writes into the connection: find out who"
            }
            Self::NotDirect { .. } => {
                "leave --postgres-negotiation at `postgres`: before version 17 no server can do else"
            }
            Self::SelfSigned { .. } | Self::UnknownIssuer { .. } => {
                "name the root of the server's authority with --postgres-ca; for Azure the roots \
                 built in are right, so ask who answers in its place"
            }
            Self::Expired { .. } => "renew the server's certificate; is the clock here right?",
            Self::NotYetValid { .. } => "is the clock here right?",
            Self::WrongName { .. } => {
                "write the host by a name that the certificate has, or name that one with \
                 --postgres-server-name"
            }
            Self::Certificate { .. } | Self::Tls { .. } => {
                "look at the server's certificate and its log"
            }
            Self::TooOld { .. } => "set ssl_min_protocol_version to TLSv1.2 in the server",
        }
    }

    /// The words with their causes in one line.
    pub(super) fn words(&self) -> String {
        let mut words = self.to_string();
        // These tell their cause themselves.
        let has_told = matches!(self, Self::Certificate { .. } | Self::Tls { .. });
        let cause = self.source().filter(|_| !has_told);
        if let Some(cause) = cause {
            words.push_str(": ");
            words.push_str(&cause.to_string());
        }
        words
    }

    /// What PostgreSQL's clients show.
    pub(super) fn response(&self) -> Vec<u8> {
        message::error_response(self.sqlstate(), &format!("forebay: {}", self.words()), self.mend())
    }
}

/// A certificate's name as the library writes it, `DnsName("db")` or `IpAddress(10.0.0.4)`, bare.
fn bare_name(text: &str) -> String {
    let inner = text.split_once('(').and_then(|(_, it)| it.strip_suffix(')')).unwrap_or(text);
    plain(inner.trim_matches('"'))
}

/// A text from a stranger without what a log or a terminal could take for more than text.
pub(super) fn plain(text: &str) -> String {
    text.chars().take(128).map(|it| if it.is_control() { '?' } else { it }).collect()
}

/// Writes troubles into the log, each kind once a minute.
#[derive(Debug, Default)]
pub(super) struct Teller(Mutex<HashMap<Discriminant<Trouble>, Told>>);

/// When a kind of trouble was told, and how often it came since.
#[derive(Debug)]
struct Told {
    when: Instant,
    since: u64,
}

impl Teller {
    /// Tells, or counts.
    pub(super) fn tell(&self, trouble: &Trouble) {
        let Some(more) = self.takes(discriminant(trouble)) else { return };
        tracing::warn!(
            why = trouble.words(),
            sqlstate = trouble.sqlstate(),
            mend = trouble.mend(),
            more,
            "a connection to PostgreSQL failed"
        );
    }

    /// How many were not told since the last one of this kind; nothing when that is too young.
    fn takes(&self, kind: Discriminant<Trouble>) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let Some(told) = kinds.get_mut(&kind) else {
            kinds.insert(kind, Told { when: now, since: 0 });
            return Some(0);
        };
        if now.duration_since(told.when) < PAUSE {
            told.since += 1;
            return None;
        }
        told.when = now;
        Some(std::mem::take(&mut told.since))
    }
}

/// How long the log says nothing more of a kind of trouble.
const PAUSE: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_kind_of_trouble_is_told_once_a_minute() {
        let teller = Teller::default();
        let (full, stopping) =
            (discriminant(&Trouble::Full { limit: 1 }), discriminant(&Trouble::Stopping));
        assert_eq!(teller.takes(full), Some(0));
        advance(Duration::from_secs(59)).await;
        assert_eq!(teller.takes(full), None);
        assert_eq!(teller.takes(full), None);
        assert_eq!(teller.takes(stopping), Some(0), "another kind");
        advance(Duration::from_secs(1)).await;
        assert_eq!(teller.takes(full), Some(2));
    }

    #[test]
    fn a_certificates_names_are_told_without_what_is_no_text() {
        assert_eq!(plain("a\u{1b}[31m\nb"), "a?[31m?b");
        assert_eq!(plain(&"x".repeat(1000)).len(), 128);
        for (text, bare) in [("DnsName(\"*.a.b\")", "*.a.b"), ("IpAddress(::1)", "::1"), ("a", "a")]
        {
            assert_eq!(bare_name(text), bare);
        }
    }

    #[test]
    fn causes_are_told_once() {
        let source = io::Error::other("no such host");
        let trouble = Trouble::NotFound { host: "db".to_owned(), source };
        assert_eq!(trouble.words(), "the host `db` is not found: no such host");
        let source = rustls::Error::General("x".to_owned());
        let trouble = Trouble::Tls { server: "db:1".to_owned(), source };
        assert_eq!(trouble.words(), "TLS with db:1 failed: unexpected error: x");
        let response = trouble.response();
        assert_eq!(message::sqlstate(&response), Some("08006"));
    }
}
