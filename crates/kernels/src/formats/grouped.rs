//! Integers of four or eight bits with a scale and a zero point per group of
//! columns, as GPTQ, AWQ and compressed-tensors use them; value = d * (q - zero).
//!
//! Per 128 values half scales `d`, a byte per zero point, filled up to whole words,
//! and the integers: nibbles ordered within 32 values as in ggml's Q4_0, or bytes.
//! Bytes and their zero points are stored less 128, as signed numbers.

use super::{Blocks, field, half_at, nibbles, tile, vector};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{LANES, Simd, Words};

/// Integers of `BITS` bits in `GROUPS` groups.
pub(super) struct Layout<const BITS: usize, const GROUPS: usize>;

impl<const BITS: usize, const GROUPS: usize> Layout<BITS, GROUPS> {
    const ZEROS: usize = 2 * GROUPS;
    const QUANTS_AT: usize = (3 * GROUPS).next_multiple_of(4);

    /// Where the integers of 32 values begin.
    #[inline(always)]
    const fn at(group: usize) -> usize {
        Self::QUANTS_AT + 4 * BITS * group
    }

    /// Which scale 32 values have.
    #[inline(always)]
    const fn scale_of(group: usize) -> usize {
        group * GROUPS / 4
    }
}

impl<const BITS: usize, const GROUPS: usize> Blocks for Layout<BITS, GROUPS> {
    const LEN: usize = 128;
    const BYTES: usize = Self::at(4);

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        let blocks = bytes.chunks_exact(Self::BYTES);
        for (block, out) in blocks.zip(out.chunks_exact_mut(Self::LEN)) {
            for (group, out) in out.chunks_exact_mut(32).enumerate() {
                let (out, _) = out.as_chunks_mut::<LANES>();
                let of = Self::scale_of(group);
                let (d, zero) = (half_at(block, 2 * of), block[Self::ZEROS + of]);
                let at = Self::at(group);
                let (q, zero) = match BITS {
                    4 => (
                        nibbles::unpack(s, field(block, at)).map(|q| s.unsigned(q)),
                        f32::from(zero),
                    ),
                    _ => (
                        [0, 16].map(|i| s.signed(vector(s, block, at + i))),
                        f32::from(zero.cast_signed()),
                    ),
                };
                for (o, q) in out.iter_mut().zip(q) {
                    s.store(s.mul(s.splat(d), s.sub(q, s.splat(zero))), o);
                }
            }
        }
    }
}

impl<const BITS: usize, const GROUPS: usize> Integers for Layout<BITS, GROUPS> {
    const NUMBERS: &'static [(usize, usize)] = &[
        (2, GROUPS),
        (1, Self::QUANTS_AT - Self::ZEROS),
        (4, 4 * BITS),
    ];
    const QUANTS: Quants = match BITS {
        4 => Quants::Unsigned,
        _ => Quants::Signed,
    };

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        match BITS {
            4 => tile::nibble(s, block, Self::at(group), word),
            _ => tile::word(s, block, Self::at(group) + 4 * word),
        }
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        let of = Self::scale_of(group);
        let d = tile::half(s, block, 2 * of);
        let zero = tile::byte(s, block, Self::ZEROS + of);
        let zero = match BITS {
            4 => zero,
            _ => s.word_sar(s.word_shl(zero, 24), 24),
        };
        Scales::OneAffine(d, s.mul(d, s.sub(s.zero(), s.integers(zero))))
    }
}
