//! Q6_K (ggml): per 256 values 128 bytes of low nibbles, 64 bytes of upper bit
//! pairs, sixteen signed byte scales for groups of 16, and a half scale `d`;
//! value = d * scale * (q - 32).
//! Each half of 128 values uses 64 bytes of nibbles and 32 of bit pairs: value
//! `32 i + j` has its nibble in byte `32 (i % 2) + j`, low for the first two
//! runs, and its bits in pair `i` of byte `j`.

use super::{Blocks, each_block, field, half_at};
use crate::simd::Simd;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        each_block(
            bytes,
            out,
            |b: &[u8; Self::BYTES], o: &mut [f32; Self::LEN]| {
                let scales: &[u8; 16] = field(b, 192);
                let d = half_at(b, 208);
                for run in 0..8 {
                    let (part, i) = (run / 4, run % 4);
                    let low: &[u8; 32] = field(b, 64 * part + 32 * (i % 2));
                    let pairs: &[u8; 32] = field(b, 128 + 32 * part);
                    for group in 0..2 {
                        let scale = d * f32::from(scales[2 * run + group] as i8);
                        let o = &mut o[32 * run + 16 * group..][..16];
                        for (k, o) in o.iter_mut().enumerate() {
                            let j = 16 * group + k;
                            let nibble = (low[j] >> (4 * (i / 2))) & 15;
                            let q = nibble | (((pairs[j] >> (2 * i)) & 3) << 4);
                            *o = scale * f32::from(q as i8 - 32);
                        }
                    }
                }
            },
        );
    }
}
