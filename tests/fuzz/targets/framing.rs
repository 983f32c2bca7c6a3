//! What the guard lets through, hyper's own parser reads, and the end is the same however the bytes
//! are cut. What is plain is read here as there.
#![no_main]

use bytes::Bytes;
use forebay::proxy::guard::{Framing, Limits};
use forebay::proxy::plain::{self, Plain, Wanted};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits =
    Limits { header_bytes: 65_536, header_count: 100, field_bytes: 8190, request_line_bytes: 4094 };

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, bytes) = input;
    let whole = Framing::new(LIMITS).scan(bytes);
    if let Ok(scanned) = &whole
        && scanned.is_complete
    {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut request = httparse::Request::new(&mut fields);
        assert!(request.parse(bytes).expect("hyper's parser takes it").is_complete());
        let target: http::Uri = request.path.unwrap().parse().expect("it is an address");
        assert!(!target.to_string().is_empty());
        reads_alike(bytes, &request);
    }
    let (first, second) = bytes.split_at(usize::from(cut).min(bytes.len()));
    let mut framing = Framing::new(LIMITS);
    let parts = match framing.scan(first) {
        Ok(scanned) if !scanned.is_complete => framing.scan(second).map(|scanned| {
            (first.len() + scanned.taken, scanned.is_complete)
        }),
        result => result.map(|scanned| (scanned.taken, scanned.is_complete)),
    };
    assert_eq!(whole.map(|scanned| (scanned.taken, scanned.is_complete)), parts);
});

/// A plain request has one reading, ours and that of hyper's parser.
fn reads_alike(bytes: &[u8], parsed: &httparse::Request<'_, '_>) {
    let Some(length) = plain::section(bytes) else { return };
    let section = Bytes::copy_from_slice(&bytes[..length]);
    let own = plain::read(&section, LIMITS, Wanted::All);
    assert_eq!(own.is_some(), plain::is_plain(&section, LIMITS));
    let Some(Plain { head, .. }) = own else { return };
    assert_eq!(head.method.as_str(), parsed.method.unwrap());
    assert_eq!(head.uri, parsed.path.unwrap());
    assert_eq!(parsed.version, Some(1));
    assert_eq!(head.fields.iter().count(), parsed.headers.len());
    for ((name, value), field) in head.fields.iter().zip(&*parsed.headers) {
        assert_eq!(name.as_str(), field.name.to_ascii_lowercase());
        assert_eq!(value, field.value);
    }
}
