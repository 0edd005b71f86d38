//! Q3_K (ggml): per 256 values 32 bytes of third bits, 64 bytes of bit pairs,
//! sixteen six-bit scales in twelve bytes for groups of 16, and a half scale
//! `d`; value = d * (scale - 32) * (pair - (third bit set ? 0 : 4)).
//! Each half of 128 values uses 32 bytes of pairs: value `32 i + j` is pair `i`
//! of byte `j`; its third bit is bit `4 * half + i` of byte `j`.

use super::{Blocks, each_block, field, half_at, tile, vector};
use crate::dot::{Integers, Quants, Scales};
use crate::simd::{LANES, Simd, Words};

pub(super) struct Layout;

/// The sixteen scales, from 0 to 63. The low nibbles of scales 0-7 and 8-15 are the nibbles of bytes 0-7; their
/// upper bits are the bit pairs of bytes 8-11, four scales to a pair.
#[inline(always)]
fn unpack_scales(s: &[u8; 12]) -> [u8; LANES] {
    std::array::from_fn(|j| {
        let low = (s[j % 8] >> (4 * (j / 8))) & 15;
        let high = (s[8 + j % 4] >> (2 * (j / 4))) & 3;
        low | (high << 4)
    })
}

impl Blocks for Layout {
    const LEN: usize = 256;
    const BYTES: usize = 110;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        each_block::<{ Self::BYTES }, { Self::LEN }>(bytes, out, |b, o| {
            let mut scales = [0.0; LANES];
            let d = s.splat(half_at(b, 108));
            let numbers = s.unsigned(s.bytes(&unpack_scales(field(b, 96))));
            s.store(s.mul(d, s.sub(numbers, s.splat(32.0))), &mut scales);
            let offset = s.splat(4.0);
            for (group, o) in o.iter_mut().enumerate() {
                let (run, upper) = (group / 2, group % 2);
                let (part, i) = (run / 4, run as u32 % 4);
                let third = s.shr(vector(s, b, 16 * upper), run as u32);
                let pair = s.shr(vector(s, b, 32 + 32 * part + 16 * upper), 2 * i);
                let q = s.or(s.and(pair, 3), s.shl(s.and(third, 1), 2));
                let scale = s.splat(scales[group]);
                s.store(s.mul(scale, s.sub(s.unsigned(q), offset)), o);
            }
        });
    }
}

impl Integers for Layout {
    const NUMBERS: &'static [(usize, usize)] = &[(4, 27), (2, 1)];
    const QUANTS: Quants = Quants::Above(2);

    #[inline(always)]
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
        let third = tile::word(s, block, 4 * word);
        let pairs = tile::word(s, block, 32 + 32 * (group / 4) + 4 * word);
        let low = s.word_and(s.word_shr(pairs, 2 * (group as u32 % 4)), 0x0303_0303);
        s.word_or(low, tile::bits(s, third, group as u32, 2, 0x04))
    }

    #[inline(always)]
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
        let d = tile::half(s, block, 108);
        let (a, b) = (scale(s, block, 2 * group), scale(s, block, 2 * group + 1));
        Scales::Two([s.mul(d, a), s.mul(d, b)])
    }
}

/// Scale `j`, from -32 to 31; as in [`unpack_scales`].
#[inline(always)]
fn scale<S: Words>(s: S, block: &[u8], j: usize) -> S::V {
    let low = tile::word(s, block, 96 + 4 * (j % 8 / 4));
    let low = s.word_shr(low, 8 * (j as u32 % 4) + 4 * (j as u32 / 8));
    let high = tile::word(s, block, 104);
    let high = s.word_shr(high, 8 * (j as u32 % 4) + 2 * (j as u32 / 4));
    let high = s.word_shl(s.word_and(high, 3), 4);
    let scale = s.integers(s.word_or(s.word_and(low, 15), high));
    s.sub(scale, s.splat(32.0))
}
