//! IQ4_NL (ggml): per 32 values a half scale `d` and 16 bytes of nibbles that
//! index a fixed non-linear table; value = d * table[q].

use super::{Blocks, each_block, field, half_at, nibbles, tile};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

/// ggml's `kvalues_iq4nl`.
pub(super) const TABLE: [f32; 16] = [
    -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0,
    89.0, 113.0,
];

/// The table as bytes.
pub(super) const BYTES: [i8; 16] = tile::bytes(TABLE);

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 18;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            nibbles::from_table(s, field(b, 2), &TABLE, half_at(b, 0), o);
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 1), (4, 4)];
    const QUANTS: Quants = Quants::Signed;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        debug_assert_eq!(group, 0);
        s.byte_lookup(&BYTES, tile::nibble(s, block, 2, word))
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        debug_assert_eq!(group, 0);
        Scales::One(tile::half(s, block, 0))
    }
}
