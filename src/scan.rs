//! Looks at bytes sixteen at a time.
//!
//! Owns: how a slice is gone through.
//! Must not know: what is looked for.

/// Whether `is` is 1, and not 0, for any of the bytes. It is a number, and made of numbers, since many
/// bytes are looked at at once only where nothing branches. What is no whole number of pieces has its
/// last ones looked at twice.
pub(crate) fn any(bytes: &[u8], is: impl Fn(u8) -> u8 + Copy) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        let mut found = [0; 16];
        bytes.as_chunks().0.iter().for_each(|piece| look(&mut found, piece, is));
        look(&mut found, last, is);
        found != [0; 16]
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk()) {
        let mut found = [0; 8];
        look(&mut found, first, is);
        look(&mut found, last, is);
        found != [0; 8]
    } else {
        bytes.iter().fold(0, |found, &byte| found | is(byte)) != 0
    }
}

/// Notes in each place whether `is` is 1 for a byte there. As a part of the loop around it, a profiled
/// build would give each place a register of its own, and take the bytes one by one.
#[inline(never)]
fn look<const N: usize>(found: &mut [u8; N], piece: &[u8; N], is: impl Fn(u8) -> u8) {
    for (found, &byte) in found.iter_mut().zip(piece) {
        *found |= is(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_is() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert!(!any(&bytes, |byte| u8::from(byte == b'b')), "none of {length}");
            for place in 0..length {
                bytes[place] = b'b';
                assert!(any(&bytes, |byte| u8::from(byte == b'b')), "{place} of {length}");
                bytes[place] = b'a';
            }
        }
    }
}
