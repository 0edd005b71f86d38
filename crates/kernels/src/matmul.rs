//! Products of weight matrices with activation rows, as parallel regions over
//! weight rows. Weights are read from memory once and in order.

use crate::compute::Compute;
use crate::input::Input;
use crate::matrix::Matrix;
use crate::multiply::multiply;
use crate::packed::{TILE, unpack_row};
use crate::shared::SharedMut;
use std::ops::Range;

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
    let shared = ws.iter().filter(|w| w.order().is_none());
    let input = Input::new(c, x, cols, shared.map(|w| w.format()));
    let ordered: Vec<_> = ws.iter().map(|w| input.in_order_of(c, w)).collect();
    let outs: Vec<_> = outs.iter_mut().map(|out| SharedMut::new(out)).collect();
    let length = rows_per_task(c, ws.iter().map(|w| (w.rows(), cols, t)));
    let work = split(ws.iter().map(|w| w.rows()), length);
    c.parallel(work.len(), &|task| {
        let (i, range) = &work[task];
        let w = ws[*i];
        let input = ordered[*i].as_ref().unwrap_or(&input);
        multiply(c.level(), w, range.clone(), input, &|t, row, results| {
            let at = t * w.rows() + row;
            // SAFETY: these columns of the output belong to this task alone.
            unsafe { outs[*i].slice(at..at + results.len()) }.copy_from_slice(results);
        });
    });
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
            unpack_row(c.level(), w, ids[i] as usize, out);
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

/// Weight rows per task, so that the `(rows, cols, activation rows)` of all
/// products balance the threads; whole groups of the next product's input.
pub(crate) fn rows_per_task(
    c: &Compute,
    matrices: impl Iterator<Item = (usize, usize, usize)>,
) -> usize {
    let (mut rows, mut work) = (0, 0usize);
    for (r, cols, t) in matrices {
        rows += r;
        // Taking a row apart costs about as much as multiplying it twice.
        work = work.saturating_add(r.saturating_mul(cols).saturating_mul(t + 2) / 64);
    }
    c.piece(rows, work / rows.max(1), 2 * TILE)
}

/// `0..items` in ranges of `length`.
pub(crate) fn pieces(items: usize, length: usize) -> impl Iterator<Item = Range<usize>> {
    (0..items)
        .step_by(length)
        .map(move |start| start..items.min(start + length))
}

/// All rows of all matrices, in ranges of `length`, with the matrix' index.
pub(crate) fn split(
    rows: impl Iterator<Item = usize>,
    length: usize,
) -> Vec<(usize, Range<usize>)> {
    rows.enumerate()
        .flat_map(|(i, rows)| pieces(rows, length).map(move |range| (i, range)))
        .collect()
}
