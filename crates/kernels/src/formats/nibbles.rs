//! Blocks of 32 four-bit numbers in 16 bytes: value `j` is the low nibble of
//! byte `j`, value `16 + j` its high nibble (ggml's Q4_0 family).

use crate::simd::{LANES, Simd};

/// The 32 numbers, from 0 to 15.
#[inline(always)]
pub(super) fn unpack<S: Simd>(s: S, q: &[u8; 16]) -> [S::B; 2] {
    let q = s.bytes(q);
    [s.and(q, 15), s.shr(q, 4)]
}

/// The 32 numbers from 0 to 31 of the Q5 formats: bit 4 of value `j` is bit `j` of
/// `fifth`.
#[inline(always)]
pub(super) fn unpack_five<S: Simd>(s: S, q: &[u8; 16], fifth: u32) -> [S::B; 2] {
    let [low, high] = unpack(s, q);
    let fifth = [fifth as u16, (fifth >> 16) as u16].map(|bits| s.shl(s.spread(bits), 4));
    [s.or(low, fifth[0]), s.or(high, fifth[1])]
}

/// `out = scale * table[number]`, in the order of the numbers.
#[inline(always)]
pub(super) fn from_table<S: Simd>(
    s: S,
    q: &[u8; 16],
    table: &[f32; 16],
    scale: f32,
    out: &mut [[f32; LANES]],
) {
    // Scaling the table is the same product, once for both vectors.
    let table = s.mul(s.splat(scale), s.load(table));
    for (o, q) in out.iter_mut().zip(unpack(s, q)) {
        s.store(s.lookup(table, q), o);
    }
}
