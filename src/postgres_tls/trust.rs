//! Which server is believed, and of one that is not, who vouches for it.
//!
//! Owns: the client's side of TLS, the name of an issuer.
//! Must not know: sockets, what is spoken inside.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, SignatureScheme,
};

use super::trouble::plain;
use crate::tls;

/// Who is believed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Believed {
    /// Files of roots in PEM form.
    pub files: Vec<PathBuf>,
    /// Whether these alone count, and not the roots that are built in.
    pub is_all: bool,
}

/// Of which kind a certificate is that leads to no known root.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Stranger {
    /// It vouches for itself.
    #[error("self-signed")]
    SelfSigned,
    /// Somebody vouches for it.
    #[error("issued by `{0}`")]
    IssuedBy(String),
}

/// The client's side: TLS 1.2 and 1.3, the chain and the name are verified, and the protocol is named
/// as PostgreSQL 17 wants it (older servers do not look).
///
/// # Errors
///
/// As [`tls::read_roots`] and [`tls::verifier`].
pub(super) fn client(believed: &Believed) -> Result<ClientConfig, tls::Error> {
    let mut roots = Vec::new();
    for file in &believed.files {
        roots.extend(tls::read_roots(file)?);
    }
    let inner = tls::verifier(&roots, !believed.is_all)?;
    let verifier = Arc::new(Verifier { inner });
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// The protocol's name (PostgreSQL documentation, 55.2.11).
pub(super) const ALPN: &[u8] = b"postgresql";

/// The usual verification; a refusal for want of a root says who issued the certificate.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = self.inner.verify_server_cert(certificate, others, name, ocsp, now);
        result.map_err(|why| {
            // A certificate that is an authority's own is refused under a name of the library's.
            let is_stranger =
                matches!(why, Error::InvalidCertificate(CertificateError::UnknownIssuer))
                    || why.to_string().contains("CaUsedAsEndEntity");
            match stranger(certificate).filter(|_| is_stranger) {
                Some(stranger) => Error::InvalidCertificate(CertificateError::Other(OtherError(
                    Arc::new(stranger),
                ))),
                None => why,
            }
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Reads who issued a certificate (RFC 5280 §4.1); nothing where it has another form.
fn stranger(certificate: &[u8]) -> Option<Stranger> {
    let (content, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(content, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    let (_, fields) = element(fields, INTEGER)?;
    let (_, fields) = element(fields, SEQUENCE)?;
    let (issuer, fields) = element(fields, SEQUENCE)?;
    let (_, fields) = element(fields, SEQUENCE)?;
    let (subject, _) = element(fields, SEQUENCE)?;
    if issuer == subject {
        return Some(Stranger::SelfSigned);
    }
    Some(Stranger::IssuedBy(name(issuer).unwrap_or_else(|| "somebody without a name".to_owned())))
}

/// The common name in a list of names, else that of the organisation.
fn name(mut names: &[u8]) -> Option<String> {
    let mut organisation = None;
    while let Some((set, rest)) = element(names, SET) {
        names = rest;
        let (pair, _) = element(set, SEQUENCE)?;
        let (kind, value) = element(pair, IDENTIFIER)?;
        // Whichever kind of string it is, its tag is one byte.
        let text = value.first().and_then(|tag| element(value, *tag));
        let text = text.map(|(text, _)| plain(&String::from_utf8_lossy(text)));
        match kind {
            // 2.5.4.3
            [0x55, 4, 3] => return text,
            // 2.5.4.10
            [0x55, 4, 10] => organisation = text,
            _ => {}
        }
    }
    organisation
}

const INTEGER: u8 = 0x02;
const IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const VERSION: u8 = 0xa0;

/// The content of the DER element that begins `bytes`, and what follows it, if it has this tag.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = match usize::from(*length) {
        short @ 0..0x80 => (short, rest),
        long => {
            let count = long - 0x80;
            let (digits, rest) = rest.split_at_checked(count).filter(|_| count <= 4)?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
        let content = content.concat();
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82][..], &length, &content].concat()
    }

    fn named(common: &str) -> Vec<u8> {
        let attribute = |kind: u8, text: &str| {
            let pair =
                der(SEQUENCE, &[&[IDENTIFIER, 3, 0x55, 4, kind], &der(0x0c, &[text.as_bytes()])]);
            der(SET, &[&pair])
        };
        let organisation = attribute(10, "An Organisation");
        if common.is_empty() {
            return der(SEQUENCE, &[&organisation]);
        }
        der(SEQUENCE, &[&organisation, &attribute(3, common)])
    }

    fn certificate(issuer: &str, subject: &str) -> Vec<u8> {
        let sequence = der(SEQUENCE, &[]);
        let version = der(VERSION, &[&[INTEGER, 1, 2]]);
        let fields = [
            &version[..],
            &[INTEGER, 1, 9],
            &sequence,
            &named(issuer),
            &sequence,
            &named(subject),
            &sequence,
        ];
        der(SEQUENCE, &[&der(SEQUENCE, &fields), &sequence])
    }

    #[test]
    fn the_issuer_of_a_certificate_is_read() {
        let issued_by = |name: &str| Some(Stranger::IssuedBy(name.to_owned()));
        assert_eq!(stranger(&certificate("A Root", "a server")), issued_by("A Root"));
        assert_eq!(stranger(&certificate("", "a server")), issued_by("An Organisation"));
        assert_eq!(stranger(&certificate("a server", "a server")), Some(Stranger::SelfSigned));
        assert_eq!(stranger(b""), None);
    }

    proptest! {
        #[test]
        fn a_certificate_of_any_bytes_does_no_harm(
            place in 0_usize..300, byte: u8, cut in 0_usize..300, junk: Vec<u8>,
        ) {
            stranger(&junk);
            let mut bytes = certificate("A Root", "a server");
            if let Some(place) = bytes.get_mut(place) {
                *place = byte;
            }
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            stranger(&bytes);
        }
    }

    #[test]
    fn a_file_alone_or_beside_what_is_built_in_makes_a_client() {
        assert_eq!(client(&Believed::default()).unwrap().alpn_protocols, [ALPN]);
        let none = Believed { files: Vec::new(), is_all: true };
        assert!(matches!(client(&none), Err(tls::Error::Verifier(_))), "nobody would be believed");
    }
}
