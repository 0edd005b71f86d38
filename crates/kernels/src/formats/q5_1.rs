//! Q5_1 (ggml): per 32 values a half scale `d`, a half offset `m`, 32 fifth
//! bits and 16 bytes of nibbles, together `q`; value = d * q + m.

use super::{Blocks, each_block, field, half_at, nibbles};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 24;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        each_block(
            bytes,
            out,
            |b: &[u8; Self::BYTES], o: &mut [f32; Self::LEN]| {
                let (d, m) = (half_at(b, 0), half_at(b, 2));
                let high = nibbles::fifth_bits(u32::from_le_bytes(*field(b, 4)));
                let low = nibbles::unpack(field(b, 8));
                for j in 0..32 {
                    o[j] = d * f32::from(low[j] | high[j]) + m;
                }
            },
        );
    }
}
