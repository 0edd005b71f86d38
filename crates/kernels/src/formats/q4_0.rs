//! Q4_0 (ggml): per 32 values a half scale `d` and 16 bytes of nibbles `q`;
//! value = d * (q - 8).

use super::{Blocks, each_block, field, half_at, nibbles, tile};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 18;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let (d, offset) = (s.splat(half_at(b, 0)), s.splat(8.0));
            for (o, q) in o.iter_mut().zip(nibbles::unpack(s, field(b, 2))) {
                s.store(s.mul(d, s.sub(s.unsigned(q), offset)), o);
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 1), (4, 4)];
    const QUANTS: Quants = Quants::Above(3);

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        debug_assert_eq!(group, 0);
        tile::nibble(s, block, 2, word)
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        debug_assert_eq!(group, 0);
        Scales::One(tile::half(s, block, 0))
    }
}
