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

/// Activation rows whose results stay in registers from the first column to the last,
/// where there are enough of these.
const IN_REGISTERS: usize = 8;

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
    let mut first = 0;
    if S::ACCUMULATORS >= 2 * IN_REGISTERS {
        while first + IN_REGISTERS <= n {
            let out = &mut out[first..first + IN_REGISTERS];
            multiply_rows::<S, F, IN_REGISTERS>(s, tile, x, [first, n], out);
            first += IN_REGISTERS;
        }
    }
    if first < n {
        multiply_rows::<S, F, 0>(s, tile, x, [first, n], &mut out[first..]);
    }
}

/// The rows from `first` on of `n`: the `M` next ones with their results in registers,
/// or, for 0, all others.
#[inline(always)]
fn multiply_rows<S: Words, F: Integers, const M: usize>(
    s: S,
    tile: &[u8],
    x: &[Group],
    [first, n]: [usize; 2],
    out: &mut [[f32; LANES]],
) {
    let mut sums = [s.zero(); M];
    out.fill([0.0; LANES]);
    let groups = F::LEN / GROUP;
    let blocks = tile.chunks_exact(LANES * F::BYTES);
    for (block, x) in blocks.zip(x.chunks_exact(groups * n)) {
        // Later rows find the weights in a cache.
        let ask = |group: usize| {
            if first == 0 {
                ask_ahead::<F>(block, group);
            }
        };
        // Four written out, so that the last bits of a group's number, and with
        // them most shifts, are known to the compiler.
        for group in (0..groups).step_by(4) {
            let (x, _) = x[group * n..].split_at(n * (groups - group).min(4));
            ask(group);
            step::<S, F, M>(s, block, group, &x[first..n], &mut sums, out);
            if groups >= 4 {
                let x = |i: usize| &x[i * n + first..(i + 1) * n];
                ask(group + 1);
                step::<S, F, M>(s, block, group + 1, x(1), &mut sums, out);
                ask(group + 2);
                step::<S, F, M>(s, block, group + 2, x(2), &mut sums, out);
                ask(group + 3);
                step::<S, F, M>(s, block, group + 3, x(3), &mut sums, out);
            }
        }
    }
    for (sum, out) in sums.into_iter().zip(out) {
        s.store(sum, out);
    }
}

/// Adds one group of columns to the results of `M` rows in `sums`, or of all in `out`.
#[inline(always)]
fn step<S: Words, F: Integers, const M: usize>(
    s: S,
    block: &[u8],
    group: usize,
    x: &[Group],
    sums: &mut [S::V; M],
    out: &mut [[f32; LANES]],
) {
    let scales = F::scales(s, block, group);
    if M == 0 {
        let q = integers::<S, F>(s, block, group);
        return multiply_group::<S, F>(s, q, scales, x, out);
    }
    let x: &[Group; M] = x.first_chunk().expect("as many rows as sums");
    add_group::<S, F, M>(s, block, group, scales, x, sums);
}

/// Asks for this group's share of the bytes of a later block. A few lines at a time: a
/// whole block's at once would fill all the places for lines that are on their way, and
/// everything else would wait (measured: 15% for one row, 30% for eight).
#[inline(always)]
fn ask_ahead<F: Integers>(block: &[u8], group: usize) {
    let groups = F::LEN / GROUP;
    let line = |group: usize| (group * F::BYTES).div_ceil(4 * groups);
    let (from, to) = (line(group), line(group + 1));
    prefetch_behind(block.as_ptr(), AHEAD + 64 * from, to - from);
}

/// Adds one group of `M` rows of activations to their sums. Of the weights four columns
/// are taken at a time and multiplied with all rows: as many independent chains of
/// products as rows, and few registers.
#[inline(always)]
fn add_group<S: Words, F: Integers, const M: usize>(
    s: S,
    block: &[u8],
    group: usize,
    scales: Scales<S::V>,
    x: &[Group; M],
    sums: &mut [S::V; M],
) {
    let zero = s.word_splat(0);
    let (mut dots, mut below) = ([[zero; 2]; M], [[zero; 2]; M]);
    let mut about = About::Sums;
    for m in 0..M {
        let word = |i: usize, of: &[u32; 4]| s.word_splat(of[i].cast_signed());
        let (sums, offsets) = (&x[m].sums, &x[m].offsets);
        (dots[m], about) = start::<S, F>(s, scales, |i| word(i, sums), |i| word(i, offsets));
    }
    for half in 0..2 {
        // One chain if there is one sum.
        let at = if has_halves(scales) { half } else { 0 };
        for word in 0..4 {
            let q = quads::<S, F>(s, block, group, 4 * half + word);
            for m in 0..M {
                let x = column(s, &x[m], half, word);
                dots[m][at] = match F::QUANTS {
                    Quants::Signed => s.dot_signed(dots[m][at], q, x),
                    _ => s.dot(dots[m][at], q, x),
                };
            }
            if F::FINER {
                let q = F::finer(s, block, group, 4 * half + word);
                for m in 0..M {
                    below[m][at] = s.dot(below[m][at], q, column(s, &x[m], half, word));
                }
                s.in_order(&mut below, at);
            }
            s.in_order(&mut dots, at);
        }
    }
    for m in 0..M {
        if F::FINER {
            for half in 0..2 {
                dots[m][half] = s.word_add(s.word_shl(dots[m][half], 7), below[m][half]);
            }
        }
        let of = match about {
            About::Sums => &x[m].sums,
            About::Offsets => &x[m].offsets,
        };
        let about = |i: usize| s.word_splat(of[i].cast_signed());
        sums[m] = scaled::<S>(s, scales, dots[m], about, sums[m]);
    }
}

