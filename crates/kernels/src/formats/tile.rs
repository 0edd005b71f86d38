//! Numbers of a tile's block (see `packed.rs`): what stands at byte `at` of the
//! block of each of the sixteen rows.

use crate::simd::{LANES, Words};

#[inline(always)]
fn numbers<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    super::field(block, LANES * at)
}

/// Four bytes per row.
#[inline(always)]
pub(super) fn word<S: Words>(s: S, block: &[u8], at: usize) -> S::W {
    s.words(numbers(block, at))
}

/// Two bytes per row, as a word.
#[inline(always)]
pub(super) fn short<S: Words>(s: S, block: &[u8], at: usize) -> S::W {
    s.short_words(numbers(block, at))
}

/// A byte per row, as a word.
#[inline(always)]
pub(super) fn byte<S: Words>(s: S, block: &[u8], at: usize) -> S::W {
    s.byte_words(numbers(block, at))
}

/// A half-precision number per row.
#[inline(always)]
pub(super) fn half<S: Words>(s: S, block: &[u8], at: usize) -> S::V {
    s.halves(numbers(block, at))
}

/// Values `4 word` on of 32 in sixteen bytes from `at` on: the low nibbles, then
/// the high ones.
#[inline(always)]
pub(super) fn nibble<S: Words>(s: S, block: &[u8], at: usize, word: usize) -> S::W {
    let q = self::word(s, block, at + 4 * (word % 4));
    s.word_and(s.word_shr(q, 4 * (word as u32 / 4)), 0x0f0f_0f0f)
}

/// The bits of each byte from bit `from` on, moved to bit `to` on, of which `mask`
/// (of a byte) says how many.
#[inline(always)]
pub(super) fn bits<S: Words>(s: S, x: S::W, from: u32, to: u32, mask: u32) -> S::W {
    let moved = if from >= to {
        s.word_shr(x, from - to)
    } else {
        s.word_shl(x, to - from)
    };
    s.word_and(moved, mask * 0x0101_0101)
}

/// As [`nibble`], with bit 4 of value `j` in bit `j` of the word at `fifth`.
#[inline(always)]
pub(super) fn five_bits<S: Words>(
    s: S,
    block: &[u8],
    at: usize,
    fifth: usize,
    word: usize,
) -> S::W {
    let bits = s.word_shr(self::word(s, block, fifth), 4 * word as u32);
    s.word_or(nibble(s, block, at, word), spread(s, bits))
}

/// Bit `i` of the lowest four to bit 4 of byte `i`.
#[inline(always)]
fn spread<S: Words>(s: S, bits: S::W) -> S::W {
    let four = s.word_and(bits, 15);
    let low = s.word_or(s.word_shl(four, 4), s.word_shl(four, 11));
    let high = s.word_or(s.word_shl(four, 18), s.word_shl(four, 25));
    s.word_and(s.word_or(low, high), 0x1010_1010)
}

/// A table of small whole numbers as bytes.
pub(super) const fn bytes(table: [f32; 16]) -> [i8; 16] {
    let mut bytes = [0; 16];
    let mut i = 0;
    while i < 16 {
        bytes[i] = table[i] as i8;
        i += 1;
    }
    bytes
}
