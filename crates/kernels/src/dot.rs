//! Products of tiles of integer weights with activations of signed bytes.
//!
//! A tile has sixteen rows, one per lane, so no sum runs across lanes. Within a
//! group of columns that share a scale the products are integers and exact; the
//! groups are added as floats in the order of the columns. A result thus depends
//! neither on threads, nor on how many activation rows are computed together,
//! nor on which vector instructions are used.

use crate::activations::{GROUP, Group};
use crate::formats::Blocks;
use crate::simd::{LANES, Words, prefetch_behind};

/// What the integers of a format count from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quants {
    /// From 0 to 127, of which `1 << n` is subtracted.
    Above(u32),
    /// From 0 to 127.
    Unsigned,
    /// From -128 to 127.
    Signed,
}

/// Sixteen factors and summands per scale: `value = factor * integer + summand`.
#[derive(Clone, Copy)]
pub(crate) enum Scales<V> {
    /// For a whole group.
    One(V),
    OneAffine(V, V),
    /// For each half.
    Two([V; 2]),
    TwoAffine([V; 2], [V; 2]),
}

/// A format whose values are integers with scales.
pub(crate) trait Integers: Blocks {
    /// The numbers a block consists of, in order: bytes of each, and how many.
    const NUMBERS: &'static [(usize, usize)];
    const QUANTS: Quants;

    /// Four columns of a group of 32 in a tile's block: those from `4 * word` on.
    fn quants<S: Words>(s: S, block: &[u8], group: usize, word: usize) -> S::W;

    /// The scales of a group.
    fn scales<S: Words>(s: S, block: &[u8], group: usize) -> Scales<S::V>;
}

/// How far ahead of its use a weight is asked for, in bytes.
const AHEAD: usize = 4608;

/// `out[m] = x[m] * tile^T`. `x` holds the groups of activations in the order of
/// the columns, each for all activation rows.
#[inline(always)]
pub(crate) fn multiply_tile<S: Words, F: Integers>(
    s: S,
    tile: &[u8],
    x: &[Group],
    out: &mut [[f32; LANES]],
) {
    let n = out.len();
    let groups = F::LEN / GROUP;
    out.fill([0.0; LANES]);
    let blocks = tile.chunks_exact(LANES * F::BYTES);
    for (block, x) in blocks.zip(x.chunks_exact(groups * n)) {
        prefetch_behind(block.as_ptr(), AHEAD, F::BYTES / 4);
        // Four written out, so that the last bits of a group's number, and with
        // them most shifts, are known to the compiler.
        for first in (0..groups).step_by(4) {
            let (x, _) = x[first * n..].split_at(n * (groups - first).min(4));
            multiply_group::<S, F>(s, block, first, &x[..n], out);
            if groups >= 4 {
                multiply_group::<S, F>(s, block, first + 1, &x[n..2 * n], out);
                multiply_group::<S, F>(s, block, first + 2, &x[2 * n..3 * n], out);
                multiply_group::<S, F>(s, block, first + 3, &x[3 * n..], out);
            }
        }
    }
}

/// Adds one group of columns to the results of all activation rows.
#[inline(always)]
fn multiply_group<S: Words, F: Integers>(
    s: S,
    block: &[u8],
    group: usize,
    x: &[Group],
    out: &mut [[f32; LANES]],
) {
    let q = [
        [
            quads::<S, F>(s, block, group, 0),
            quads::<S, F>(s, block, group, 1),
            quads::<S, F>(s, block, group, 2),
            quads::<S, F>(s, block, group, 3),
        ],
        [
            quads::<S, F>(s, block, group, 4),
            quads::<S, F>(s, block, group, 5),
            quads::<S, F>(s, block, group, 6),
            quads::<S, F>(s, block, group, 7),
        ],
    ];
    let scales = F::scales(s, block, group);
    for (x, out) in x.iter().zip(out) {
        let acc = s.load(out);
        let sum = match scales {
            Scales::One(d) => {
                let sum = s.integers(whole::<S, F>(s, q, x));
                s.fma(sum, s.mul(d, s.splat(x.scale)), acc)
            }
            Scales::OneAffine(d, shift) => {
                let sum = s.integers(whole::<S, F>(s, q, x));
                let acc = s.fma(shift, s.splat(x.total), acc);
                s.fma(sum, s.mul(d, s.splat(x.scale)), acc)
            }
            Scales::Two(d) => {
                let sum = s.mul(s.integers(half::<S, F>(s, q, x, 0)), d[0]);
                let sum = s.fma(s.integers(half::<S, F>(s, q, x, 1)), d[1], sum);
                s.fma(sum, s.splat(x.scale), acc)
            }
            Scales::TwoAffine(d, shift) => {
                let sum = s.mul(s.integers(half::<S, F>(s, q, x, 0)), d[0]);
                let sum = s.fma(s.integers(half::<S, F>(s, q, x, 1)), d[1], sum);
                let sum = s.fma(shift[0], s.splat(-(x.minus_sums[0] as f32)), sum);
                let sum = s.fma(shift[1], s.splat(-(x.minus_sums[1] as f32)), sum);
                s.fma(sum, s.splat(x.scale), acc)
            }
        };
        s.store(sum, out);
    }
}

#[inline(always)]
fn quads<S: Words, F: Integers>(s: S, block: &[u8], group: usize, word: usize) -> S::W {
    let q = F::quants(s, block, group, word);
    match F::QUANTS {
        Quants::Signed => s.signed_quads(q),
        Quants::Above(_) | Quants::Unsigned => q,
    }
}

/// The sum of products of a group.
#[inline(always)]
fn whole<S: Words, F: Integers>(s: S, q: [[S::W; 4]; 2], x: &Group) -> S::W {
    let start = match F::QUANTS {
        Quants::Above(n) => s.word_shl(s.word_splat(x.minus_sums[0] + x.minus_sums[1]), n),
        Quants::Unsigned => s.word_splat(0),
        Quants::Signed => s.signed_start(x.minus_128),
    };
    let start = chain::<S, F>(s, start, q[0], x, 0);
    chain::<S, F>(s, start, q[1], x, 1)
}

/// The sum of products of half a group. No format with signed integers has scales
/// for halves.
#[inline(always)]
fn half<S: Words, F: Integers>(s: S, q: [[S::W; 4]; 2], x: &Group, half: usize) -> S::W {
    let start = match F::QUANTS {
        Quants::Above(5) => s.word_splat(x.minus_32[half]),
        Quants::Above(n) => s.word_shl(s.word_splat(x.minus_sums[half]), n),
        Quants::Unsigned | Quants::Signed => s.word_splat(0),
    };
    chain::<S, F>(s, start, q[half], x, half)
}

#[inline(always)]
fn chain<S: Words, F: Integers>(s: S, start: S::W, q: [S::W; 4], x: &Group, half: usize) -> S::W {
    let (x, _) = x.q.as_chunks::<4>();
    let mut sum = start;
    for (word, q) in q.into_iter().enumerate() {
        let x = s.quad(&x[4 * half + word]);
        sum = match F::QUANTS {
            Quants::Signed => s.dot_signed(sum, q, x),
            _ => s.dot(sum, q, x),
        };
    }
    sum
}
