//! The fields that strangers, front ends and libraries use for what only forebay may say.
//!
//! Owns: the list of these fields and the rule for each (facts, 1, 2, 3 and 7).
//! Must not know: a request's values, the platform.

use crate::proxy::fields::{KNOWN, Name};

/// What is done about a field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Rule {
    /// `X-Forwarded-For`: read, then written anew.
    Chain,
    /// `X-Forwarded-Proto`: read, then written anew.
    Scheme,
    /// `Host`.
    Host,
    /// `X-Original-Host`: becomes Host when Application Gateway is a trusted edge; else dropped.
    OriginalHost,
    /// `Connection`: read for upgrades and options, then written anew.
    Connection,
    /// `Upgrade`: goes on only with a sound upgrade.
    Upgrade,
    /// Names one address: made to agree with the client's.
    Agrees {
        /// Whether it shows that a front end passed the request on.
        of_front_end: bool,
    },
    /// Only the front end of App Service sends it; otherwise left alone.
    FrontEnd,
    /// Goes on when Front Door was passed, which replaces it (facts, 1.4).
    FrontDoor,
    /// Goes on when Application Gateway was passed, which sets it (facts, 1.3).
    AppGateway,
    /// Goes on behind Container Apps' ingress, which sets it.
    ContainerApps,
    /// An identity that Easy Auth vouches for; dropped where Easy Auth is off.
    EasyAuth,
    /// Ends here (RFC 9110 §7.6.1).
    Hop,
    /// Dropped, for this reason.
    Drop(&'static str),
}

/// Fields that name one client address, as libraries read them (python-ipware, django-allauth).
pub(super) const AGREES: &[&str] = &[
    "client-ip",
    "x-client-ip",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
    "x-cluster-client-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-envoy-external-address",
];

const ANOTHER_CLIENT: &str = "it would name another client";
const ANOTHER_SCHEME: &str = "it would name another scheme";
const ANOTHER_URL: &str = "frameworks may route by it";
/// Also why a field of an edge is dropped where that edge was not passed.
pub(super) const NOBODY: &str = "nobody who is trusted sets it here";
const IDENTITY: &str = "it claims an identity that nobody vouches for";
const FILES: &str = "it steers the delivery of files";
const ROUTING: &str = "gunicorn would take it for the path that the site is mounted at";

const RULES: &[(&str, Rule)] = &[
    ("x-forwarded-for", Rule::Chain),
    ("x-forwarded-proto", Rule::Scheme),
    ("host", Rule::Host),
    ("x-original-host", Rule::OriginalHost),
    ("connection", Rule::Connection),
    ("upgrade", Rule::Upgrade),
    // Facts, 1.1 and 2: what the front end adds to every request of a visitor.
    ("disguised-host", Rule::FrontEnd),
    ("was-default-hostname", Rule::FrontEnd),
    ("x-site-deployment-id", Rule::FrontEnd),
    ("x-arr-log-id", Rule::FrontEnd),
    ("x-arr-ssl", Rule::FrontEnd),
    ("x-appservice-proto", Rule::FrontEnd),
    ("x-forwarded-tlsversion", Rule::FrontEnd),
    ("x-client-port", Rule::FrontEnd),
    // Facts, 1.1 and trap 12.
    ("forwarded", Rule::Drop(ANOTHER_CLIENT)),
    ("x-forwarded", Rule::Drop(ANOTHER_CLIENT)),
    ("forwarded-for", Rule::Drop(ANOTHER_CLIENT)),
    ("x-original-for", Rule::Drop(ANOTHER_CLIENT)),
    ("x-original-forwarded-for", Rule::Drop(ANOTHER_CLIENT)),
    ("cf-connecting-ipv6", Rule::Drop(ANOTHER_CLIENT)),
    // Facts, 3: gunicorn answers 400 when these disagree.
    ("x-forwarded-protocol", Rule::Drop(ANOTHER_SCHEME)),
    ("x-forwarded-ssl", Rule::Drop(ANOTHER_SCHEME)),
    ("x-forwarded-scheme", Rule::Drop(ANOTHER_SCHEME)),
    ("x-original-proto", Rule::Drop(ANOTHER_SCHEME)),
    ("x-scheme", Rule::Drop(ANOTHER_SCHEME)),
    ("x-url-scheme", Rule::Drop(ANOTHER_SCHEME)),
    ("front-end-https", Rule::Drop(ANOTHER_SCHEME)),
    // Facts, 2.
    ("x-forwarded-host", Rule::FrontDoor),
    ("x-forwarded-port", Rule::AppGateway),
    ("x-forwarded-server", Rule::Drop(NOBODY)),
    ("x-forwarded-prefix", Rule::Drop(NOBODY)),
    ("x-forwarded-path", Rule::Drop(NOBODY)),
    ("x-original-url", Rule::Drop(ANOTHER_URL)),
    ("x-original-uri", Rule::Drop(ANOTHER_URL)),
    ("x-rewrite-url", Rule::Drop(ANOTHER_URL)),
    ("x-waws-unencoded-url", Rule::Drop(ANOTHER_URL)),
    // Facts, 7.
    ("remote-user", Rule::Drop(IDENTITY)),
    ("x-remote-user", Rule::Drop(IDENTITY)),
    ("x-arr-clientcert", Rule::Drop(IDENTITY)),
    ("x-forwarded-client-cert", Rule::ContainerApps),
    ("x-ms-auth-token", Rule::EasyAuth),
    ("x-ms-client-display-name", Rule::EasyAuth),
    ("x-zumo-auth", Rule::EasyAuth),
    ("proxy", Rule::Drop("CGI programs would take it for HTTP_PROXY")),
    ("script-name", Rule::Drop(ROUTING)),
    ("path-info", Rule::Drop(ROUTING)),
    ("x-lighttpd-send-file", Rule::Drop(FILES)),
    // RFC 9110 §7.6.1. Content-Length and Transfer-Encoding are written with the framing.
    ("keep-alive", Rule::Hop),
    ("proxy-connection", Rule::Hop),
    ("proxy-authenticate", Rule::Hop),
    ("proxy-authorization", Rule::Hop),
    ("te", Rule::Hop),
    ("transfer-encoding", Rule::Hop),
    ("content-length", Rule::Hop),
    ("http2-settings", Rule::Hop),
    // forebay answers 100 (Continue) itself.
    ("expect", Rule::Hop),
];

