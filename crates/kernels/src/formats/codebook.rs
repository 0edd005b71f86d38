//! NF4 and FP4 (bitsandbytes): four-bit numbers that index a table of sixteen
//! reals, with a scale for every 64 values; value = table[q] * scale.
//!
//! Per 128 values two half scales and 64 bytes of nibbles, ordered within 32 values
//! as in ggml's Q4_0. Tables: QLoRA (arXiv 2305.14314, appendix E) and
//! `bitsandbytes.functional.create_fp4_map`.

use super::{Blocks, field, half_at, nibbles, tile};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{LANES, Simd, Words};
use std::marker::PhantomData;

/// bitsandbytes' `create_normal_map`.
pub(super) const NF4: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// bitsandbytes' `create_fp4_map`.
pub(super) const FP4: [f32; 16] = [
    0.0,
    0.005_208_333_3,
    0.666_666_7,
    1.0,
    0.333_333_34,
    0.5,
    0.166_666_67,
    0.25,
    0.0,
    -0.005_208_333_3,
    -0.666_666_7,
    -1.0,
    -0.333_333_34,
    -0.5,
    -0.166_666_67,
    -0.25,
];

/// Sixteen reals from -1 to 1.
pub(super) trait Table {
    const REALS: [f32; 16];
    /// `PARTS * (real + 1)` is a whole number or close to one, and below 2^14.
    const PARTS: f32;

    /// Those numbers, the upper seven bits and the lower seven.
    const WHOLE: [[i8; 16]; 2] = {
        let mut whole = [[0; 16]; 2];
        let mut i = 0;
        while i < 16 {
            let n = (Self::PARTS * (Self::REALS[i] + 1.0) + 0.5) as i16;
            whole[0][i] = (n / 128) as i8;
            whole[1][i] = (n % 128) as i8;
            i += 1;
        }
        whole
    };
}

/// NF4: quantiles of the normal distribution.
pub(super) struct Normal;

impl Table for Normal {
    const REALS: [f32; 16] = NF4;
    const PARTS: f32 = 8191.0;
}

/// FP4: a sign, two bits of exponent and one of mantissa, divided by twelve.
pub(super) struct Float;

impl Table for Float {
    const REALS: [f32; 16] = FP4;
    const PARTS: f32 = 192.0;
}

pub(super) struct Layout<T>(PhantomData<T>);

/// Bytes before the nibbles.
const SCALES: usize = 4;

impl<T: Table> Blocks for Layout<T> {
    const LEN: usize = 128;
    const BYTES: usize = SCALES + 64;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        let blocks = bytes.chunks_exact(Self::BYTES);
        for (block, out) in blocks.zip(out.chunks_exact_mut(Self::LEN)) {
            for (group, out) in out.chunks_exact_mut(32).enumerate() {
                let (q, scale) = (
                    field(block, SCALES + 16 * group),
                    half_at(block, group / 2 * 2),
                );
                let (out, _) = out.as_chunks_mut::<LANES>();
                nibbles::from_table(s, q, &T::REALS, scale, out);
            }
        }
    }
}

impl<T: Table> Integers for Layout<T> {
    const NUMBERS: &'static [(usize, usize)] = &[(2, 2), (4, 16)];
    const QUANTS: Quants = Quants::Unsigned;
    const FINER: bool = true;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        let q = tile::nibble(s, block, SCALES + 16 * group, word);
        s.byte_lookup(&T::WHOLE[0], q)
    }

    #[inline(always)]
    fn finer<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        let q = tile::nibble(s, block, SCALES + 16 * group, word);
        s.byte_lookup(&T::WHOLE[1], q)
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        let scale = tile::half(s, block, group / 2 * 2);
        let part = s.mul(scale, s.splat(1.0 / T::PARTS));
        Scales::OneAffine(part, s.sub(s.zero(), scale))
    }
}
