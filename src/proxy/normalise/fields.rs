//! The fields that strangers, front ends and libraries use for what only forebay may say.
//!
//! Owns: the list of these fields and the rule for each (facts, 1, 2, 3 and 7).
//! Must not know: a request's values, the platform.

use http::HeaderName;

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
    Agrees,
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
pub(super) struct Rules {
    buckets: Box<[Vec<(HeaderName, Rule)>; 256]>,
}

impl Rules {
    /// Builds the table, without the fields in `kept`, which the operator wants left alone.
    pub(super) fn new(kept: &[HeaderName]) -> Self {
        let mut buckets: Box<[Vec<_>; 256]> = Box::new([const { Vec::new() }; 256]);
        let agrees = AGREES.iter().map(|&name| (name, Rule::Agrees));
        for (name, rule) in RULES.iter().copied().chain(agrees) {
            if !kept.iter().any(|kept| kept.as_str() == name)
                && let Some(bucket) = buckets.get_mut(bucket(name))
            {
                bucket.push((HeaderName::from_static(name), rule));
            }
        }
        Self { buckets }
    }

    /// The rule for a field, if there is one, and the field's name, which is cheap to clone where
    /// the name that a request brought is not.
    pub(super) fn find<'a>(&'a self, name: &'a HeaderName) -> Option<(&'a HeaderName, Rule)> {
        let text = name.as_str();
        let bucket = self.buckets.get(bucket(text))?;
        if let Some((listed, rule)) = bucket.iter().find(|(listed, _)| listed.as_str() == text) {
            return Some((listed, *rule));
        }
        if !text.starts_with("x-") {
            return None;
        }
        let family = FAMILIES.iter().find(|(family, _)| text.starts_with(family));
        family.map(|(_, rule)| (name, *rule))
    }
}

/// Whether the operator may ask for a field to be left alone: not where forebay's answer to the
/// question "who asks, how, for whom" would fall with it.
pub fn may_be_kept(name: &HeaderName) -> bool {
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

fn bucket(name: &str) -> usize {
    let bytes = name.as_bytes();
    let at = |place: usize| usize::from(bytes.get(place).copied().unwrap_or_default());
    (bytes.len() * 5 + at(0) * 3 + at(bytes.len() / 2) * 7 + at(bytes.len().wrapping_sub(1))) & 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_field_is_found_and_no_bucket_is_crowded() {
        let rules = Rules::new(&[]);
        let find = |rules: &Rules, name: &'static str| {
            rules.find(&HeaderName::from_static(name)).map(|(_, rule)| rule)
        };
        for (name, rule) in RULES {
            assert_eq!(find(&rules, name), Some(*rule), "{name}");
            assert_eq!(*name, name.to_ascii_lowercase());
        }
        assert_eq!(find(&rules, "x-ms-client-principal-name"), Some(Rule::EasyAuth));
        assert_eq!(find(&rules, "x-accel-redirect"), Some(Rule::Drop(FILES)));
        assert_eq!(find(&rules, "accept"), None);
        assert!(rules.buckets.iter().all(|bucket| bucket.len() <= 3));
    }

    #[test]
    fn a_kept_field_is_left_alone_unless_it_carries_the_answer() {
        let name = HeaderName::from_static;
        let rules = Rules::new(&[name("x-arr-clientcert")]);
        assert!(rules.find(&name("x-arr-clientcert")).is_none());
        assert!(may_be_kept(&name("x-original-url")));
        assert!(may_be_kept(&name("x-real-ip")));
        for refused in ["x-forwarded-for", "host", "connection", "x-ms-token-a", "a_b", "accept"] {
            assert!(!may_be_kept(&name(refused)), "{refused}");
        }
    }
}
