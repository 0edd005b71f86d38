//! Q4_K (ggml): per 256 values half scales `d` and `dmin`, eight six-bit scales
//! and minima for groups of 32, and 128 bytes of nibbles `q`;
//! value = d * scale * q - dmin * minimum.
//! 32 bytes of nibbles hold two groups, one in the low, one in the high nibbles.

use super::{Blocks, each_block, field, half_at, k_scales};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 144;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        each_block(
            bytes,
            out,
            |b: &[u8; Self::BYTES], o: &mut [f32; Self::LEN]| {
                let (d, dmin) = (half_at(b, 0), half_at(b, 2));
                let (scales, minima) = k_scales::unpack(field(b, 4));
                for pair in 0..4 {
                    let q: &[u8; 32] = field(b, 16 + 32 * pair);
                    for high in 0..2 {
                        let group = 2 * pair + high;
                        let scale = d * f32::from(scales[group]);
                        let minimum = dmin * f32::from(minima[group]);
                        for (o, q) in o[32 * group..][..32].iter_mut().zip(q) {
                            *o = scale * f32::from((q >> (4 * high)) & 15) - minimum;
                        }
                    }
                }
            },
        );
    }
}
