//! Q8_0 (ggml): per 32 values a half scale `d` and 32 signed bytes `q`;
//! value = d * q.

use super::{Blocks, each_block, fit, half_at, tile, vector};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 34;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let d = s.splat(half_at(b, 0));
            for (i, o) in o.iter_mut().enumerate() {
                s.store(s.mul(d, s.signed(vector(s, b, 2 + 16 * i))), o);
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 1), (4, 8)];
    const QUANTS: Quants = Quants::Signed;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        debug_assert_eq!(group, 0);
        tile::word(s, block, 2 + 4 * word)
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        debug_assert_eq!(group, 0);
        Scales::One(tile::half(s, block, 0))
    }
}

/// Quantizes 32 weights.
#[inline(never)]
pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let largest = x.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let d = half::f16::from_f32(largest / 127.0);
    block[..2].copy_from_slice(&d.to_le_bytes());
    let d = d.to_f32();
    let inverse = if d > 0.0 { 1.0 / d } else { 0.0 };
    for (q, v) in block[2..].iter_mut().zip(x) {
        *q = (fit::round(v * inverse).clamp(-127.0, 127.0) as i8).cast_unsigned();
    }
}
