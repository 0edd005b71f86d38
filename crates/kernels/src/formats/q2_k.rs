//! Q2_K (ggml): per 256 values sixteen bytes, each a four-bit scale and a
//! four-bit minimum for 16 values, 64 bytes of bit pairs `q`, and half scales
//! `d` and `dmin`; value = d * scale * q - dmin * minimum.
//! Each half of 128 values uses 32 bytes: value `32 i + j` is pair `i` of byte `j`.

use super::{Blocks, each_block, field, half_at};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 84;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        each_block(
            bytes,
            out,
            |b: &[u8; Self::BYTES], o: &mut [f32; Self::LEN]| {
                let scales: &[u8; 16] = field(b, 0);
                let (d, dmin) = (half_at(b, 80), half_at(b, 82));
                for group in 0..16 {
                    let (run, upper) = (group / 2, group % 2);
                    let (part, i) = (run / 4, run % 4);
                    let q: &[u8; 16] = field(b, 16 + 32 * part + 16 * upper);
                    let scale = d * f32::from(scales[group] & 15);
                    let minimum = dmin * f32::from(scales[group] >> 4);
                    for (o, q) in o[16 * group..][..16].iter_mut().zip(q) {
                        *o = scale * f32::from((q >> (2 * i)) & 3) - minimum;
                    }
                }
            },
        );
    }
}
