//! Q4_0 (ggml): per 32 values a half scale `d` and 16 bytes of nibbles `q`;
//! value = d * (q - 8).

use super::{Blocks, each_block, field, half_at, nibbles};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 18;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        each_block(
            bytes,
            out,
            |b: &[u8; Self::BYTES], o: &mut [f32; Self::LEN]| {
                let d = half_at(b, 0);
                let q = nibbles::unpack(field(b, 2));
                for (o, q) in o.iter_mut().zip(q) {
                    *o = d * f32::from(q as i8 - 8);
                }
            },
        );
    }
}
