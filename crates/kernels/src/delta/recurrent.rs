//! The gated delta rule token by token.
//!
//! The columns of the state are independent, so a task takes a panel of columns
//! of one head through all tokens; the panel stays in the first-level cache.

use super::{DeltaShape, check, normalise};
use crate::compute::Compute;
use crate::isa::vectorized;
use crate::matrix::Rows;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd, padded};

/// Vectors of a panel.
const VECTORS: usize = 4;
const PANEL: usize = VECTORS * LANES;

/// A row of a panel, on whole cache lines.
#[derive(Clone)]
#[repr(align(64))]
struct Line([f32; PANEL]);

/// [`super::delta_rule`] token by token.
///
/// # Panics
/// If the lengths do not fit.
#[allow(clippy::too_many_arguments, reason = "the shape of the operation")]
pub fn delta_rule_recurrent(
    c: &Compute,
    shape: DeltaShape,
    q: Rows,
    k: Rows,
    v: Rows,
    g: &[f32],
    beta: &[f32],
    state: &mut [f32],
    out: &mut [f32],
) {
    let t = check(shape, q, k, v, g, beta, state, out);
    let DeltaShape {
        key_heads: nk,
        value_heads: nv,
        key_dim: dk,
        value_dim: dv,
    } = shape;
    let panels = dv.div_ceil(PANEL);
    let state = SharedMut::new(state);
    let out = SharedMut::new(out);
    c.split(nv * panels, t * dk * PANEL / 4, |range| {
        let mut keys = vec![0.0; dk];
        let mut queries = vec![0.0; dk];
        for item in range {
            let (h, panel) = (item / panels, item % panels);
            let first = panel * PANEL;
            let width = PANEL.min(dv - first);
            let kh = h / (nv / nk);
            let row = |i: usize| (h * dk + i) * dv + first;
            let mut s_panel = vec![Line([0.0; PANEL]); dk];
            for (i, Line(to)) in s_panel.iter_mut().enumerate() {
                // SAFETY: this panel of the state belongs to this item alone.
                to[..width].copy_from_slice(unsafe { state.slice(row(i)..row(i) + width) });
            }
            vectorized!(c.level(), |s| {
                for i in 0..t {
                    normalise(s, &k.row(i)[kh * dk..][..dk], 1.0, &mut keys);
                    let scale = 1.0 / (dk as f32).sqrt();
                    normalise(s, &q.row(i)[kh * dk..][..dk], scale, &mut queries);
                    let at = (i * nv + h) * dv + first;
                    // SAFETY: this part of the output belongs to this item alone.
                    let out = unsafe { out.slice(at..at + width) };
                    let v = &v.row(i)[h * dv + first..][..width];
                    let gates = [g[i * nv + h].exp(), beta[i * nv + h]];
                    step(s, &mut s_panel, &keys, &queries, v, gates, out);
                }
            });
            for (i, Line(from)) in s_panel.iter().enumerate() {
                // SAFETY: as above.
                unsafe { state.slice(row(i)..row(i) + width) }.copy_from_slice(&from[..width]);
            }
        }
    });
}

/// One token for one panel of the state.
#[inline(always)]
fn step<S: Simd>(
    s: S,
    state: &mut [Line],
    k: &[f32],
    q: &[f32],
    v: &[f32],
    [decay, beta]: [f32; 2],
    out: &mut [f32],
) {
    let vectors = |x: &[f32]| -> [S::V; VECTORS] {
        std::array::from_fn(|j| {
            let from = x.len().min(j * LANES);
            s.load(&padded(&x[from..x.len().min(from + LANES)]))
        })
    };
    let (decay, beta) = (s.splat(decay), s.splat(beta));
    let mut recalled = [s.zero(); VECTORS];
    for (Line(row), k) in state.iter().zip(k) {
        let k = s.splat(*k);
        let (row, _) = row.as_chunks::<LANES>();
        for j in 0..VECTORS {
            recalled[j] = s.fma(s.load(&row[j]), k, recalled[j]);
        }
    }
    let v = vectors(v);
    let delta: [S::V; VECTORS] =
        std::array::from_fn(|j| s.mul(s.sub(v[j], s.mul(recalled[j], decay)), beta));
    let mut result = [s.zero(); VECTORS];
    for ((Line(row), k), q) in state.iter_mut().zip(k).zip(q) {
        let (k, q) = (s.splat(*k), s.splat(*q));
        let (row, _) = row.as_chunks_mut::<LANES>();
        for j in 0..VECTORS {
            let x = s.fma(delta[j], k, s.mul(s.load(&row[j]), decay));
            s.store(x, &mut row[j]);
            result[j] = s.fma(x, q, result[j]);
        }
    }
    let mut lanes = [0.0; PANEL];
    for (lanes, result) in lanes.as_chunks_mut::<LANES>().0.iter_mut().zip(result) {
        s.store(result, lanes);
    }
    out.copy_from_slice(&lanes[..out.len()]);
}
