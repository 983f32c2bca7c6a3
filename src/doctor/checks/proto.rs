//! FD-12: Django cannot know that a visitor came over https.
//!
//! Owns: this rule.
//! Must not know: what else follows from it.

use super::super::scheme::{self, Knows};
use super::super::{Finding, Patient, Rule, Severity, Verdict};

pub(super) const RULE: Rule = Rule {
    id: "FD-12",
    title: "Django does not learn that a visitor came over https",
    why: "TLS ends at the front end and the container gets clear text: without the right field \
          `request.is_secure()` is false, and links, redirects and e-mails begin with http",
    mend: "SECURE_PROXY_SSL_HEADER = (\"HTTP_X_FORWARDED_PROTO\", \"https\"): forebay writes that field \
           itself, always and only `http` or `https`",
    check,
};

fn check(patient: &Patient) -> Verdict {
    let written = &patient.details()?.proxy_ssl_header;
    Ok(match scheme::knows(patient)? {
        Knows::ByHeader => vec![],
        Knows::ByServer(server) => {
            let what = format!("https is known only because {server} believes X-Forwarded-Proto");
            let evidence = written.as_ref().map_or_else(
                || "SECURE_PROXY_SSL_HEADER is not set".to_owned(),
                |header| {
                    format!("SECURE_PROXY_SSL_HEADER = {header:?}, a field that never arrives")
                },
            );
            vec![Finding::new(Severity::Note, what, evidence)]
        }
        Knows::Never(why) => vec![Finding::new(Severity::Error, RULE.title, why)],
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::*;

    #[test]
    fn a_value_that_never_comes_is_found() {
        let mut patient = fixture::healthy();
        let details = fixture::details(&mut patient);
        details.proxy_ssl_header = Some(("HTTP_X_FORWARDED_PROTO".to_owned(), "on".to_owned()));
        details.ssl_redirect = false;
        assert_eq!(fixture::found(&patient), [("FD-12", Severity::Error)]);
    }

    #[test]
    fn a_server_that_believes_the_field_makes_it_a_note() {
        let mut patient = fixture::healthy();
        fixture::details(&mut patient).proxy_ssl_header = None;
        assert_eq!(fixture::found(&patient), [("FD-12", Severity::Note)]);
    }
}
