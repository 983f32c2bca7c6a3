//! Edits a header section so that it says what was decided, and notes each edit.
//!
//! Owns: the edits.
//! Must not know: why anything was decided.

use std::fmt::Write as _;

use http::header::{CONNECTION, COOKIE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Forwarded;
use super::address::{self, Hop};
use super::client::Client;
use super::evidence::Evidence;
use super::fields::NOBODY;
use super::journal::{Change, Journal};

/// Writes the client's address into `X-Forwarded-For` and every field that must agree.
pub(super) fn write_client(
    headers: &mut HeaderMap,
    client: Client,
    forwarded: Forwarded,
    evidence: &Evidence,
    journal: &mut Journal,
) {
    let mut text = String::with_capacity(40);
    // Writing to a string cannot fail.
    write!(text, "{}", client.address).unwrap_or_default();
    let Ok(bare) = HeaderValue::from_str(&text) else { return };
    if forwarded == Forwarded::Chain {
        let trusted: Vec<_> = address::nearest_first(headers.get_all(X_FORWARDED_FOR))
            .take(client.depth.saturating_sub(1))
            .filter_map(Hop::address)
            .collect();
        for hop in trusted.iter().rev() {
            write!(text, ", {hop}").unwrap_or_default();
        }
    }
    for name in &evidence.agreeing {
        write(headers, name.clone(), bare.clone(), "it agrees with the client", journal);
    }
    let Ok(chain) = HeaderValue::from_str(&text) else { return };
    write(headers, X_FORWARDED_FOR, chain, "the client as the trusted hops name it", journal);
}

/// Connection describes one hop: it ends here, and is written anew for an upgrade.
pub(super) fn write_upgrade(
    headers: &mut HeaderMap,
    evidence: &Evidence,
    is_upgrade: bool,
    journal: &mut Journal,
) {
    if is_upgrade {
        let value = HeaderValue::from_static("upgrade");
        return write(headers, CONNECTION, value, "the upgrade goes on, nothing else", journal);
    }
    if evidence.upgrade.is_some() {
        remove(headers, &UPGRADE, "it is no sound upgrade (RFC 9110, 7.8)", journal);
    }
    if headers.contains_key(CONNECTION) {
        remove(headers, &CONNECTION, "it ends at the next hop (RFC 9110, 7.6.1)", journal);
    }
}

/// Makes one line of several cookie lines (RFC 9113 §8.2.3): gunicorn would join them with commas.
pub(super) fn join_cookies(headers: &mut HeaderMap, journal: &mut Journal) {
    let mut joined = Vec::new();
    for value in headers.get_all(COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(value.as_bytes());
    }
    // Values that were sound apart are sound together.
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        write(headers, COOKIE, value, "one line holds all cookies (RFC 9113, 8.2.3)", journal);
    }
}

/// Removes what ends here.
pub(super) fn drop_fields(
    headers: &mut HeaderMap,
    evidence: &Evidence,
    passed_edge: bool,
    journal: &mut Journal,
) {
    for (name, why) in &evidence.dropped {
        remove(headers, name, why, journal);
    }
    for name in &evidence.options {
        remove(headers, name, "the client's Connection field says so", journal);
    }
    if passed_edge {
        if evidence.client_port {
            remove(headers, &X_CLIENT_PORT, "it is the edge's port", journal);
        }
    } else {
        for name in &evidence.from_edge {
            remove(headers, name, NOBODY, journal);
        }
    }
}

fn remove(headers: &mut HeaderMap, name: &HeaderName, why: &'static str, journal: &mut Journal) {
    journal.note(|| Change {
        subject: name.to_string(),
        before: text_of(headers, name),
        after: None,
        why,
    });
    headers.remove(name);
}

/// Writes a field exactly once, unless that is what it is already.
pub(super) fn write(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
    why: &'static str,
    journal: &mut Journal,
) {
    let mut present = headers.get_all(&name).iter();
    if present.next() == Some(&value) && present.next().is_none() {
        return;
    }
    journal.note(|| Change {
        subject: name.to_string(),
        before: text_of(headers, &name),
        after: Some(lossy(value.as_bytes())),
        why,
    });
    headers.insert(name, value);
}

/// All values of a field as one text, as the RFC would join them.
fn text_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<_> =
        headers.get_all(name).iter().map(|value| lossy(value.as_bytes())).collect();
    if values.is_empty() { None } else { Some(values.join(" | ")) }
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_CLIENT_PORT: HeaderName = HeaderName::from_static("x-client-port");
