//! Whatever the application says, reading its header section ends without a panic.
#![no_main]

use bytes::BytesMut;
use forebay::proxy::upstream::read_response;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    if let Ok(Some(head)) = read_response(&mut buffer, &http::Method::GET) {
        assert!(!head.headers.contains_key("connection") || head.status == 101);
        assert!(!head.headers.contains_key("transfer-encoding"));
    }
});
