//! Q4_K (ggml): per 256 values half scales `d` and `dmin`, eight six-bit scales
//! and minima for groups of 32, and 128 bytes of nibbles `q`;
//! value = d * scale * q - dmin * minimum.
//! 32 bytes of nibbles hold two groups, one in the low, one in the high nibbles.

use super::{Blocks, each_block, field, half_at, k_scales, tile, vector};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 144;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let scales = k_scales::unpack(s, field(b, 4), half_at(b, 0), half_at(b, 2));
            for pair in 0..4 {
                for i in 0..2 {
                    let q = vector(s, b, 16 + 32 * pair + 16 * i);
                    for (high, q) in [s.and(q, 15), s.shr(q, 4)].into_iter().enumerate() {
                        let group = 2 * pair + high;
                        let (scale, minimum) = (s.splat(scales[group]), s.splat(scales[8 + group]));
                        let value = s.sub(s.mul(scale, s.unsigned(q)), minimum);
                        s.store(value, &mut o[2 * group + i]);
                    }
                }
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 2), (4, 35)];
    const QUANTS: Quants = Quants::Unsigned;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        let q = tile::word(s, block, 16 + 32 * (group / 2) + 4 * word);
        s.word_and(s.word_shr(q, 4 * (group as u32 % 2)), 0x0f0f_0f0f)
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        k_scales::of_tile(s, block, group)
    }
}

/// Quantizes 256 weights.
#[inline(never)]
pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let q = k_scales::quantize(x, 15.0, &mut block[..16]);
    for (pair, out) in q.chunks_exact(64).zip(block[16..].chunks_exact_mut(32)) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = pair[i] | pair[32 + i] << 4;
        }
    }
}
