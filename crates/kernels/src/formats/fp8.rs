//! FP8 E4M3 (arXiv 2209.05433) with scales: per 128 values a single-precision
//! scale and 128 bytes; value = number * scale.
//!
//! The one pattern that is no number counts as 480 here, what its bits would be
//! otherwise: whoever fills the blocks refuses it.

use super::{Blocks, field};
use crate::scaled::Scaled;
use crate::simd::portable::Portable;
use crate::simd::{LANES, Simd};

pub(super) struct Layout;

/// The numbers of [`Simd::e4m3`] are this many times too small.
const PARTS: f32 = 256.0;

impl Blocks for Layout {
    const LEN: usize = 128;
    const BYTES: usize = 132;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        let blocks = bytes.chunks_exact(Self::BYTES);
        for (block, out) in blocks.zip(out.chunks_exact_mut(Self::LEN)) {
            let scale = s.splat(PARTS * f32::from_le_bytes(*field(block, 0)));
            let (out, _) = out.as_chunks_mut::<LANES>();
            for (i, out) in out.iter_mut().enumerate() {
                s.store(s.mul(s.e4m3(field(block, 4 + LANES * i)), scale), out);
            }
        }
    }
}

impl Scaled for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(4, 1), (1, 128)];

    #[inline(always)]
    fn scale<S: Simd>(s: S, block: &[u8]) -> S::V {
        let mut scales = [0.0; LANES];
        for (scale, bytes) in scales.iter_mut().zip(block.as_chunks::<4>().0) {
            *scale = f32::from_le_bytes(*bytes);
        }
        s.mul(s.load(&scales), s.splat(PARTS))
    }

    #[inline(always)]
    fn column<S: Simd>(s: S, block: &[u8], i: usize) -> S::V {
        s.e4m3(field(block, LANES * (4 + i)))
    }
}

/// The value of an FP8 E4M3 number, of the one that is none 480.
pub fn e4m3(bits: u8) -> f32 {
    PARTS * Portable.e4m3(&[bits; LANES])[0]
}
