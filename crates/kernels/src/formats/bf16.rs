//! BF16: the upper half of a single-precision number.

use super::Blocks;
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 1;
    const BYTES: usize = 2;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        for (b, o) in bytes.as_chunks::<2>().0.iter().zip(out) {
            *o = f32::from_bits(u32::from(u16::from_le_bytes(*b)) << 16);
        }
    }
}
