//! IQ4_XS (ggml): per 256 values a half scale `d`, eight six-bit scales for
//! groups of 32 (upper bit pairs in two bytes, then low nibbles in four), and
//! 128 bytes of nibbles that index IQ4_NL's table;
//! value = d * (scale - 32) * table[q].

use super::{Blocks, each_block, field, half_at, iq4_nl, nibbles, tile};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 136;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let d = half_at(b, 0);
            let high = u16::from_le_bytes(*field(b, 2));
            let low: &[u8; 4] = field(b, 4);
            for (group, o) in o.chunks_exact_mut(2).enumerate() {
                let low = (low[group / 2] >> (4 * (group % 2))) & 15;
                let scale = low | (((high >> (2 * group)) & 3) << 4) as u8;
                let scale = d * f32::from(scale as i8 - 32);
                nibbles::from_table(s, field(b, 8 + 16 * group), &iq4_nl::TABLE, scale, o);
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 2), (4, 33)];
    const QUANTS: Quants = Quants::Signed;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        s.byte_lookup(&iq4_nl::BYTES, tile::nibble(s, block, 8 + 16 * group, word))
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        let low = s.word_shr(tile::word(s, block, 4), 4 * group as u32);
        let high = s.word_shr(tile::short(s, block, 2), 2 * group as u32);
        let high = s.word_shl(s.word_and(high, 3), 4);
        let scale = s.integers(s.word_or(s.word_and(low, 15), high));
        let d = tile::half(s, block, 0);
        Scales::One(s.mul(d, s.sub(scale, s.splat(32.0))))
    }
}
