//! The six-bit scales that Q4_K and Q5_K share.

use super::{field, fit, tile};
use crate::dot::Scales;
use crate::simd::{LANES, Simd, Words};

/// `d * scale` of eight groups, then `dmin * minimum` of the groups.
///
/// The first four scales and minima are the low bits of bytes 0-3 and 4-7; the
/// last four have their low nibbles in bytes 8-11 and their upper two bits in
/// bytes 0-7. Four bytes are taken apart at a time.
#[inline(always)]
pub(super) fn unpack<S: Simd>(s: S, packed: &[u8; 12], d: f32, dmin: f32) -> [f32; LANES] {
    let word = |at: usize| u32::from_le_bytes(*field(packed, at));
    let (a, b, c) = (word(0), word(4), word(8));
    let six = |x: u32| x & 0x3f3f_3f3f;
    let nibbles = |x: u32| x & 0x0f0f_0f0f;
    let upper = |x: u32| ((x >> 6) & 0x0303_0303) << 4;
    let words = [
        six(a),
        nibbles(c) | upper(a),
        six(b),
        nibbles(c >> 4) | upper(b),
    ];
    let mut bytes = [0; LANES];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    let factors = std::array::from_fn(|i| if i < 8 { d } else { dmin });
    let mut scales = [0.0; LANES];
    s.store(
        s.mul(s.load(&factors), s.unsigned(s.bytes(&bytes))),
        &mut scales,
    );
    scales
}

/// The scale of a group of a tile's block, which begins with `d` and `dmin`; as in
/// [`unpack`].
#[inline(always)]
pub(super) fn of_tile<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V> {
    let (d, dmin) = (tile::half(s, block, 0), tile::half(s, block, 2));
    let rest = tile::word(s, block, 12);
    let scale = six(s, tile::word(s, block, 4), rest, group);
    let minimum = six(s, tile::word(s, block, 8), s.word_shr(rest, 4), group);
    Scales::OneAffine(s.mul(d, scale), s.mul(s.sub(s.zero(), dmin), minimum))
}

/// Number `group` of eight: four are in the low bits of the bytes of `words`, four
/// have their upper bits above those and their low nibbles in `nibbles`.
#[inline(always)]
fn six<S: Words>(s: S, words: S::W, nibbles: S::W, group: usize) -> S::V {
    let at = 8 * (group as u32 % 4);
    s.integers(if group < 4 {
        s.word_and(s.word_shr(words, at), 63)
    } else {
        let low = s.word_and(s.word_shr(nibbles, at), 15);
        s.word_or(low, s.word_and(s.word_shr(words, at + 2), 48))
    })
}

/// Fits 256 weights by `d * scale * q - dmin * minimum` with whole numbers up to
/// `most`: writes the sixteen bytes of scales and returns the numbers.
#[inline(never)]
pub(super) fn quantize(x: &[f32], most: f32, header: &mut [u8]) -> [u8; 256] {
    let groups = x.chunks_exact(32);
    let mut fits = [(0.0, 0.0); 8];
    for (fit, group) in fits.iter_mut().zip(groups.clone()) {
        *fit = fit::affine(group, most);
    }
    let largest = fits
        .iter()
        .fold((0.0f32, 0.0f32), |a, b| (a.0.max(b.0), a.1.max(b.1)));
    let [d, dmin] = [largest.0 / 63.0, largest.1 / 63.0].map(half::f16::from_f32);
    header[..2].copy_from_slice(&d.to_le_bytes());
    header[2..4].copy_from_slice(&dmin.to_le_bytes());
    let (d, dmin) = (d.to_f32(), dmin.to_f32());
    let six = |x: f32, unit: f32| {
        let inverse = if unit > 0.0 { 1.0 / unit } else { 0.0 };
        fit::round(x * inverse).clamp(0.0, 63.0) as u8
    };
    let packed = &mut header[4..16];
    packed.fill(0);
    let mut numbers = [0; 256];
    for (g, (fit, group)) in fits.iter().zip(groups).enumerate() {
        let (scale, minimum) = (six(fit.0, d), six(fit.1, dmin));
        if g < 4 {
            packed[g] |= scale;
            packed[4 + g] |= minimum;
        } else {
            packed[g - 4] |= scale >> 4 << 6;
            packed[g] |= minimum >> 4 << 6;
            packed[4 + g] = scale & 15 | minimum << 4;
        }
        let step = d * f32::from(scale);
        let inverse = if step > 0.0 { 1.0 / step } else { 0.0 };
        let shift = dmin * f32::from(minimum);
        for (q, v) in numbers[32 * g..].iter_mut().zip(group) {
            *q = fit::round(inverse * (v + shift)).clamp(0.0, most) as u8;
        }
    }
    numbers
}
