//! Looks at bytes sixteen at a time.
//!
//! Owns: how a slice is gone through.
//! Must not know: what is looked for.

/// Whether `is` is true of any of the bytes: without a branch for each, which is what the compiler
/// needs to look at many at once. What is no whole number of pieces has its last ones looked at twice.
pub(crate) fn any(bytes: &[u8], is: impl Fn(u8) -> bool + Copy) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        let (pieces, _) = bytes.as_chunks::<16>();
        let all = pieces.iter().chain([last]);
        all.fold([0; 16], |found, piece| look(found, piece, is)) != [0; 16]
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk()) {
        look(look([0; 8], first, is), last, is) != [0; 8]
    } else {
        bytes.iter().any(|&byte| is(byte))
    }
}

/// Notes in each place whether `is` is true of a byte there.
fn look<const N: usize>(
    mut found: [u8; N],
    piece: &[u8; N],
    is: impl Fn(u8) -> bool + Copy,
) -> [u8; N] {
    for (found, &byte) in found.iter_mut().zip(piece) {
        *found |= u8::from(is(byte));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_is() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert!(!any(&bytes, |byte| byte == b'b'), "none of {length}");
            for place in 0..length {
                bytes[place] = b'b';
                assert!(any(&bytes, |byte| byte == b'b'), "{place} of {length}");
                bytes[place] = b'a';
            }
        }
    }
}
