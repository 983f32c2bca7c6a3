//! Edits a header section so that it says what was decided, and notes each edit.
//!
//! Owns: the edits.
//! Must not know: why anything was decided.

use super::Forwarded;
use super::address::{self, Hop};
use super::client::Client;
use super::evidence::Evidence;
use super::journal::{Change, Journal};
use super::rules::NOBODY;
use crate::decimal;
use crate::proxy::fields::{Fields, Name, Value, names};

/// Writes the client's address into `X-Forwarded-For` and every field that must agree.
pub(super) fn write_client(
    fields: &mut Fields,
    client: Client,
    forwarded: Forwarded,
    evidence: &Evidence,
    journal: &mut Journal,
) {
    let mut text = Vec::with_capacity(40);
    decimal::address(&mut text, client.address);
    let mut chain = None;
    if forwarded == Forwarded::Chain {
        let trusted: Vec<_> = address::nearest_first(fields.get_all(&names::X_FORWARDED_FOR))
            .take(client.depth.saturating_sub(1))
            .filter_map(Hop::address)
            .collect();
        let mut text = text.clone();
        for hop in trusted.iter().rev() {
            text.extend_from_slice(b", ");
            decimal::address(&mut text, *hop);
        }
        chain = Some(Value::judged(text.into()));
    }
    let bare = Value::judged(text.into());
    for name in &evidence.agreeing {
        write(fields, name.clone(), &bare, "it agrees with the client", journal);
    }
    let chain = chain.unwrap_or(bare);
    write(
        fields,
        names::X_FORWARDED_FOR,
        &chain,
        "the client as the trusted hops name it",
        journal,
    );
}

/// Connection describes one hop: it ends here, and is written anew for an upgrade.
pub(super) fn write_upgrade(
    fields: &mut Fields,
    evidence: &Evidence,
    is_upgrade: bool,
    journal: &mut Journal,
) {
    if is_upgrade {
        let value = Value::from_static("upgrade");
        return write(
            fields,
            names::CONNECTION,
            &value,
            "the upgrade goes on, nothing else",
            journal,
        );
    }
    if evidence.upgrade.is_some() {
        remove(fields, &names::UPGRADE, "it is no sound upgrade (RFC 9110, 7.8)", journal);
    }
    remove(fields, &names::CONNECTION, "it ends at the next hop (RFC 9110, 7.6.1)", journal);
}

/// Makes one line of several cookie lines (RFC 9113 §8.2.3): gunicorn would join them with commas.
pub(super) fn join_cookies(fields: &mut Fields, journal: &mut Journal) {
    let mut joined = Vec::new();
    for value in fields.get_all(&names::COOKIE) {
        if !joined.is_empty() {
            joined.extend_from_slice(b"; ");
        }
        joined.extend_from_slice(value);
    }
    // Values that were sound apart are sound together.
    if let Ok(value) = Value::read(joined) {
        write(
            fields,
            names::COOKIE,
            &value,
            "one line holds all cookies (RFC 9113, 8.2.3)",
            journal,
        );
    }
}

/// Removes what ends here.
pub(super) fn drop_fields(
    fields: &mut Fields,
    evidence: &Evidence,
    passed_edge: bool,
    journal: &mut Journal,
) {
    for (name, why) in &evidence.dropped {
        remove(fields, name, why, journal);
    }
    for name in &evidence.options {
        remove(fields, name, "the client's Connection field says so", journal);
    }
    if passed_edge {
        if evidence.client_port {
            remove(fields, &names::X_CLIENT_PORT, "it is the edge's port", journal);
        }
    } else {
        for name in &evidence.from_edge {
            remove(fields, name, NOBODY, journal);
        }
    }
}

/// Removes a field, unless it is gone already: who comes several times may be named as often.
fn remove(fields: &mut Fields, name: &Name, why: &'static str, journal: &mut Journal) {
    if !fields.contains(name) {
        return;
    }
    journal.note(|| Change {
        subject: name.to_string(),
        before: text_of(fields, name),
        after: None,
        why,
    });
    fields.remove(name);
}

/// Writes a field exactly once, unless that is what it is already.
pub(super) fn write(
    fields: &mut Fields,
    name: Name,
    value: &Value,
    why: &'static str,
    journal: &mut Journal,
) {
    if fields.is_exactly(&name, value) {
        return;
    }
    journal.note(|| Change {
        subject: name.to_string(),
        before: text_of(fields, &name),
        after: Some(lossy(value.as_bytes())),
        why,
    });
    fields.insert(name, value);
}

/// All values of a field as one text, as the RFC would join them.
fn text_of(fields: &Fields, name: &Name) -> Option<String> {
    let values: Vec<_> = fields.get_all(name).map(lossy).collect();
    if values.is_empty() { None } else { Some(values.join(" | ")) }
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
