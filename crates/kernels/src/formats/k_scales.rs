//! The six-bit scales that Q4_K and Q5_K share.

use super::field;
use crate::simd::{LANES, Simd};

/// `d * scale` of eight groups, then `dmin * minimum` of the groups.
///
/// The first four scales and minima are the low bits of bytes 0-3 and 4-7; the
/// last four have their low nibbles in bytes 8-11 and their upper two bits in
/// bytes 0-7. Four bytes are taken apart at a time.
#[inline(always)]
pub(super) fn unpack<S: Simd>(s: S, packed: &[u8; 12], d: f32, dmin: f32) -> [f32; LANES] {
    let word = |at: usize| u32::from_le_bytes(*field(packed, at));
    let (a, b, c) = (word(0), word(4), word(8));
    let six = |x: u32| x & 0x3f3f_3f3f;
    let nibbles = |x: u32| x & 0x0f0f_0f0f;
    let upper = |x: u32| ((x >> 6) & 0x0303_0303) << 4;
    let words = [
        six(a),
        nibbles(c) | upper(a),
        six(b),
        nibbles(c >> 4) | upper(b),
    ];
    let mut bytes = [0; LANES];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    let factors = std::array::from_fn(|i| if i < 8 { d } else { dmin });
    let mut scales = [0.0; LANES];
    s.store(
        s.mul(s.load(&factors), s.unsigned(s.bytes(&bytes))),
        &mut scales,
    );
    scales
}
