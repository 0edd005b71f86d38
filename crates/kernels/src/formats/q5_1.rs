//! Q5_1 (ggml): per 32 values a half scale `d`, a half offset `m`, 32 fifth
//! bits and 16 bytes of nibbles, together `q`; value = d * q + m.

use super::{Blocks, each_block, field, half_at, nibbles, tile};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 24;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let (d, m) = (s.splat(half_at(b, 0)), s.splat(half_at(b, 2)));
            let fifth = u32::from_le_bytes(*field(b, 4));
            for (o, q) in o
                .iter_mut()
                .zip(nibbles::unpack_five(s, field(b, 8), fifth))
            {
                s.store(s.add(s.mul(d, s.unsigned(q)), m), o);
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 2), (4, 5)];
    const QUANTS: Quants = Quants::Unsigned;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        debug_assert_eq!(group, 0);
        tile::five_bits(s, block, 8, 4, word)
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        debug_assert_eq!(group, 0);
        Scales::OneAffine(tile::half(s, block, 0), tile::half(s, block, 2))
    }
}
