//! Products of weight matrices with activation rows.
//!
//! A task takes some weight rows, dequantizes four at a time, piece by piece,
//! into a buffer that stays in the first-level cache, and multiplies the piece
//! with all activation rows. Weights are read from memory once and in order, the
//! next rows being prefetched meanwhile. A result is the sum of sixteen partial
//! sums over the columns, in an order that depends on nothing but the number of
//! columns: not on threads, grouping, or how many activation rows there are.

use crate::compute::Compute;
use crate::formats::dequantize;
use crate::isa::{Level, vectorized};
use crate::matrix::Matrix;
use crate::shared::SharedMut;
use crate::simd::{Simd, prefetch};
use crate::tile::{ROWS, dot_rows};
use std::ops::Range;

/// Columns that are dequantized at a time, a multiple of every block length.
const PIECE: usize = 1024;

/// Activation rows that share one dequantization.
const BATCH: usize = 64;

/// `out[t, rows] = x[t, cols] * w^T`.
///
/// # Panics
/// If `x` or `out` does not fit `w`.
pub fn matmul(c: &Compute, w: Matrix, x: &[f32], out: &mut [f32]) {
    matmul_many(c, &[w], x, &mut [out]);
}

/// `outs[i] = x * ws[i]^T` for matrices of equal width, as one parallel region.
///
/// # Panics
/// If the widths differ, or `x` or an output does not fit.
pub fn matmul_many(c: &Compute, ws: &[Matrix], x: &[f32], outs: &mut [&mut [f32]]) {
    assert_eq!(ws.len(), outs.len(), "matmul: one output per matrix");
    let Some(first) = ws.first() else { return };
    let cols = first.cols();
    let t = row_count("matmul input", x.len(), cols);
    for (w, out) in ws.iter().zip(&*outs) {
        assert_eq!(w.cols(), cols, "matmul: matrices of equal width");
        assert_eq!(
            out.len(),
            t * w.rows(),
            "matmul: output is [{t}, {}]",
            w.rows()
        );
    }
    let products: Vec<Product> = ws
        .iter()
        .zip(outs)
        .map(|(w, out)| Product {
            w: *w,
            x,
            out: SharedMut::new(out),
        })
        .collect();
    run(c, &products);
}

/// `out[i] = w[ids[i]]`, dequantized: the rows of an embedding.
///
/// # Panics
/// If an id is not a row of `w`, or `out` is not `[ids, cols]`.
pub fn rows(c: &Compute, w: Matrix, ids: &[u32], out: &mut [f32]) {
    let cols = w.cols();
    assert_eq!(out.len(), ids.len() * cols, "rows: output is [ids, cols]");
    assert!(
        ids.iter().all(|id| (*id as usize) < w.rows()),
        "rows: an id is beyond the {} rows",
        w.rows()
    );
    let out = SharedMut::new(out);
    c.split(ids.len(), cols / 8, |range| {
        for i in range {
            // SAFETY: row `i` belongs to this range alone.
            let out = unsafe { out.slice(i * cols..(i + 1) * cols) };
            dequantize(c.level(), w.format(), w.row(ids[i] as usize), out);
        }
    });
}

/// The number of rows of `width` in `len` floats.
pub(crate) fn row_count(what: &str, len: usize, width: usize) -> usize {
    if width == 0 {
        assert_eq!(len, 0, "{what}: rows of width 0");
        return 0;
    }
    assert!(
        len.is_multiple_of(width),
        "{what}: {len} floats are not rows of {width}"
    );
    len / width
}

/// One product of a parallel region: `out[t, rows] = x * w^T`.
pub(crate) struct Product<'a> {
    pub(crate) w: Matrix<'a>,
    pub(crate) x: &'a [f32],
    pub(crate) out: SharedMut<'a, f32>,
}

impl Product<'_> {
    fn batch(&self) -> usize {
        self.x.len() / self.w.cols().max(1)
    }
}

