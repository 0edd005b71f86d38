//! MXFP4 (OCP Microscaling Formats 1.0, as ggml stores it): per 32 values a
//! power of two `e` (E8M0) and 16 bytes of nibbles, E2M1 numbers;
//! value = 2^(e - 127) * number. The table holds twice the numbers, so the scale
//! is halved.

use super::{Blocks, each_block, field, nibbles, tile};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{Simd, Words};

pub(super) struct Layout;

/// Twice the E2M1 numbers (ggml's `kvalues_mxfp4`).
const TABLE: [f32; 16] = [
    0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 0.0, -1.0, -2.0, -3.0, -4.0, -6.0, -8.0, -12.0,
];

/// The table as bytes.
const BYTES: [i8; 16] = tile::bytes(TABLE);

/// `2^(e - 128)`; the two smallest are subnormal.
#[inline(always)]
fn half_scale(e: u8) -> f32 {
    f32::from_bits(match e {
        0 | 1 => 0x0020_0000 << e,
        _ => u32::from(e - 1) << 23,
    })
}

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 17;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            nibbles::from_table(s, field(b, 1), &TABLE, half_scale(b[0]), o);
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(1, 1), (4, 4)];
    const QUANTS: Quants = Quants::Signed;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        debug_assert_eq!(group, 0);
        s.byte_lookup(&BYTES, tile::nibble(s, block, 1, word))
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        debug_assert_eq!(group, 0);
        // An exponent of 0 gives 0 here instead of 2^-128.
        let power = s.float_bits(s.word_shl(tile::byte(s, block, 0), 23));
        Scales::One(s.mul(power, s.splat(0.5)))
    }
}
