//! Q8_0 (ggml): per 32 values a half scale `d` and 32 signed bytes `q`;
//! value = d * q.

use super::{Blocks, each_block, half_at, vector};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 34;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let d = s.splat(half_at(b, 0));
            for (i, o) in o.iter_mut().enumerate() {
                s.store(s.mul(d, s.signed(vector(s, b, 2 + 16 * i))), o);
            }
        });
    }
}