const FAMILIES: &[(&str, Rule)] = &[
    ("x-ms-client-principal", Rule::EasyAuth),
    ("x-ms-token-", Rule::EasyAuth),
    ("x-accel-", Rule::Drop(FILES)),
    ("x-sendfile", Rule::Drop(FILES)),
    ("x-forebay-", Rule::Drop("only forebay says this")),
];

/// Finds a field's rule in a few instructions: a request has two dozen fields, most without one.
#[derive(Debug)]
pub(super) struct Rules([Option<Rule>; KNOWN.len()]);

impl Rules {
    /// Builds the table, without the fields in `kept`, which the operator wants left alone.
    pub(super) fn new(kept: &[Name]) -> Self {
        let mut rules = [None; KNOWN.len()];
        for (text, rule) in KNOWN.iter().zip(&mut rules) {
            if !kept.iter().any(|kept| kept.as_str() == *text) {
                *rule = rule_of(text);
            }
        }
        Self(rules)
    }

    /// The rule for a field, if there is one.
    pub(super) fn find(&self, name: &Name) -> Option<Rule> {
        match name.number() {
            Some(number) => self.0.get(number).copied().flatten(),
            None => family_rule(name.as_str()),
        }
    }
}

fn rule_of(name: &str) -> Option<Rule> {
    let listed = RULES.iter().find(|(listed, _)| *listed == name).map(|(_, rule)| *rule);
    let of_front_end = name.contains("client-ip") || name.ends_with("-address");
    let agrees = || AGREES.contains(&name).then_some(Rule::Agrees { of_front_end });
    listed.or_else(agrees).or_else(|| family_rule(name))
}

fn family_rule(name: &str) -> Option<Rule> {
    if !name.starts_with("x-") {
        return None;
    }
    FAMILIES.iter().find(|(family, _)| name.starts_with(family)).map(|(_, rule)| *rule)
}

/// Whether the operator may ask for a field to be left alone: not where forebay's answer to the
/// question "who asks, how, for whom" would fall with it.
pub fn may_be_kept(name: &Name) -> bool {
    let name = name.as_str();
    if name.contains('_') || FAMILIES.iter().any(|(family, _)| name.starts_with(family)) {
        return false;
    }
    match RULES.iter().find(|(listed, _)| *listed == name) {
        Some((_, rule)) => {
            matches!(rule, Rule::Drop(_) | Rule::FrontDoor | Rule::AppGateway | Rule::ContainerApps)
        }
        None => AGREES.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn every_listed_field_is_known_and_has_its_rule() {
        let rules = Rules::new(&[]);
        for (text, rule) in RULES {
            assert_eq!(rules.find(&name(text)), Some(*rule), "{text}");
            assert!(KNOWN.contains(text), "{text} belongs to the known names");
        }
        for text in AGREES {
            let rule = rules.find(&name(text));
            assert!(matches!(rule, Some(Rule::Agrees { .. })), "{text}: {rule:?}");
            assert!(KNOWN.contains(text), "{text} belongs to the known names");
        }
        assert_eq!(rules.find(&name("x-ms-client-principal-name")), Some(Rule::EasyAuth));
        assert_eq!(rules.find(&name("x-accel-redirect")), Some(Rule::Drop(FILES)));
        assert_eq!(rules.find(&name("accept")), None);
    }

    #[test]
    fn a_kept_field_is_left_alone_unless_it_carries_the_answer() {
        let rules = Rules::new(&[name("x-arr-clientcert")]);
        assert!(rules.find(&name("x-arr-clientcert")).is_none());
        assert!(may_be_kept(&name("x-original-url")));
        assert!(may_be_kept(&name("x-real-ip")));
        for refused in ["x-forwarded-for", "host", "connection", "x-ms-token-a", "a_b", "accept"] {
            assert!(!may_be_kept(&name(refused)), "{refused}");
        }
    }
}
