//! The gated delta rule (Yang, Kautz and Hatamizadeh, 2024), the recurrence of
//! Gated DeltaNet layers.
//!
//! Per value head, with state `S` of `[key_dim, value_dim]`, decay `exp(g)` and
//! write strength `beta`:
//! `S *= exp(g)`; `S += k outer (beta * (v - S^T k))`; `out = S^T q`.

mod rule;

pub use rule::delta_rule;

use crate::math::sum_of_squares;
use crate::matrix::Rows;
use crate::simd::Simd;

/// Heads and their dimensions. Value head `h` uses the queries and keys of key
/// head `h / (value_heads / key_heads)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaShape {
    /// Heads of queries and keys.
    pub key_heads: usize,
    /// Heads of values and state, a multiple of `key_heads`.
    pub value_heads: usize,
    /// Dimensions of a query or key head.
    pub key_dim: usize,
    /// Dimensions of a value head.
    pub value_dim: usize,
}

/// Decay and write strength from their projections: `g = -exp(a_log) *
/// softplus(a + dt_bias)` and `beta = sigmoid(b)`; `a`, `b`, `g`, `beta` are
/// `[t, n]`, `a_log` and `dt_bias` are `[n]`.
///
/// # Panics
/// If the lengths do not fit.
pub fn delta_gates(
    a: &[f32],
    b: &[f32],
    a_log: &[f32],
    dt_bias: &[f32],
    g: &mut [f32],
    beta: &mut [f32],
) {
    let n = a_log.len();
    assert_eq!(dt_bias.len(), n, "delta_gates: one bias per head");
    crate::matmul::row_count("delta_gates input", a.len(), n);
    assert!(
        b.len() == a.len() && g.len() == a.len() && beta.len() == a.len(),
        "delta_gates: equal shapes"
    );
    let rates: Vec<f32> = a_log.iter().map(|x| -x.exp()).collect();
    for (i, (g, a)) in g.iter_mut().zip(a).enumerate() {
        *g = rates[i % n] * softplus(a + dt_bias[i % n]);
    }
    for (beta, b) in beta.iter_mut().zip(b) {
        *beta = 1.0 / (1.0 + (-b).exp());
    }
}

/// `ln(1 + e^x)`
fn softplus(x: f32) -> f32 {
    // Beyond 20 the two are equal in single precision.
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// Checks the lengths and returns the number of tokens.
#[allow(clippy::too_many_arguments, reason = "the shape of the operation")]
fn check(
    shape: DeltaShape,
    q: Rows,
    k: Rows,
    v: Rows,
    g: &[f32],
    beta: &[f32],
    state: &[f32],
    out: &[f32],
) -> usize {
    let DeltaShape {
        key_heads: nk,
        value_heads: nv,
        key_dim: dk,
        value_dim: dv,
    } = shape;
    assert!(
        nk > 0 && nv > 0 && nv.is_multiple_of(nk) && dk > 0 && dv > 0,
        "delta_rule: {shape:?}"
    );
    let t = crate::matmul::row_count("delta_rule decay", g.len(), nv);
    q.check("delta_rule queries", t, nk * dk);
    k.check("delta_rule keys", t, nk * dk);
    v.check("delta_rule values", t, nv * dv);
    assert_eq!(beta.len(), g.len(), "delta_rule: beta is [t, value_heads]");
    assert_eq!(
        state.len(),
        nv * dk * dv,
        "delta_rule: state is [value_heads, key_dim, value_dim]"
    );
    assert_eq!(
        out.len(),
        t * nv * dv,
        "delta_rule: output is [t, value_heads, value_dim]"
    );
    t
}

/// `to = x * scale / sqrt(sum of squares + 1e-6)`
#[inline(always)]
fn normalise<S: Simd>(s: S, x: &[f32], scale: f32, to: &mut [f32]) {
    let factor = scale / (sum_of_squares(s, x) + 1e-6).sqrt();
    for (to, x) in to.iter_mut().zip(x) {
        *to = x * factor;
    }
}
