//! Blocks of 32 four-bit numbers in 16 bytes: value `j` is the low nibble of
//! byte `j`, value `16 + j` its high nibble (ggml's Q4_0 family).

use crate::simd::{LANES, Simd};

/// Bit 4 of the values, from the 32 bits of the Q5 formats: value `j`'s is bit `j`.
#[inline(always)]
pub(super) fn fifth_bits(bits: u32) -> [u8; 32] {
    std::array::from_fn(|j| (((bits >> j) & 1) << 4) as u8)
}

/// The 32 numbers, from 0 to 15.
#[inline(always)]
pub(super) fn unpack(q: &[u8; 16]) -> [u8; 32] {
    std::array::from_fn(|j| if j < 16 { q[j] & 15 } else { q[j - 16] >> 4 })
}

/// `out = scale * table[number]`, in the order of the numbers.
#[inline(always)]
pub(super) fn from_table<S: Simd>(
    s: S,
    q: &[u8; 16],
    table: &[f32; 16],
    scale: f32,
    out: &mut [f32; 32],
) {
    let numbers = unpack(q);
    let (numbers, _) = numbers.as_chunks::<LANES>();
    let (outs, _) = out.as_chunks_mut::<LANES>();
    let (table, scale) = (s.load(table), s.splat(scale));
    for (x, o) in numbers.iter().zip(outs) {
        s.store(s.mul(scale, s.lookup(table, x)), o);
    }
}
