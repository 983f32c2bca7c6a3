//! Why a database cannot be reached, in words that say what to do.
//!
//! Owns: what a failed connection means, and whether trying again may help.
//! Must not know: how connections are made.

use std::io;
use std::time::Duration;

use rustls::CertificateError;
use tokio_postgres::error::SqlState;

use super::target::Place;
use crate::tls;

/// Why a database cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host has no address.
    #[error("the name of {place} cannot be resolved")]
    Resolve {
        /// The server.
        place: Place,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody takes the connection.
    #[error("cannot connect to {place}")]
    Connect {
        /// The server.
        place: Place,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long.
    #[error("{place} did not answer within {} s", deadline.as_secs_f32())]
    TimedOut {
        /// The server.
        place: Place,
        /// The time allowed.
        deadline: Duration,
    },
    /// The server does not speak TLS, and must.
    #[error("{place} speaks no TLS, and the way to it is not a private one")]
    NoTls {
        /// The server.
        place: Place,
    },
    /// The server's certificate is not believed, or TLS failed.
    #[error("{place} cannot prove who it is: {fault}")]
    Unproven {
        /// The server.
        place: Place,
        /// Why.
        fault: Fault,
        /// What the library said.
        source: io::Error,
    },
    /// The roots cannot be used.
    #[error("the roots for the database cannot be used")]
    Roots(#[from] tls::Error),
    /// The server said no.
    #[error("{place} refused: {message} ({code})")]
    Refused {
        /// The server.
        place: Place,
        /// Its code (PostgreSQL, appendix A).
        code: String,
        /// Its words.
        message: String,
    },
    /// The server wants a password and there is none.
    #[error("{place} wants a password, and none is known")]
    NoPassword {
        /// The server.
        place: Place,
    },
    /// The server only follows another one: nothing can be written there.
    #[error("{place} is a replica, which takes no writes")]
    Replica {
        /// The server.
        place: Place,
    },
    /// The connection broke, or was none of PostgreSQL.
    #[error("the conversation with {place} broke off")]
    Broken {
        /// The server.
        place: Place,
        /// What the library said.
        source: tokio_postgres::Error,
    },
    /// The socket failed before PostgreSQL was spoken.
    #[error("{place} does not speak PostgreSQL")]
    Strange {
        /// The server.
        place: Place,
        /// What came instead.
        source: io::Error,
    },
}

/// Why a server's certificate is not believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Nobody known has signed it.
    #[error("its certificate is signed by nobody that is believed")]
    UnknownRoot,
    /// It is for another name.
    #[error("its certificate is for another name")]
    WrongName,
    /// Its time is over.
    #[error("its certificate has expired")]
    Expired,
    /// Its time has not come.
    #[error("its certificate is not valid yet")]
    NotYetValid,
    /// Anything else.
    #[error("TLS failed")]
    Other,
}

impl Fault {
    /// What an error of a handshake means.
    pub(super) fn of(why: &io::Error) -> Self {
        let inner = why.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let Some(rustls::Error::InvalidCertificate(why)) = inner else { return Self::Other };
        // A root that is also the server's own certificate, as self-signed ones are.
        let is_self_signed = format!("{why:?}").contains("CaUsedAsEndEntity");
        if matches!(why, CertificateError::UnknownIssuer) || is_self_signed {
            return Self::UnknownRoot;
        }
        if matches!(
            why,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        ) {
            return Self::WrongName;
        }
        if matches!(why, CertificateError::Expired | CertificateError::ExpiredContext { .. }) {
            return Self::Expired;
        }
        if matches!(
            why,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }
        ) {
            return Self::NotYetValid;
        }
        Self::Other
    }
}

impl Error {
    /// What a failed start of a session means.
    pub(super) fn of_session(place: &Place, source: tokio_postgres::Error) -> Self {
        let place = place.clone();
        if let Some(why) = source.as_db_error() {
            let (code, message) = (why.code().code().to_owned(), why.message().to_owned());
            return Self::Refused { place, code, message };
        }
        let cause = std::error::Error::source(&source).map(ToString::to_string);
        if cause.is_some_and(|cause| cause == "password missing") {
            return Self::NoPassword { place };
        }
        Self::Broken { place, source }
    }

