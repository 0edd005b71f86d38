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

    /// Do seven more bits follow below the integers? Of a table of sixteen reals,
    /// two tables of whole numbers come closer than one: its entries are
    /// `128 * quants + finer`. Only for [`Quants::Unsigned`].
    const FINER: bool = false;

    /// Those bits of [`Integers::quants`], from 0 to 127.
    #[inline(always)]
    fn finer<S: Words>(s: S, _block: &[u8], _group: usize, _word: usize) -> S::W {
        s.word_splat(0)
    }

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

/// Activation rows that are computed together: enough independent chains of
/// products to hide their latency.
const TOGETHER: usize = 2;

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
    let mut finer = [[s.word_splat(0); 4]; 2];
    if F::FINER {
        for (half, finer) in finer.iter_mut().enumerate() {
            for (word, finer) in finer.iter_mut().enumerate() {
                *finer = F::finer(s, block, group, 4 * half + word);
            }
        }
    }
    let q = [q, finer];
    let scales = F::scales(s, block, group);
    let (x, last) = x.as_chunks::<TOGETHER>();
    let (out, last_out) = out.as_chunks_mut::<TOGETHER>();
    for (x, out) in x.iter().zip(out) {
        multiply_together::<S, F, TOGETHER>(s, q, scales, x, out);
    }
    for (x, out) in last.iter().zip(last_out) {
        let (x, out) = (std::array::from_ref(x), std::array::from_mut(out));
        multiply_together::<S, F, 1>(s, q, scales, x, out);
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

#[inline(always)]
fn multiply_together<S: Words, F: Integers, const M: usize>(
    s: S,
    [q, finer]: [[[S::W; 4]; 2]; 2],
    scales: Scales<S::V>,
    x: &[Group; M],
    out: &mut [[f32; LANES]; M],
) {
    let zero = s.word_splat(0);
    let (mut about, mut sums) = ([zero; M], [[zero; 2]; M]);
    let mut columns = [[zero; 2]; M];
    for m in 0..M {
        (about[m], sums[m]) = start::<S, F>(s, &x[m], scales);
        columns[m] = [s.bytes_in_four(&x[m].q[0]), s.bytes_in_four(&x[m].q[1])];
    }
    for word in 0..4 {
        for half in 0..2 {
            for m in 0..M {
                let (q, x) = (q[half][word], s.word_of_four(columns[m][half], word));
                sums[m][half] = match F::QUANTS {
                    Quants::Signed => s.dot_signed(sums[m][half], q, x),
                    _ => s.dot(sums[m][half], q, x),
                };
            }
        }
    }
    if F::FINER {
        for sums in &mut sums {
            *sums = [s.word_shl(sums[0], 7), s.word_shl(sums[1], 7)];
        }
        for (word, (a, b)) in finer[0].iter().zip(&finer[1]).enumerate() {
            for (half, finer) in [*a, *b].into_iter().enumerate() {
                for m in 0..M {
                    let x = s.word_of_four(columns[m][half], word);
                    sums[m][half] = s.dot(sums[m][half], finer, x);
                }
            }
        }
    }
    for m in 0..M {
        let (about, [a, b]) = (about[m], sums[m]);
        let scale = s.float_bits(s.word_of_four(about, 0));
        let acc = s.load(&out[m]);
        let sum = match scales {
            Scales::One(d) => {
                let sum = s.integers(s.word_add(a, b));
                s.fma(sum, s.mul(d, scale), acc)
            }
            Scales::OneAffine(d, shift) => {
                let sum = s.integers(s.word_add(a, b));
                let acc = s.fma(shift, s.float_bits(s.word_of_four(about, 1)), acc);
                s.fma(sum, s.mul(d, scale), acc)
            }
            Scales::Two(d) => {
                let sum = s.mul(s.integers(a), d[0]);
                let sum = s.fma(s.integers(b), d[1], sum);
                s.fma(sum, scale, acc)
            }
            Scales::TwoAffine(d, shift) => {
                let sum = s.mul(s.integers(a), d[0]);
                let sum = s.fma(s.integers(b), d[1], sum);
                let minus = |i| s.integers(s.word_of_four(about, i));
                let plus = s.fma(shift[0], minus(2), s.mul(shift[1], minus(3)));
                s.fma(s.sub(sum, plus), scale, acc)
            }
        };
        s.store(sum, &mut out[m]);
    }
}

/// What the results of a row need besides products, in four words of which the
/// first is the scale, and where the sums of the halves start; without scales for
/// halves, the whole sum is the first's.
#[inline(always)]
fn start<S: Words, F: Integers>(s: S, x: &Group, scales: Scales<S::V>) -> (S::W, [S::W; 2]) {
    let zero = s.word_splat(0);
    let sums = s.four(&x.sums);
    let offsets = s.four(&x.offsets);
    let halves = matches!(scales, Scales::Two(_) | Scales::TwoAffine(..));
    match F::QUANTS {
        Quants::Unsigned => (sums, [zero; 2]),
        // No such format has scales for halves.
        Quants::Signed => {
            let minus = s.word_of_four(offsets, 1);
            let affine = matches!(scales, Scales::OneAffine(..));
            let about = if affine { sums } else { offsets };
            (about, [s.signed_start(minus), zero])
        }
        Quants::Above(5) if halves => {
            let minus_32 = [s.word_of_four(offsets, 2), s.word_of_four(offsets, 3)];
            (offsets, minus_32)
        }
        Quants::Above(n) if halves => {
            let half = |i| s.word_shl(s.word_of_four(sums, i), n);
            (sums, [half(2), half(3)])
        }
        Quants::Above(n) => {
            let minus = s.word_of_four(offsets, 1);
            (offsets, [s.word_shl(minus, n), zero])
        }
    }
}
