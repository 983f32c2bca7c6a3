//! Whether Django can know that a visitor came over https.
//!
//! Owns: what of that Django and the application servers read (facts, 3 and 10).
//! Must not know: what follows when it cannot.

use super::{Known, NotLooked, Patient};
use crate::proxy::normalise::{Platform, Scheme};

/// How Django knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Knows {
    /// By `SECURE_PROXY_SSL_HEADER`.
    ByHeader,
    /// The application server says so, by its name.
    ByServer(&'static str),
    /// It never does, and why.
    Never(String),
}

/// How Django knows behind forebay.
///
/// # Errors
///
/// [`NotLooked`] where neither Django's settings nor the server say it.
pub(super) fn knows(patient: &Patient) -> Known<Knows> {
    let settings = &patient.config.normalise;
    if settings.scheme == Some(Scheme::Http) {
        let origin = patient.config.origin_of("scheme");
        return Ok(Knows::Never(format!("--scheme is http, set by {origin}")));
    }
    let header = patient.details()?.proxy_ssl_header.as_ref();
    if let Some((name, value)) = header {
        let field =
            name.strip_prefix("HTTP_").unwrap_or(name).to_ascii_lowercase().replace('_', "-");
        let is_kept = settings.kept.iter().any(|kept| kept.as_str() == field);
        let is_platforms =
            field == "x-appservice-proto" && patient.platform() == Platform::AppService;
        if is_kept {
            return Ok(Knows::ByHeader);
        }
        if name == "HTTP_X_FORWARDED_PROTO" || is_platforms {
            return Ok(if value == "https" {
                Knows::ByHeader
            } else {
                Knows::Never(format!("SECURE_PROXY_SSL_HEADER = ({name:?}, {value:?})"))
            });
        }
    }
    // Without the named field Django believes the server.
    let server = patient.start()?.traits.server;
    match server {
        Some(name @ ("gunicorn" | "uvicorn")) => match patient.variable("FORWARDED_ALLOW_IPS") {
            Some(text) if !text.contains('*') && !text.contains("127.0.0.1") => {
                Ok(Knows::Never(format!("{name} believes only FORWARDED_ALLOW_IPS={text}")))
            }
            Some(_) | None => Ok(Knows::ByServer(name)),
        },
        Some(name) => Ok(Knows::Never(match header {
            Some(header) => format!("SECURE_PROXY_SSL_HEADER = {header:?}, and {name} says http"),
            None => format!("SECURE_PROXY_SSL_HEADER is not set, and {name} says http"),
        })),
        None => Err(NotLooked("the application server is not known".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn who_says_https_is_known() {
        let header = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        let proto = "HTTP_X_FORWARDED_PROTO";
        let never = |part: &'static str| Some(part);
        for (header, server, flags, part) in [
            (header(proto, "https"), Some("granian"), &[][..], None),
            (header(proto, "on"), Some("gunicorn"), &[], never("\"on\"")),
            (header("HTTP_X_FORWARDED_SSL", "on"), Some("gunicorn"), &[], None),
            (header("HTTP_X_FORWARDED_SSL", "on"), Some("granian"), &[], never("says http")),
            (
                header("HTTP_X_FORWARDED_SSL", "on"),
                Some("granian"),
                &[("keep", "x-forwarded-ssl")],
                None,
            ),
            (header("HTTP_X_APPSERVICE_PROTO", "https"), Some("granian"), &[], None),
            (None, Some("uvicorn"), &[], None),
            (None, Some("granian"), &[], never("not set")),
            (
                header(proto, "https"),
                Some("gunicorn"),
                &[("scheme", "http")],
                never("--scheme is http"),
            ),
        ] {
            let mut patient = fixture::with_flags(flags);
            fixture::details(&mut patient).proxy_ssl_header = header.clone();
            patient.start.as_mut().unwrap().traits.server = server;
            match (knows(&patient).unwrap(), part) {
                (Knows::Never(why), Some(part)) => assert!(why.contains(part), "{why}"),
                (Knows::ByHeader | Knows::ByServer(_), None) => {}
                (knows, _) => panic!("{header:?} {server:?}: {knows:?}"),
            }
        }
        let mut patient = fixture::healthy();
        fixture::details(&mut patient).proxy_ssl_header = None;
        patient.start.as_mut().unwrap().traits.server = None;
        assert!(knows(&patient).is_err());
    }
}