    /// Whether it may go away by itself: a server that starts, a name or a network that comes late.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Broken { .. }
            | Self::Strange { .. }
            // A failover.
            | Self::Replica { .. } => true,
            Self::Unproven { fault, .. } => *fault == Fault::Other,
            // Want of resources, an operator's intervention, the connection's own troubles.
            Self::Refused { code, .. } => {
                ["53", "57", "58", "08", "XX"].iter().any(|class| code.starts_with(class))
            }
            Self::NoTls { .. } | Self::Roots(_) | Self::NoPassword { .. } => false,
        }
    }

    /// What to do next.
    pub fn mend(&self) -> String {
        match self {
            Self::Resolve { .. } => {
                "correct the host; for a private endpoint the app needs the network's DNS (VNet \
                 integration and a link to the private DNS zone)"
                    .to_owned()
            }
            Self::Connect { place: Place::Unix { .. }, .. } => {
                "start the server, or name its host: without a host the unix socket is taken".to_owned()
            }
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::TimedOut => {
                FIREWALL.to_owned()
            }
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                "start the server, or correct host and port: nobody listens there".to_owned()
            }
            Self::Connect { .. } | Self::TimedOut { .. } => FIREWALL.to_owned(),
            Self::NoTls { .. } => {
                "turn TLS on at the server; only if the way to it is safe say `sslmode=disable`"
                    .to_owned()
            }
            Self::Unproven { fault, .. } => mend_of_fault(*fault).to_owned(),
            Self::Roots(_) => {
                "correct sslrootcert or PGSSLROOTCERT: a file in PEM form, or none for those that are \
                 built in"
                    .to_owned()
            }
            Self::Refused { code, message, .. } => mend_of_refusal(code, message).to_owned(),
            Self::NoPassword { .. } => {
                "put the password into the URL or set PGPASSWORD; a managed identity has none: name a \
                 role with a password by --release-lock, or say `--release-lock off`"
                    .to_owned()
            }
            Self::Replica { .. } => "name the primary server".to_owned(),
            Self::Broken { .. } | Self::Strange { .. } => {
                "see the server's log; is it PostgreSQL that listens there?".to_owned()
            }
        }
    }
}

const FIREWALL: &str = "let the app in: the firewall of the Flexible Server (Networking) must allow its \
                        outbound addresses or Azure services; a server in a VNet needs VNet integration";

fn mend_of_fault(fault: Fault) -> &'static str {
    match fault {
        Fault::UnknownRoot => {
            "name the file of the root that signed it with sslrootcert or PGSSLROOTCERT; Azure's roots \
             are built in. TLS is always verified, with `sslmode=require` too"
        }
        Fault::WrongName => {
            "use the name that the certificate has, for Azure `NAME.postgres.database.azure.com`, and \
             not an address or an alias"
        }
        Fault::Expired => "renew the server's certificate; is the clock of this machine right?",
        Fault::NotYetValid => {
            "set the clock of this machine, or of the one that made the certificate"
        }
        Fault::Other => "see the server's log; it must offer TLS 1.2 or 1.3",
    }
}

/// What the server's code asks for (PostgreSQL, appendix A).
fn mend_of_refusal(code: &str, message: &str) -> &'static str {
    let is = |state: &SqlState| state.code() == code;
    if is(&SqlState::INVALID_PASSWORD) {
        "correct user and password; a `$`, `%` or `@` in a URL's password must be escaped, and the user \
         of a Flexible Server has no `@server` behind it"
    } else if message.contains("no encryption") {
        "the server demands TLS: remove `sslmode=disable`"
    } else if message.contains("no pg_hba.conf entry") {
        "allow this role, database and address in pg_hba.conf; on Azure correct the role's name and the \
         database"
    } else if is(&SqlState::INVALID_CATALOG_NAME) {
        "create the database, or correct its name"
    } else if is(&SqlState::TOO_MANY_CONNECTIONS) {
        "raise max_connections, or let the site hold fewer"
    } else if message.contains("unsupported startup parameter") {
        "this is a pooler (PgBouncer): name the server itself, with --release-lock"
    } else {
        "see the server's log"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place::Tcp { host: "db.example.com".to_owned(), port: 5432 }
    }

    #[test]
    fn a_refusal_says_what_to_do_and_whether_waiting_helps() {
        for (code, message, part, may_pass) in [
            ("28P01", "password authentication failed for user \"a\"", "password", false),
            ("28000", "no pg_hba.conf entry for host, no encryption", "sslmode=disable", false),
            ("28000", "no pg_hba.conf entry for host, SSL encryption", "pg_hba.conf", false),
            ("3D000", "database \"a\" does not exist", "create the database", false),
            ("53300", "sorry, too many clients already", "max_connections", true),
            ("57P03", "the database system is starting up", "log", true),
            ("08P01", "unsupported startup parameter: options", "PgBouncer", true),
        ] {
            let (code, message) = (code.to_owned(), message.to_owned());
            let why = Error::Refused { place: place(), code, message };
            assert!(why.mend().contains(part), "{why}: {}", why.mend());
            assert_eq!(why.may_pass(), may_pass, "{why}");
        }
    }

    #[test]
    fn what_the_system_says_is_told_with_its_mend() {
        for (kind, part) in [
            (io::ErrorKind::ConnectionRefused, "nobody listens"),
            (io::ErrorKind::TimedOut, "firewall of the Flexible Server"),
            (io::ErrorKind::HostUnreachable, "VNet"),
        ] {
            let why = Error::Connect { place: place(), source: kind.into() };
            assert!(why.mend().contains(part), "{}", why.mend());
            assert!(why.may_pass());
        }
        let why = Error::NoTls { place: place() };
        assert!(why.to_string().starts_with("db.example.com:5432 speaks no TLS"));
        assert!(!why.may_pass());
    }
}
