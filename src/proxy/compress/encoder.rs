//! The three encoders behind one door.
//!
//! Owns: their levels and windows.
//! Must not know: answers, when something is flushed.

use std::fmt;
use std::io::{self, Write as _};

use brotli::CompressorWriter;
use brotli::enc::BrotliEncoderParams;
use flate2::write::GzEncoder;
use zstd::zstd_safe::CParameter;

use crate::coding::Coding;

/// Compresses one answer.
pub(super) enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::Encoder<'static, Vec<u8>>>),
}

/// Level 5 of 9: half the work of 6, the usual one, for two per cent more bytes on pages.
const GZIP_LEVEL: u32 = 5;
/// Level 4 of 11: at 5 the work and the memory double.
const BROTLI_LEVEL: i32 = 4;
/// Level 3 of 19, its default: at 5 the work and the memory triple.
const ZSTD_LEVEL: i32 = 3;
/// How far back an encoder looks, as a power of two: 512 KiB, more than most pages are long. It
/// bounds the memory of an answer, in the client too, which may refuse more than 8 MiB (RFC 9659).
/// Here gzip takes 0.4 MiB, zstd 0.8 MiB and brotli 1.9 MiB.
const WINDOW: u8 = 19;
/// The most that brotli gathers before it works, as a power of two: 64 KiB, which takes a
/// millisecond.
const BROTLI_BLOCK: i32 = 16;

impl Encoder {
    pub(super) fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => {
                let level = flate2::Compression::new(GZIP_LEVEL);
                Self::Gzip(Box::new(GzEncoder::new(Vec::new(), level)))
            }
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_LEVEL,
                    lgwin: i32::from(WINDOW),
                    lgblock: BROTLI_BLOCK,
                    ..BrotliEncoderParams::default()
                };
                Self::Brotli(Box::new(CompressorWriter::with_params(Vec::new(), 4096, &params)))
            }
            Coding::Zstd => {
                let mut encoder = zstd::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
                encoder.set_parameter(CParameter::WindowLog(u32::from(WINDOW)))?;
                Self::Zstd(Box::new(encoder))
            }
        })
    }

    /// Takes a piece of content.
    pub(super) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(piece),
            Self::Brotli(encoder) => encoder.write_all(piece),
            Self::Zstd(encoder) => encoder.write_all(piece),
        }
    }

    /// Makes everything that was written decodable from what [`Encoder::take`] brings.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.flush(),
            Self::Brotli(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }

    /// What has been compressed and was not taken yet.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Brotli(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        })
    }

    /// How much could be taken.
    pub(super) fn ready(&self) -> usize {
        match self {
            Self::Gzip(encoder) => encoder.get_ref().len(),
            Self::Brotli(encoder) => encoder.get_ref().len(),
            Self::Zstd(encoder) => encoder.get_ref().len(),
        }
    }

    /// Ends the content; the rest of it.
    pub(super) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip(_) => "Gzip",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
        })
    }
}
