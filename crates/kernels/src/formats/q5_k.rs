//! Q5_K (ggml): Q4_K with a fifth bit per value. After the scales come 32 bytes
//! of fifth bits, bit `g` of byte `j` for value `j` of group `g`, then the nibbles;
//! value = d * scale * q - dmin * minimum.

use super::{Blocks, each_block, field, half_at, k_scales};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 176;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        each_block(
            bytes,
            out,
            |b: &[u8; Self::BYTES], o: &mut [f32; Self::LEN]| {
                let (d, dmin) = (half_at(b, 0), half_at(b, 2));
                let (scales, minima) = k_scales::unpack(field(b, 4));
                let fifth: &[u8; 32] = field(b, 16);
                for group in 0..8 {
                    let q: &[u8; 32] = field(b, 48 + 32 * (group / 2));
                    let shift = 4 * (group % 2);
                    let scale = d * f32::from(scales[group]);
                    let minimum = dmin * f32::from(minima[group]);
                    let o = &mut o[32 * group..][..32];
                    for j in 0..32 {
                        let q = ((q[j] >> shift) & 15) | (((fifth[j] >> group) & 1) << 4);
                        o[j] = scale * f32::from(q) - minimum;
                    }
                }
            },
        );
    }
}
