//! An address that is read is read again from its own text.
#![no_main]

use forebay::proxy::normalise::Hop;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(address) = Hop::parse(bytes).address() {
        assert_eq!(Hop::parse(address.to_string().as_bytes()).address(), Some(address));
    }
});
