//! Looks at every field of a request once.
//!
//! Owns: what the fields bring to light, the meaning of Connection's options, the sound upgrade.
//! Must not know: who the client is, what is done about a field.

use std::collections::HashMap;

use bytes::Bytes;
use http::{Method, Version};
use smallvec::SmallVec;

use super::rules::{NOBODY, Rule, Rules};
use super::{Edges, Platform, Settings};
use crate::proxy::fields::{Fields, Head, Name, Value, names};

/// What one pass over the fields brought to light.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// A field says that the front end passed the request on.
    pub(super) has_front_end: bool,
    connection_upgrades: bool,
    pub(super) upgrade: Option<Value>,
    pub(super) original_host: Option<Value>,
    pub(super) client_port: bool,
    /// Lines of Cookie: HTTP/2 may send one for each cookie.
    pub(super) cookies: usize,
    /// Fields that end here, each with the reason; one that came several times may be here as often.
    pub(super) dropped: SmallVec<[(Name, &'static str); USUAL]>,
    /// Fields that must agree with the client.
    pub(super) agreeing: SmallVec<[Name; USUAL]>,
    /// Fields that stay if a trusted edge was passed.
    pub(super) from_edge: Vec<Name>,
    /// Fields that the client asked to have removed, each once.
    pub(super) options: Vec<Name>,
}

/// So many of a kind most requests have at most; more of them take memory.
const USUAL: usize = 4;

impl Evidence {
    /// Looks at every field once.
    pub(super) fn gather(settings: &Settings, rules: &Rules, request: &Head) -> Self {
        let (mut evidence, mut has_options) = (Self::default(), false);
        for (name, value) in request.fields.iter() {
            // No known name holds one.
            if name.number().is_none() && name.as_str().contains('_') {
                evidence.drop(name, "servers disagree whether `_` is `-`");
                continue;
            }
            evidence.cookies += usize::from(*name == names::COOKIE);
            let Some(rule) = rules.find(name) else { continue };
            match rule {
                Rule::Chain => evidence.has_front_end = true,
                Rule::FrontEnd => {
                    evidence.has_front_end = true;
                    evidence.client_port |= *name == names::X_CLIENT_PORT;
                }
                Rule::Agrees { of_front_end } => {
                    evidence.has_front_end |= of_front_end;
                    if !evidence.agreeing.contains(name) {
                        evidence.agreeing.push(name.clone());
                    }
                }
                Rule::Scheme | Rule::Host => {}
                Rule::OriginalHost => {
                    // The nearest hop writes the last line.
                    evidence.original_host = Some(Value::judged(Bytes::copy_from_slice(value)));
                    evidence.drop(name, "Host says it");
                }
                Rule::Connection => has_options |= evidence.read_connection(value),
                Rule::Upgrade => evidence.upgrade = request.fields.keep(name),
                Rule::FrontDoor if matches!(settings.edges, Edges::FrontDoor(_)) => {
                    evidence.from_edge.push(name.clone());
                }
                Rule::AppGateway if settings.edges == Edges::AppGateway => {
                    evidence.from_edge.push(name.clone());
                }
                Rule::ContainerApps if settings.platform == Platform::ContainerApps => {}
                Rule::FrontDoor | Rule::AppGateway | Rule::ContainerApps => {
                    evidence.drop(name, NOBODY);
                }
                Rule::EasyAuth => {
                    if !settings.easy_auth {
                        evidence.drop(name, "Easy Auth is off, so anybody may have written it");
                    }
                }
                Rule::Hop => evidence.drop(name, "it ends at the next hop (RFC 9110, 7.6.1)"),
                Rule::Drop(why) => evidence.drop(name, why),
            }
        }
        if has_options {
            evidence.options = named_by_connection(&request.fields, rules);
        }
        evidence
    }

    /// Reads the options of a Connection field; returns whether some may name other fields.
    fn read_connection(&mut self, value: &[u8]) -> bool {
        let mut may_name_fields = false;
        for option in options(value) {
            if option.eq_ignore_ascii_case(b"upgrade") {
                self.connection_upgrades = true;
            } else if !option.eq_ignore_ascii_case(b"keep-alive")
                && !option.eq_ignore_ascii_case(b"close")
            {
                may_name_fields = true;
            }
        }
        may_name_fields
    }

    fn drop(&mut self, name: &Name, why: &'static str) {
        self.dropped.push((name.clone(), why));
    }

    /// Whether a request may change the protocol (RFC 9110 §7.8): asked for in both fields, a GET of
    /// HTTP/1.1, and not to clear-text HTTP/2, which would carry requests past every check.
    pub(super) fn is_upgrade(&self, request: &Head) -> bool {
        request.version == Version::HTTP_11
            && request.method == Method::GET
            && self.connection_upgrades
            && self.upgrade.as_ref().is_some_and(|protocol| {
                let protocol = protocol.as_bytes();
                !protocol.is_empty()
                    && !protocol.get(..3).is_some_and(|start| start.eq_ignore_ascii_case(b"h2c"))
                    && !protocol.contains(&b',')
                    && request.fields.get_all(&names::UPGRADE).count() == 1
            })
    }
}

/// The fields that options of Connection name, which the client wants removed.
///
/// One that has a rule here is not the client's to remove: `Connection: X-Forwarded-For` would hide
/// who asks. Nor are those that say what the content is.
///
/// There is room for thirty thousand options, and so none of them is looked for among the fields.
fn named_by_connection(fields: &Fields, rules: &Rules) -> Vec<Name> {
    let mut may_go: HashMap<_, _> = fields
        .iter()
        .filter(|(name, _)| rules.find(name).is_none() && !END_TO_END.contains(&name.as_str()))
        .map(|(name, _)| (name.as_str().as_bytes(), name))
        .collect();
    let mut named = Vec::new();
    for value in fields.get_all(&names::CONNECTION) {
        let value = value.to_ascii_lowercase();
        named.extend(options(&value).filter_map(|option| may_go.remove(option)).cloned());
    }
    named
}

fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// Fields that no connection option may remove: without them the content means something else.
const END_TO_END: &[&str] = &[
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "content-type",
    "cookie",
    "content-disposition",
    "origin",
    "referer",
    "transfer-encoding",
    "content-length",
];
