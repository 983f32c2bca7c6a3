//! Whatever the application says, reading its header section ends without a panic.
#![no_main]

use bytes::BytesMut;
use forebay::proxy::fields::names;
use forebay::proxy::upstream::read_response;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    if let Ok(Some(head)) = read_response(&mut buffer, &http::Method::GET) {
        assert!(!head.fields.contains(&names::CONNECTION) || head.status == 101);
        assert!(!head.fields.contains(&names::TRANSFER_ENCODING));
    }
});
