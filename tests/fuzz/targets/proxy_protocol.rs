//! A PROXY header that is read takes no more bytes than there are, and more bytes change nothing.
#![no_main]

use forebay::proxy::proxy_protocol::{Parsed, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Parsed::Complete(header, length)) = read(bytes) {
        assert!(length <= bytes.len());
        assert_eq!(read(&bytes[..length]), Ok(Parsed::Complete(header, length)));
    }
});
