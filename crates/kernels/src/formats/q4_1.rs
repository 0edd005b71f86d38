//! Q4_1 (ggml): per 32 values a half scale `d`, a half offset `m` and 16 bytes
//! of nibbles `q`; value = d * q + m.

use super::{Blocks, each_block, field, half_at, nibbles};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 32;
    const BYTES: usize = 20;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let (d, m) = (s.splat(half_at(b, 0)), s.splat(half_at(b, 2)));
            for (o, q) in o.iter_mut().zip(nibbles::unpack(s, field(b, 4))) {
                s.store(s.add(s.mul(d, s.unsigned(q)), m), o);
            }
        });
    }
}
