//! Q5_0 (ggml): per 32 values a half scale `d`, 32 fifth bits and 16 bytes of
//! nibbles, together `q`; value = d * (q - 16).

use super::{Blocks, each_block, field, half_at, nibbles};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 22;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let (d, offset) = (s.splat(half_at(b, 0)), s.splat(16.0));
            let fifth = u32::from_le_bytes(*field(b, 2));
            for (o, q) in o
                .iter_mut()
                .zip(nibbles::unpack_five(s, field(b, 6), fifth))
            {
                s.store(s.mul(d, s.sub(s.unsigned(q), offset)), o);
            }
        });
    }
}
