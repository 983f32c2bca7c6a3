//! The members of a line of JSON.
//!
//! Owns: how each kind of value is written.
//! Must not know: which members a line has.

use std::cell::RefCell;
use std::time::SystemTime;

use crate::decimal::digits;
use crate::scan;

/// Writes a member with a comma behind it; what is not UTF-8 becomes U+FFFD.
pub(super) fn string(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    let is_strange = |byte| {
        u8::from(byte < b' ')
            | u8::from(byte > b'~')
            | u8::from(byte == b'"')
            | u8::from(byte == b'\\')
    };
    if !scan::any(value, is_strange) {
        return raw(out, name, value);
    }
    let text = serde_json::Value::from(String::from_utf8_lossy(value)).to_string();
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    raw(out, name, inner.unwrap_or_default().as_bytes());
}

/// Writes a member whose value needs no escape.
pub(super) fn word(out: &mut Vec<u8>, name: &str, value: &str) {
    raw(out, name, value.as_bytes());
}

fn raw(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.reserve(name.len() + value.len() + 6);
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(br#"":""#);
    out.extend_from_slice(value);
    out.extend_from_slice(br#"","#);
}

/// Writes a member whose value is a number.
pub(super) fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(br#"":"#);
    digits(out, value);
    out.push(b',');
}

thread_local! {
    /// The second that was written last, and its text up to the full stop.
    static SECOND: RefCell<(u64, String)> = const { RefCell::new((u64::MAX, String::new())) };
}

/// Writes a time as RFC 3339 has it, in microseconds. All but those are the same for every line of a
/// second.
pub(super) fn stamp(out: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != since.as_secs() {
            *second = since.as_secs();
            *text = humantime::format_rfc3339_seconds(time).to_string();
            text.pop(); // the zone
        }
        out.extend_from_slice(text.as_bytes());
    });
    out.push(b'.');
    // A million more has as many digits as are wanted, behind a one.
    let mut digits = itoa::Buffer::new();
    let micros = digits.format(1_000_000 + since.subsec_micros());
    out.extend_from_slice(micros.as_bytes().get(1..).unwrap_or_default());
    out.push(b'Z');
}