/// Four columns of one row of activations, in every word.
#[inline(always)]
fn column<S: Words>(s: S, x: &Group, half: usize, word: usize) -> S::W {
    // No closure of an array's: left a call, it would cost more than the product.
    let [a, b, c, d] = x.q[half].as_chunks::<4>().0[word];
    s.word_splat(i32::from_le_bytes([
        a.cast_unsigned(),
        b.cast_unsigned(),
        c.cast_unsigned(),
        d.cast_unsigned(),
    ]))
}

/// Activation rows that are computed together: enough independent chains of
/// products to hide their latency.
const TOGETHER: usize = 2;

/// Adds one group of columns to the results of all activation rows.
#[inline(always)]
fn multiply_group<S: Words, F: Integers>(
    s: S,
    q: [[[S::W; 4]; 2]; 2],
    scales: Scales<S::V>,
    x: &[Group],
    out: &mut [[f32; LANES]],
) {
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

/// The integers of a group of columns, four words of each half, and what is below them.
#[inline(always)]
fn integers<S: Words, F: Integers>(s: S, block: &[u8], group: usize) -> [[[S::W; 4]; 2]; 2] {
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
    [q, finer]
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
        let (all, offsets) = (s.four(&x[m].sums), s.four(&x[m].offsets));
        let (starts, needed) = start::<S, F>(
            s,
            scales,
            |i| s.word_of_four(all, i),
            |i| s.word_of_four(offsets, i),
        );
        about[m] = match needed {
            About::Sums => all,
            About::Offsets => offsets,
        };
        sums[m] = starts;
        columns[m] = [s.bytes_in_four(&x[m].q[0]), s.bytes_in_four(&x[m].q[1])];
    }
    // The finer bits beside the others: they take the same activations.
    let mut below = [[zero; 2]; M];
    for word in 0..4 {
        for half in 0..2 {
            for m in 0..M {
                let x = s.word_of_four(columns[m][half], word);
                sums[m][half] = match F::QUANTS {
                    Quants::Signed => s.dot_signed(sums[m][half], q[half][word], x),
                    _ => s.dot(sums[m][half], q[half][word], x),
                };
                if F::FINER {
                    below[m][half] = s.dot(below[m][half], finer[half][word], x);
                }
            }
        }
    }
    if F::FINER {
        for m in 0..M {
            for half in 0..2 {
                sums[m][half] = s.word_add(s.word_shl(sums[m][half], 7), below[m][half]);
            }
        }
    }
    for m in 0..M {
        let about = |i: usize| s.word_of_four(about[m], i);
        let sum = scaled::<S>(s, scales, sums[m], about, s.load(&out[m]));
        s.store(sum, &mut out[m]);
    }
}

/// `acc` and a group's sums of products times their scales; the first of `about` is the
/// scale of the activations.
#[inline(always)]
fn scaled<S: Words>(
    s: S,
    scales: Scales<S::V>,
    [a, b]: [S::W; 2],
    about: impl Fn(usize) -> S::W,
    acc: S::V,
) -> S::V {
    let scale = s.float_bits(about(0));
    match scales {
        Scales::One(d) => {
            let sum = s.integers(s.word_add(a, b));
            s.fma(sum, s.mul(d, scale), acc)
        }
        Scales::OneAffine(d, shift) => {
            let sum = s.integers(s.word_add(a, b));
            let acc = s.fma(shift, s.float_bits(about(1)), acc);
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
            let minus = |i| s.integers(about(i));
            let plus = s.fma(shift[0], minus(2), s.mul(shift[1], minus(3)));
            s.fma(s.sub(sum, plus), scale, acc)
        }
    }
}

/// Which four words of a [`Group`] its results need.
#[derive(Clone, Copy)]
enum About {
    Sums,
    Offsets,
}

/// Have the halves of a group scales of their own?
#[inline(always)]
fn has_halves<V>(scales: Scales<V>) -> bool {
    matches!(scales, Scales::Two(_) | Scales::TwoAffine(..))
}

/// Where the sums of the halves start, and what the results need besides products, the
/// first of which is the scale; without scales for halves, the whole sum is the first's.
/// `sums` and `offsets` give the words of the [`Group`].
#[inline(always)]
fn start<S: Words, F: Integers>(
    s: S,
    scales: Scales<S::V>,
    sums: impl Fn(usize) -> S::W,
    offsets: impl Fn(usize) -> S::W,
) -> ([S::W; 2], About) {
    let zero = s.word_splat(0);
    let halves = has_halves(scales);
    match F::QUANTS {
        Quants::Unsigned => ([zero; 2], About::Sums),
        // No such format has scales for halves.
        Quants::Signed => {
            let about = match scales {
                Scales::OneAffine(..) => About::Sums,
                _ => About::Offsets,
            };
            ([s.signed_start(offsets(1)), zero], about)
        }
        Quants::Above(5) if halves => ([offsets(2), offsets(3)], About::Offsets),
        Quants::Above(n) if halves => {
            let half = |i| s.word_shl(sums(i), n);
            ([half(2), half(3)], About::Sums)
        }
        Quants::Above(n) => ([s.word_shl(offsets(1), n), zero], About::Offsets),
    }
}
