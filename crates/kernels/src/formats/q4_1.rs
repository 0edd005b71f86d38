//! Q4_1 (ggml): per 32 values a half scale `d`, a half offset `m` and 16 bytes
//! of nibbles `q`; value = d * q + m.

use super::{Blocks, each_block, field, half_at, nibbles, tile};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 20;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let (d, m) = (s.splat(half_at(b, 0)), s.splat(half_at(b, 2)));
            for (o, q) in o.iter_mut().zip(nibbles::unpack(s, field(b, 4))) {
                s.store(s.add(s.mul(d, s.unsigned(q)), m), o);
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 2), (4, 4)];
    const QUANTS: Quants = Quants::Unsigned;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        debug_assert_eq!(group, 0);
        tile::nibble(s, block, 4, word)
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        debug_assert_eq!(group, 0);
        Scales::OneAffine(tile::half(s, block, 0), tile::half(s, block, 2))
    }
}
