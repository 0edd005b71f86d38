//! The product of a range of weight rows with activation rows, on one thread.
//!
//! Rows of floats are taken four at a time, piece by piece: a piece becomes single
//! precision in a buffer that stays in the first-level cache and is multiplied
//! with all activation rows. A result is the sum of sixteen partial sums over the
//! columns. Weights in tiles are taken tile by tile (see `dot.rs`, `scaled.rs`). Either way the
//! order of additions depends on nothing but the number of columns.

use crate::activations::BATCH;
use crate::dot::{Integers, multiply_tile};
use crate::formats::{dequantize, multiply_tiled};
use crate::input::Input;
use crate::isa::{Level, vectorized};
use crate::math::sum_of_products;
use crate::matmul::pieces;
use crate::matrix::Matrix;
use crate::packed::{TILE, unpack_row};
use crate::scaled::{Scaled, multiply_scaled};
use crate::simd::{Simd, Words, prefetch};
use crate::tile::{ROWS, dot_rows};
use std::ops::Range;

/// Columns that are dequantized at a time, a multiple of every block length.
const PIECE: usize = 256;

/// Takes results: `(t, row, results)` are those of input row `t` with the weight
/// rows from `row` on. Not a type parameter, so that the kernels are compiled once.
pub(crate) type Results<'a> = dyn Fn(usize, usize, &[f32]) + 'a;

/// Multiplies the rows `range` of `w`, which begins at a tile, with the rows of
/// `input` and hands the results to `out`.
pub(crate) fn multiply(level: Level, w: Matrix, range: Range<usize>, input: &Input, out: &Results) {
    if w.cols() == 0 {
        return;
    }
    if !multiply_tiled(level, w, range.clone(), input, out) {
        vectorized!(level, |s| multiply_rows(s, level, w, range, input, out));
    }
}

/// Results of a tile. On whole cache lines, because they are read and written for
/// every group of columns.
#[repr(align(64))]
struct Sums([[f32; TILE]; BATCH]);

#[inline(always)]
pub(crate) fn multiply_tiles<S: Words, F: Integers>(
    s: S,
    w: Matrix,
    range: Range<usize>,
    input: &Input,
    out: &Results,
) {
    let input = input.quantized();
    let mut results = Sums([[0.0; TILE]; BATCH]);
    for batch in pieces(input.rows(), BATCH) {
        let x = input.batch(batch.start);
        let results = &mut results.0[..batch.len()];
        for row in range.clone().step_by(TILE) {
            multiply_tile::<S, F>(s, w.tile(row / TILE), x, results);
            let rows = TILE.min(range.end - row);
            for (i, results) in results.iter().enumerate() {
                out(batch.start + i, row, &results[..rows]);
            }
        }
    }
}

/// The same for floats that share scales.
#[inline(always)]
pub(crate) fn multiply_scaled_tiles<S: Simd, F: Scaled>(
    s: S,
    w: Matrix,
    range: Range<usize>,
    input: &Input,
    out: &Results,
) {
    let mut results = Sums([[0.0; TILE]; BATCH]);
    for batch in pieces(input.rows(), BATCH) {
        let results = &mut results.0[..batch.len()];
        let x = |i: usize| input.row(batch.start + i);
        for row in range.clone().step_by(TILE) {
            multiply_scaled::<S, F>(s, w.tile(row / TILE), &x, results);
            let rows = TILE.min(range.end - row);
            for (i, results) in results.iter().enumerate() {
                out(batch.start + i, row, &results[..rows]);
            }
        }
    }
}

/// Row by row, without any knowledge of the formats: what the other ways are
/// tested against.
pub(crate) fn multiply_unpacked(
    level: Level,
    w: Matrix,
    range: Range<usize>,
    input: &Input,
    out: &Results,
) {
    let input = input.quantized();
    let rows: Vec<Vec<f32>> = (0..input.rows()).map(|i| input.values(i)).collect();
    let mut weights = vec![0.0; w.cols()];
    for row in range {
        unpack_row(level, w, row, &mut weights);
        for (i, x) in rows.iter().enumerate() {
            let product = vectorized!(level, |s| sum_of_products(s, &weights, x));
            out(i, row, &[product]);
        }
    }
}

/// Dequantized pieces of weight rows, on whole cache lines.
#[repr(align(64))]
struct Buffer([[f32; PIECE]; ROWS]);

#[inline(always)]
fn multiply_rows<S: Simd>(
    s: S,
    level: Level,
    w: Matrix,
    range: Range<usize>,
    input: &Input,
    out: &Results,
) {
    let cols = w.cols();
    let mut buffer = Buffer([[0.0; PIECE]; ROWS]);
    let buffer = &mut buffer.0;
    let mut sums = [[s.zero(); ROWS]; BATCH];
    for batch in pieces(input.rows(), BATCH) {
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
                let input = |i: usize| &input.row(batch.start + i)[piece.clone()];
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