/// Weight rows per task, so that the rows of all `products` balance the threads.
pub(crate) fn rows_per_task(
    c: &Compute,
    matrices: impl Iterator<Item = (usize, usize, usize)>,
) -> usize {
    let (mut rows, mut work) = (0, 0usize);
    for (r, cols, t) in matrices {
        rows += r;
        // Dequantizing a row costs about as much as multiplying it four times.
        work = work.saturating_add(r.saturating_mul(cols).saturating_mul(t + 4) / 16);
    }
    c.piece(rows, work / rows.max(1), ROWS)
}

/// Runs all products in one parallel region.
fn run(c: &Compute, products: &[Product]) {
    let length = rows_per_task(
        c,
        products.iter().map(|p| (p.w.rows(), p.w.cols(), p.batch())),
    );
    let pieces: Vec<(usize, Range<usize>)> = products
        .iter()
        .enumerate()
        .flat_map(|(i, p)| pieces(p.w.rows(), length).map(move |range| (i, range)))
        .collect();
    c.parallel(pieces.len(), &|task| {
        let (i, range) = &pieces[task];
        let p = &products[*i];
        let rows = p.w.rows();
        let first = range.start;
        multiply(c.level(), p.w, range.clone(), p.x, |t, row, results| {
            let at = t * rows + row;
            // SAFETY: these columns of the output belong to this task alone.
            let out = unsafe { p.out.slice(at..at + results.len()) };
            debug_assert!(row >= first);
            out.copy_from_slice(results);
        });
    });
}

/// `0..items` in ranges of `length`.
pub(crate) fn pieces(items: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..items)
        .step_by(length)
        .map(move |start| start..items.min(start + length))
}

/// Multiplies the rows `range` of `w` with the rows of `x` and hands the results
/// to `out(t, row, results)`: those of activation row `t` with `w`'s rows from
/// `row` on.
pub(crate) fn multiply(
    level: Level,
    w: Matrix,
    range: Range<usize>,
    x: &[f32],
    out: impl Fn(usize, usize, &[f32]),
) {
    vectorized!(level, |s| multiply_with(s, level, w, range, x, out));
}

/// Dequantized pieces of weight rows, on whole cache lines.
#[repr(align(64))]
struct Buffer([[f32; PIECE]; ROWS]);

#[inline(always)]
fn multiply_with<S: Simd>(
    s: S,
    level: Level,
    w: Matrix,
    range: Range<usize>,
    x: &[f32],
    out: impl Fn(usize, usize, &[f32]),
) {
    let cols = w.cols();
    if cols == 0 {
        return;
    }
    let t = x.len() / cols;
    let mut buffer = Buffer([[0.0; PIECE]; ROWS]);
    let buffer = &mut buffer.0;
    let mut sums = [[s.zero(); ROWS]; BATCH];
    for batch in pieces(t, BATCH) {
        let mut row = range.start;
        while row < range.end {
            let rows = ROWS.min(range.end - row);
            let sums = &mut sums[..batch.len()];
            sums.fill([s.zero(); ROWS]);
            for piece in pieces(cols, PIECE) {
                let bytes = piece_bytes(w, &piece);
                for (i, buffer) in buffer.iter_mut().enumerate().take(rows) {
                    if row + i + ROWS < range.end {
                        prefetch(&w.row(row + i + ROWS)[bytes.clone()]);
                    }
                    let values = &mut buffer[..piece.len()];
                    dequantize(level, w.format(), &w.row(row + i)[bytes.clone()], values);
                }
                let weights = [0, 1, 2, 3].map(|i: usize| &buffer[i][..piece.len()]);
                let input = |i: usize| &x[(batch.start + i) * cols..][piece.clone()];
                dot_rows(s, weights, input, sums);
            }
            for (i, sums) in sums.iter().enumerate() {
                out(batch.start + i, row, &s.sum4(*sums)[..rows]);
            }
            row += rows;
        }
    }
}

/// Where in the bytes of a row the columns `piece` are.
#[inline(always)]
fn piece_bytes(w: Matrix, piece: &Range<usize>) -> Range<usize> {
    let (len, bytes) = (w.format().block_len(), w.format().block_bytes());
    piece.start / len * bytes..piece.end / len * bytes
}
