//! Root-mean-square normalisation (Zhang and Sennrich, 2019).

use crate::compute::Compute;
use crate::isa::vectorized;
use crate::math::{silu, sum_of_squares};
use crate::matmul::row_count;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd, padded};

/// `out = x / sqrt(mean(x^2) + eps) * weight` for each row of `x`, `[t, n]`;
/// `weight` is `[n]` and used as it is.
///
/// # Panics
/// If the lengths do not fit.
pub fn rms_norm(c: &Compute, x: &[f32], weight: &[f32], eps: f32, out: &mut [f32]) {
    let n = weight.len();
    let t = row_count("rms_norm input", x.len(), n);
    assert_eq!(
        out.len(),
        x.len(),
        "rms_norm: output is shaped as the input"
    );
    let out = SharedMut::new(out);
    c.split(t, n / 4, |range| {
        // SAFETY: these rows belong to this range alone.
        let out = unsafe { out.slice(range.start * n..range.end * n) };
        let x = &x[range.start * n..range.end * n];
        vectorized!(c.level(), |s| {
            for (x, out) in x.chunks_exact(n).zip(out.chunks_exact_mut(n)) {
                norm(s, x, None, weight, eps, out);
            }
        });
    });
}

/// `out = x / sqrt(mean(x^2) + eps) * weight * silu(gate)` for rows of the length
/// of `weight`; `x`, `gate` and `out` are `[t, n]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn gated_rms_norm(
    c: &Compute,
    x: &[f32],
    gate: &[f32],
    weight: &[f32],
    eps: f32,
    out: &mut [f32],
) {
    let n = weight.len();
    let t = row_count("gated_rms_norm input", x.len(), n);
    assert_eq!(
        gate.len(),
        x.len(),
        "gated_rms_norm: gate is shaped as the input"
    );
    assert_eq!(
        out.len(),
        x.len(),
        "gated_rms_norm: output is shaped as the input"
    );
    let out = SharedMut::new(out);
    c.split(t, n, |range| {
        // SAFETY: these rows belong to this range alone.
        let out = unsafe { out.slice(range.start * n..range.end * n) };
        let x = &x[range.start * n..range.end * n];
        let gate = &gate[range.start * n..range.end * n];
        vectorized!(c.level(), |s| {
            let rows = x.chunks_exact(n).zip(gate.chunks_exact(n));
            for ((x, gate), out) in rows.zip(out.chunks_exact_mut(n)) {
                norm(s, x, Some(gate), weight, eps, out);
            }
        });
    });
}

#[inline(always)]
fn norm<S: Simd>(s: S, x: &[f32], gate: Option<&[f32]>, weight: &[f32], eps: f32, out: &mut [f32]) {
    let mean = sum_of_squares(s, x) / x.len() as f32;
    let factor = s.splat(1.0 / (mean + eps).sqrt());
    let value = |x: &[f32; LANES], gate: Option<&[f32; LANES]>, w: &[f32; LANES]| {
        let y = s.mul(s.mul(s.load(x), factor), s.load(w));
        match gate {
            Some(gate) => s.mul(y, silu(s, s.load(gate))),
            None => y,
        }
    };
    let (xs, x_tail) = x.as_chunks::<LANES>();
    let (ws, w_tail) = weight.as_chunks::<LANES>();
    let (outs, out_tail) = out.as_chunks_mut::<LANES>();
    let gates = gate.map(|g| g.as_chunks::<LANES>());
    for (i, ((x, w), out)) in xs.iter().zip(ws).zip(outs).enumerate() {
        s.store(value(x, gates.map(|g| &g.0[i]), w), out);
    }
    if !x_tail.is_empty() {
        let gate = gates.map(|g| padded(g.1));
        let mut lanes = padded(&[]);
        s.store(
            value(&padded(x_tail), gate.as_ref(), &padded(w_tail)),
            &mut lanes,
        );
        out_tail.copy_from_slice(&lanes[..out_tail.len()]);
    }
}
