//! Products of tiles of small floats that share scales with activations in single
//! precision.
//!
//! As with integers a tile has sixteen rows, one per lane. A block's products are
//! added up column by column, even and odd ones apart, then scaled and added to the
//! results, so that these depend on nothing but the number of columns.

use crate::formats::Blocks;
use crate::simd::{LANES, Simd, prefetch_behind};

/// A format whose values are small floats, with one scale per block.
pub(crate) trait Scaled: Blocks {
    /// The numbers a block consists of, in order: bytes of each, and how many.
    const NUMBERS: &'static [(usize, usize)];

    /// The scales of a tile's block.
    fn scale<S: Simd>(s: S, block: &[u8]) -> S::V;

    /// The numbers of column `i` of a tile's block.
    fn column<S: Simd>(s: S, block: &[u8], i: usize) -> S::V;
}

/// How far ahead of its use a weight is asked for, in bytes.
const AHEAD: usize = 4608;

/// `out[m] = x(m) * tile^T`.
#[inline(always)]
pub(crate) fn multiply_scaled<'x, S: Simd, F: Scaled>(
    s: S,
    tile: &[u8],
    x: &impl Fn(usize) -> &'x [f32],
    out: &mut [[f32; LANES]],
) {
    out.fill([0.0; LANES]);
    for (i, block) in tile.chunks_exact(LANES * F::BYTES).enumerate() {
        let columns = i * F::LEN..(i + 1) * F::LEN;
        let mut first = 0;
        if S::ACCUMULATORS >= 16 {
            while first + 8 <= out.len() {
                let mut rows: [&[f32]; 8] = [&[]; 8];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = &x(first + i)[columns.clone()];
                }
                multiply_block::<S, F, 8>(s, block, rows, &mut out[first..]);
                first += 8;
            }
        }
        if S::ACCUMULATORS >= 8 {
            while first + 4 <= out.len() {
                let mut rows: [&[f32]; 4] = [&[]; 4];
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = &x(first + i)[columns.clone()];
                }
                multiply_block::<S, F, 4>(s, block, rows, &mut out[first..]);
                first += 4;
            }
        }
        while first + 2 <= out.len() {
            let rows = [&x(first)[columns.clone()], &x(first + 1)[columns.clone()]];
            multiply_block::<S, F, 2>(s, block, rows, &mut out[first..]);
            first += 2;
        }
        if first < out.len() {
            let rows = [&x(first)[columns.clone()]];
            multiply_block::<S, F, 1>(s, block, rows, &mut out[first..]);
        }
    }
}

/// Adds a block's products with `M` activation rows, of its own columns.
#[inline(always)]
fn multiply_block<S: Simd, F: Scaled, const M: usize>(
    s: S,
    block: &[u8],
    x: [&[f32]; M],
    out: &mut [[f32; LANES]],
) {
    /// Columns whose weights fill whole cache lines.
    const STEP: usize = 8;
    let mut sums = [[s.zero(); 2]; M];
    for first in (0..F::LEN).step_by(STEP) {
        prefetch_behind(block[LANES * first..].as_ptr(), AHEAD, STEP * LANES / 64);
        for i in (first..first + STEP).step_by(2) {
            let (even, odd) = (F::column(s, block, i), F::column(s, block, i + 1));
            for m in 0..M {
                sums[m][0] = s.fma(even, s.splat(x[m][i]), sums[m][0]);
                sums[m][1] = s.fma(odd, s.splat(x[m][i + 1]), sums[m][1]);
            }
        }
    }
    let scale = F::scale(s, block);
    for m in 0..M {
        let sum = s.add(sums[m][0], sums[m][1]);
        let sum = s.fma(sum, scale, s.load(&out[m]));
        s.store(sum, &mut out[m]);
    }
}
