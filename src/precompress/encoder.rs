//! One content in, one variant out.
//!
//! Owns: the levels, how far an encoder looks back.
//! Must not know: files, who waits.

use std::io::{self, Write as _};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use libdeflater::{CompressionLvl, Compressor};

use super::Effort;
use crate::coding::Coding;

impl Effort {
    /// The level of a coding's encoder; a higher one makes fewer bytes.
    ///
    /// Each level of [`Effort::Fast`] is the one that saves most time for its bytes. On the files of
    /// Django's admin, bootstrap, plotly.js and monaco-editor they take 0.31 of the time for
    /// 2.7 per cent more bytes: 7.5 for brotli, 0.3 for gzip, 1.1 for zstd.
    pub(super) fn level(self, coding: Coding) -> u8 {
        match (self, coding) {
            (Self::Best, Coding::Brotli) => 11,
            (Self::Fast, Coding::Brotli) => FAST_BROTLI,
            (Self::Best, Coding::Gzip) => 12,
            (Self::Fast, Coding::Gzip) => 10,
            (Self::Best, Coding::Zstd) => 19,
            (Self::Fast, Coding::Zstd) => 17,
        }
    }
}

/// Ten, for large contents with the search of nine: 2.5 per cent fewer bytes than nine, in a third of
/// the time of ten.
const FAST_BROTLI: u8 = 10;
/// From this length on, in bytes. The search of nine begins with clearing 32 MiB, in which time ten
/// is done with less.
const LARGE: usize = 32 << 10;

/// Compresses a whole content.
pub(super) fn encode(coding: Coding, level: u8, content: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Brotli => brotli(level, content),
        Coding::Gzip => gzip(level, content),
        Coding::Zstd => zstd::bulk::compress(content, i32::from(level)),
    }
}

fn brotli(level: u8, content: &[u8]) -> io::Result<Vec<u8>> {
    let params = BrotliEncoderParams {
        quality: i32::from(level),
        q9_5: level == FAST_BROTLI && content.len() >= LARGE,
        lgwin: window(content.len()),
        size_hint: content.len(),
        ..BrotliEncoderParams::default()
    };
    let mut encoder = CompressorWriter::with_params(Vec::new(), 64 << 10, &params);
    // In one piece: then small contents take memory by their size and not by the window.
    encoder.write_all(content)?;
    Ok(encoder.into_inner())
}

/// The smallest window that holds the whole content, as a power of two. A larger one takes memory
/// and time for nothing; the largest is 16 MiB, which every client has to grant (RFC 7932 §9.1).
fn window(length: usize) -> i32 {
    (16..24).find(|window| (1 << window) - 16 >= length).unwrap_or(24)
}

/// Without a name and a time, so that the same content always makes the same bytes.
fn gzip(level: u8, content: &[u8]) -> io::Result<Vec<u8>> {
    let level = CompressionLvl::new(i32::from(level))
        .map_err(|why| io::Error::other(format!("{why:?}")))?;
    let mut encoder = Compressor::new(level);
    let mut variant = vec![0; encoder.gzip_compress_bound(content.len())];
    let length = encoder.gzip_compress(content, &mut variant).map_err(io::Error::other)?;
    variant.truncate(length);
    Ok(variant)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn decode(coding: Coding, variant: &[u8]) -> Vec<u8> {
        let mut content = Vec::new();
        match coding {
            Coding::Brotli => brotli::Decompressor::new(variant, 4096).read_to_end(&mut content),
            Coding::Gzip => flate2::read::GzDecoder::new(variant).read_to_end(&mut content),
            Coding::Zstd => zstd::Decoder::new(variant).unwrap().read_to_end(&mut content),
        }
        .unwrap();
        content
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_was_encoded_decodes_to_the_same(content: Vec<u8>, times in 1_usize..20) {
            let content = content.repeat(times);
            for coding in Coding::ALL {
                for effort in [Effort::Best, Effort::Fast] {
                    let variant = encode(coding, effort.level(coding), &content).unwrap();
                    prop_assert_eq!(&decode(coding, &variant), &content);
                }
            }
        }
    }

    #[test]
    fn contents_of_every_size_decode_to_the_same() {
        let text: String = (0..20_000).map(|line| (line * line).to_string()).collect();
        for length in [LARGE - 1, LARGE, text.len()] {
            let content = text.get(..length).unwrap().as_bytes();
            for coding in Coding::ALL {
                let variant = encode(coding, Effort::Fast.level(coding), content).unwrap();
                assert_eq!(decode(coding, &variant), content, "{coding:?} {length}");
            }
        }
    }

    #[test]
    fn a_window_is_as_large_as_its_content_up_to_the_largest() {
        for (length, bits) in [
            (0, 16),
            ((1 << 16) - 16, 16),
            ((1 << 16) - 15, 17),
            ((1 << 23) - 15, 24),
            (1 << 24, 24),
            (usize::MAX, 24),
        ] {
            assert_eq!(window(length), bits, "{length}");
        }
    }

    #[test]
    fn the_same_content_makes_the_same_bytes() {
        for coding in Coding::ALL {
            let encode = || encode(coding, Effort::Fast.level(coding), b"body {}").unwrap();
            assert_eq!(encode(), encode());
        }
    }
}
