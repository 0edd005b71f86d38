//! Q2_K (ggml): per 256 values sixteen bytes, each a four-bit scale and a
//! four-bit minimum for 16 values, 64 bytes of bit pairs `q`, and half scales
//! `d` and `dmin`; value = d * scale * q - dmin * minimum.
//! Each half of 128 values uses 32 bytes: value `32 i + j` is pair `i` of byte `j`.

use super::{Blocks, each_block, half_at, tile, vector};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{LANES, Simd, Words};

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 84;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let packed = vector(s, b, 0);
            let (mut scales, mut minima) = ([0.0; LANES], [0.0; LANES]);
            let (d, dmin) = (s.splat(half_at(b, 80)), s.splat(half_at(b, 82)));
            s.store(s.mul(d, s.unsigned(s.and(packed, 15))), &mut scales);
            s.store(s.mul(dmin, s.unsigned(s.shr(packed, 4))), &mut minima);
            for (group, o) in o.iter_mut().enumerate() {
                let (run, upper) = (group / 2, group % 2);
                let (part, i) = (run / 4, run as u32 % 4);
                let q = vector(s, b, 16 + 32 * part + 16 * upper);
                let q = s.unsigned(s.and(s.shr(q, 2 * i), 3));
                let (scale, minimum) = (s.splat(scales[group]), s.splat(minima[group]));
                s.store(s.sub(s.mul(scale, q), minimum), o);
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(4, 20), (2, 2)];
    const QUANTS: Quants = Quants::Unsigned;

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        let pairs = tile::word(s, block, 16 + 32 * (group / 4) + 4 * word);
        s.word_and(s.word_shr(pairs, 2 * (group as u32 % 4)), 0x0303_0303)
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        let (d, dmin) = (tile::half(s, block, 80), tile::half(s, block, 82));
        let minus_dmin = s.sub(s.zero(), dmin);
        let four = tile::word(s, block, 4 * (group / 2));
        let four = s.word_shr(four, 16 * (group as u32 % 2));
        Scales::TwoAffine(
            [s.mul(d, nibble(s, four, 0)), s.mul(d, nibble(s, four, 8))],
            [
                s.mul(minus_dmin, nibble(s, four, 4)),
                s.mul(minus_dmin, nibble(s, four, 12)),
            ],
        )
    }
}

/// The four bits from bit `at` on.
#[inline(always)]
fn nibble<S: Words>(s: S, word: S::W, at: u32) -> S::V {
    s.integers(s.word_and(s.word_shr(word, at), 15))
}
