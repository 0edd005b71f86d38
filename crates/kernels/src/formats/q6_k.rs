//! Q6_K (ggml): per 256 values 128 bytes of low nibbles, 64 bytes of upper bit
//! pairs, sixteen signed byte scales for groups of 16, and a half scale `d`;
//! value = d * scale * (q - 32).
//! Each half of 128 values uses 64 bytes of nibbles and 32 of bit pairs: value
//! `32 i + j` has its nibble in byte `32 (i % 2) + j`, low for the first two
//! runs, and its bits in pair `i` of byte `j`.

use super::{Blocks, each_block, fit, half_at, tile, vector};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{LANES, Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 210;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let mut scales = [0.0; LANES];
            let d = s.splat(half_at(b, 208));
            s.store(s.mul(d, s.signed(vector(s, b, 192))), &mut scales);
            let offset = s.splat(32.0);
            for run in 0..8 {
                let (part, i) = (run / 4, run as u32 % 4);
                for group in 0..2 {
                    let low = vector(s, b, 64 * part + 32 * (run % 2) + 16 * group);
                    let low = s.and(s.shr(low, 4 * (i / 2)), 15);
                    let pair = s.shr(vector(s, b, 128 + 32 * part + 16 * group), 2 * i);
                    let q = s.or(low, s.shl(s.and(pair, 3), 4));
                    let scale = s.splat(scales[2 * run + group]);
                    let value = s.mul(scale, s.sub(s.unsigned(q), offset));
                    s.store(value, &mut o[2 * run + group]);
                }
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(4, 52), (2, 1)];
    const QUANTS: Quants = Quants::Above(5);

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        let (part, i) = (group / 4, group as u32 % 4);
        let low = tile::word(s, block, 64 * part + 32 * (group % 2) + 4 * word);
        let low = s.word_and(s.word_shr(low, 4 * (i / 2)), 0x0f0f_0f0f);
        let pairs = tile::word(s, block, 128 + 32 * part + 4 * word);
        s.word_or(low, tile::bits(s, pairs, 2 * i, 4, 0x30))
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        let d = tile::half(s, block, 208);
        let four = tile::word(s, block, 192 + 4 * (group / 2));
        let first = 2 * (group as u32 % 2);
        let a = s.word_sar(s.word_shl(four, 24 - 8 * first), 24);
        let b = s.word_sar(s.word_shl(four, 16 - 8 * first), 24);
        Scales::Two([s.mul(d, s.integers(a)), s.mul(d, s.integers(b))])
    }
}

/// Quantizes 256 weights.
#[inline(never)]
pub(super) fn quantize(x: &[f32], block: &mut [u8]) {
    let groups = x.chunks_exact(16);
    let mut scales = [0.0; 16];
    for (scale, group) in scales.iter_mut().zip(groups.clone()) {
        *scale = fit::symmetric(group, 31.0);
    }
    let largest = scales
        .iter()
        .fold(0.0f32, |a, b| if b.abs() > a.abs() { *b } else { a });
    let d = half::f16::from_f32(largest / -128.0);
    block.fill(0);
    block[208..].copy_from_slice(&d.to_le_bytes());
    let d = d.to_f32();
    let unit = if d == 0.0 { 0.0 } else { 1.0 / d };
    for (g, group) in groups.enumerate() {
        let scale = fit::round(scales[g] * unit).clamp(-128.0, 127.0);
        block[192 + g] = (scale as i8).cast_unsigned();
        let step = d * scale;
        let inverse = if step == 0.0 { 0.0 } else { 1.0 / step };
        for (j, v) in group.iter().enumerate() {
            let q = (fit::round(inverse * v).clamp(-32.0, 31.0) + 32.0) as u8;
            let (run, at) = (g / 2, 16 * (g % 2) + j);
            let (part, i) = (run / 4, run % 4);
            block[64 * part + 32 * (run % 2) + at] |= (q & 15) << (4 * (i / 2));
            block[128 + 32 * part + at] |= q >> 4 << (2 * i);
        }
    }
}
