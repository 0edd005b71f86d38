//! Q5_0 (ggml): per 32 values a half scale `d`, 32 fifth bits and 16 bytes of
//! nibbles, together `q`; value = d * (q - 16).

use super::{Blocks, each_block, field, half_at, nibbles};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 22;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        each_block(
            bytes,
            out,
            |b: &[u8; Self::BYTES], o: &mut [f32; Self::LEN]| {
                let d = half_at(b, 0);
                let high = nibbles::fifth_bits(u32::from_le_bytes(*field(b, 2)));
                let low = nibbles::unpack(field(b, 6));
                for j in 0..32 {
                    o[j] = d * f32::from((low[j] | high[j]) as i8 - 16);
                }
            },
        );
    }
}
