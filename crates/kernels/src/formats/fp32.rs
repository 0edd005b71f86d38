//! F32: single precision, as it is.

use super::Blocks;
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 1;
    const BYTES: usize = 4;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        for (b, o) in bytes.as_chunks::<4>().0.iter().zip(out) {
            *o = f32::from_le_bytes(*b);
        }
    }
}
