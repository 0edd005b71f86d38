//! Q3_K (ggml): per 256 values 32 bytes of third bits, 64 bytes of bit pairs,
//! sixteen six-bit scales in twelve bytes for groups of 16, and a half scale
//! `d`; value = d * (scale - 32) * (pair - (third bit set ? 0 : 4)).
//! Each half of 128 values uses 32 bytes of pairs: value `32 i + j` is pair `i`
//! of byte `j`; its third bit is bit `4 * half + i` of byte `j`.

use super::{Blocks, each_block, field, half_at};
use crate::simd::Simd;

pub(super) struct Layout;

/// The low nibbles of scales 0-7 and 8-15 are the nibbles of bytes 0-7; their
/// upper bits are the bit pairs of bytes 8-11, four scales to a pair.
#[inline(always)]
fn scales(s: &[u8; 12]) -> [i8; 16] {
    std::array::from_fn(|j| {
        let low = (s[j % 8] >> (4 * (j / 8))) & 15;
        let high = (s[8 + j % 4] >> (2 * (j / 4))) & 3;
        (low | (high << 4)) as i8 - 32
    })
}

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 110;

    #[inline(always)]
    fn dequantize<S: Simd>(_: S, bytes: &[u8], out: &mut [f32]) {
        each_block(
            bytes,
            out,
            |b: &[u8; Self::BYTES], o: &mut [f32; Self::LEN]| {
                let scales = scales(field(b, 96));
                let d = half_at(b, 108);
                for group in 0..16 {
                    let (run, upper) = (group / 2, group % 2);
                    let (part, i) = (run / 4, run % 4);
                    let third: &[u8; 16] = field(b, 16 * upper);
                    let q: &[u8; 16] = field(b, 32 + 32 * part + 16 * upper);
                    let scale = d * f32::from(scales[group]);
                    let o = &mut o[16 * group..][..16];
                    for j in 0..16 {
                        let third = (third[j] >> run) & 1;
                        let q = ((q[j] >> (2 * i)) & 3) | (third << 2);
                        o[j] = scale * f32::from(q as i8 - 4);
                    }
                }
            },
        );
    }
}
