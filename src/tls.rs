//! TLS towards servers: which of them are believed.
//!
//! Owns: the roots, the verification, how a failed one is told in words.
//! Must not know: what is spoken inside.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of roots cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of roots is not one.
    #[error("{path} holds no certificate in PEM form")]
    NoCertificate {
        /// Its path.
        path: PathBuf,
    },
    /// A certificate cannot be a root, or the library refuses the settings.
    #[error("a certificate cannot be used as a root")]
    BadRoot(#[source] rustls::Error),
    /// The roots cannot be made a verifier.
    #[error("the roots cannot be used")]
    Verifier(#[from] rustls::client::VerifierBuilderError),
    /// The library has no common version with itself.
    #[error("TLS cannot be set up")]
    Library(#[from] rustls::Error),
}

/// Reads roots from a file in PEM form.
///
/// # Errors
///
/// [`Error::Unreadable`] and [`Error::NoCertificate`].
pub fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = |why| {
        if let pem::Error::Io(source) = why {
            return Error::Unreadable { path: path.to_owned(), source };
        }
        Error::NoCertificate { path: path.to_owned() }
    };
    let certificates = CertificateDer::pem_file_iter(path).map_err(read)?;
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(read)?;
    if certificates.is_empty() {
        return Err(Error::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// A client that believes a server whose chain ends in one of its `own` roots or, if wanted, in one of
/// Mozilla's set, and whose certificate has the name that was asked for. TLS 1.2 and 1.3.
///
/// Mozilla's set has both roots of Azure's databases (facts, 8).
///
/// # Errors
///
/// [`Error::BadRoot`], [`Error::Verifier`] and [`Error::Library`].
pub fn verifying(
    own: &[CertificateDer<'static>],
    has_built_in: bool,
) -> Result<ClientConfig, Error> {
    let verifier = verifier(own, has_built_in)?;
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_webpki_verifier(verifier)
        .with_no_client_auth())
}

/// What verifies a server's chain and name, by `own` roots and, if wanted, by Mozilla's set.
///
/// # Errors
///
/// [`Error::BadRoot`] and [`Error::Verifier`], the latter also where there is no root at all.
pub fn verifier(
    own: &[CertificateDer<'static>],
    has_built_in: bool,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    if has_built_in {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in own {
        roots.add(root.clone()).map_err(Error::BadRoot)?;
    }
    let provider = Arc::new(ring::default_provider());
    Ok(WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_of_azures_databases_are_built_in() {
        for name in ["DigiCert Global Root G2", "Microsoft RSA Root Certificate Authority 2017"] {
            let has_name =
                |subject: &[u8]| memchr::memmem::find(subject, name.as_bytes()).is_some();
            let found = webpki_roots::TLS_SERVER_ROOTS.iter().filter(|it| has_name(&it.subject));
            assert_eq!(found.count(), 1, "{name}");
        }
        verifying(&[], true).unwrap();
    }

    #[test]
    fn a_file_of_roots_is_read_or_told_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("roots.pem");
        assert!(matches!(read_roots(&path), Err(Error::Unreadable { .. })));
        for text in ["", "not PEM", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(read_roots(&path), Err(Error::NoCertificate { .. })), "{text}");
        }
    }
}
