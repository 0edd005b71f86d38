//! Q5_K (ggml): Q4_K with a fifth bit per value. After the scales come 32 bytes
//! of fifth bits, bit `g` of byte `j` for value `j` of group `g`, then the nibbles;
//! value = d * scale * q - dmin * minimum.

use super::{Blocks, each_block, field, half_at, k_scales, tile, vector};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 176;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let scales = k_scales::unpack(s, field(b, 4), half_at(b, 0), half_at(b, 2));
            for group in 0..8 {
                let (scale, minimum) = (s.splat(scales[group]), s.splat(scales[8 + group]));
                for i in 0..2 {
                    let low = vector(s, b, 48 + 32 * (group / 2) + 16 * i);
                    let low = s.and(s.shr(low, 4 * (group as u32 % 2)), 15);
                    let fifth = s.shr(vector(s, b, 16 + 16 * i), group as u32);
                    let q = s.or(low, s.shl(s.and(fifth, 1), 4));
                    let value = s.sub(s.mul(scale, s.unsigned(q)), minimum);
                    s.store(value, &mut o[2 * group + i]);
                }
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 2), (4, 43)];
    const QUANTS: Quants = Quants::Unsigned;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        let low = tile::word(s, block, 48 + 32 * (group / 2) + 4 * word);
        let low = s.word_and(s.word_shr(low, 4 * (group as u32 % 2)), 0x0f0f_0f0f);
        let fifth = tile::word(s, block, 16 + 4 * word);
        s.word_or(low, tile::bits(s, fifth, group as u32, 4, 0x10))
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        k_scales::of_tile(s, block, group)
    }
}

/// Quantizes 256 weights.
#[inline(never)]
pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let q = k_scales::quantize(x, 31.0, &mut block[..16]);
    let (fifth, nibbles) = block[16..].split_at_mut(32);
    fifth.fill(0);
    for (g, group) in q.chunks_exact(32).enumerate() {
        for (fifth, q) in fifth.iter_mut().zip(group) {
            *fifth |= q >> 4 << g;
        }
    }
    for (pair, out) in q.chunks_exact(64).zip(nibbles.chunks_exact_mut(32)) {
        for (i, out) in out.iter_mut().enumerate() {
            *out = pair[i] & 15 | (pair[32 + i] & 15) << 4;
        }
    }
}
