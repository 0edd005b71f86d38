//! Q5_0 (ggml): per 32 values a half scale `d`, 32 fifth bits and 16 bytes of
//! nibbles, together `q`; value = d * (q - 16).

use super::{Blocks, each_block, field, half_at, nibbles, tile};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 22;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let (d, offset) = (s.splat(half_at(b, 0)), s.splat(16.0));
            let fifth = u32::from_le_bytes(*field(b, 2));
            for (o, q) in o
                .iter_mut()
                .zip(nibbles::unpack_five(s, field(b, 6), fifth))
            {
                s.store(s.mul(d, s.sub(s.unsigned(q), offset)), o);
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 1), (4, 5)];
    const QUANTS: Quants = Quants::Above(4);

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        debug_assert_eq!(group, 0);
        tile::five_bits(s, block, 6, 2, word)
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        debug_assert_eq!(group, 0);
        Scales::One(tile::half(s, block, 0))
    }
}
