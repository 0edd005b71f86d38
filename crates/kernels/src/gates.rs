//! Element-wise gates and weighted sums of rows.

use crate::compute::Compute;
use crate::isa::vectorized;
use crate::math::{sigmoid, zip_into};
use crate::matmul::row_count;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd};

/// `x *= sigmoid(gate)`.
///
/// # Panics
/// If the lengths differ.
pub fn sigmoid_gate(c: &Compute, x: &mut [f32], gate: &[f32]) {
    assert_eq!(x.len(), gate.len(), "sigmoid_gate: one gate per value");
    const PIECE: usize = 256;
    let len = x.len();
    let x = SharedMut::new(x);
    c.split(len.div_ceil(PIECE), PIECE, |range| {
        let range = range.start * PIECE..len.min(range.end * PIECE);
        // SAFETY: this part belongs to this range alone.
        let x = unsafe { x.slice(range.clone()) };
        let gate = &gate[range];
        vectorized!(c.level(), |s| zip_into(s, x, gate, |x, g| s
            .mul(x, sigmoid(s, g))));
    });
}

/// `acc[t, n] += sigmoid(gate[t]) * y[t, n]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn add_scaled_sigmoid(c: &Compute, acc: &mut [f32], y: &[f32], gate: &[f32]) {
    assert_eq!(acc.len(), y.len(), "add_scaled_sigmoid: equal shapes");
    let t = gate.len();
    if t == 0 {
        assert!(acc.is_empty(), "add_scaled_sigmoid: one gate per row");
        return;
    }
    let n = acc.len() / t;
    assert_eq!(
        row_count("add_scaled_sigmoid", acc.len(), n.max(1)),
        n.min(1) * t
    );
    let acc = SharedMut::new(acc);
    c.split(t, n / 8, |range| {
        for i in range {
            // SAFETY: row `i` belongs to this range alone.
            let acc = unsafe { acc.slice(i * n..(i + 1) * n) };
            let y = &y[i * n..(i + 1) * n];
            vectorized!(c.level(), |s| {
                let factor = sigmoid(s, s.splat(gate[i]));
                zip_into(s, acc, y, |acc, y| s.fma(factor, y, acc));
            });
        }
    });
}

/// `out[t] = sum over j of weights[t, j] * x[rows[t, j]]` in the order of `j`, for
/// `weights` and `rows` of `[t, k]` and rows of `x` and `out` of equal width.
///
/// # Panics
/// If the lengths do not fit or a row is beyond `x`.
pub fn weighted_rows(
    c: &Compute,
    x: &[f32],
    rows: &[usize],
    weights: &[f32],
    k: usize,
    out: &mut [f32],
) {
    assert_eq!(
        rows.len(),
        weights.len(),
        "weighted_rows: one weight per row"
    );
    let t = row_count("weighted_rows", rows.len(), k);
    if t == 0 {
        return;
    }
    let n = out.len() / t;
    assert_eq!(out.len(), t * n, "weighted_rows: output is [{t}, n]");
    let out = SharedMut::new(out);
    c.split(t, k * n / LANES, |range| {
        for i in range {
            // SAFETY: row `i` belongs to this range alone.
            let out = unsafe { out.slice(i * n..(i + 1) * n) };
            out.fill(0.0);
            vectorized!(c.level(), |s| {
                for j in i * k..(i + 1) * k {
                    let factor = s.splat(weights[j]);
                    let row = &x[rows[j] * n..(rows[j] + 1) * n];
                    zip_into(s, out, row, |out, y| s.fma(factor, y, out));
                }
            });
        }
    });
}
