//! What attention and DeltaNet layers need besides products and norms. Those that
//! read or extend a session's state take the tokens of that session.

use std::ops::Range;

use moestro_cuda as cuda;
use moestro_kernels::{self as kernels, DeltaShape, Rows};

use super::array::{Array, apart, span};
use crate::blueprint::AttentionShape;
use crate::error::Result;
use crate::layers::Context;
use crate::state::{DeltaState, KvCache};

/// The angles of a layer, where it is computed.
pub enum RopeTable {
    Host(kernels::RopeTable),
    Gpu(cuda::RopeTable),
}

impl RopeTable {
    /// For the first `rotary_dims` dimensions of a head; `gpu` is where to keep it.
    pub fn new(gpu: Option<&cuda::Gpu>, rotary_dims: usize, theta: f64) -> Result<RopeTable> {
        let table = kernels::RopeTable::new(rotary_dims, theta);
        Ok(match gpu {
            None => RopeTable::Host(table),
            Some(gpu) => RopeTable::Gpu(cuda::RopeTable::new(gpu, &table)?),
        })
    }
}

/// Of each head's two rows the first, its query, and the second, its gate.
pub fn split_gate(cx: Context, projected: Array, dim: usize) -> Result<(Array, Array)> {
    match projected {
        Array::Gpu(projected) => {
            let (q, gate) = cuda::split_gate(cx.gpu(), &projected, dim)?;
            Ok((Array::Gpu(q), Array::Gpu(gate)))
        }
        Array::Host(projected) => {
            let mut q = Vec::with_capacity(projected.len() / 2);
            let mut gate = Vec::with_capacity(projected.len() / 2);
            for head in projected.chunks_exact(2 * dim) {
                q.extend_from_slice(&head[..dim]);
                gate.extend_from_slice(&head[dim..]);
            }
            Ok((Array::Host(q), Array::Host(gate)))
        }
    }
}

/// Rotates the heads of `tokens`, the first of which is at `position`.
pub fn rope(
    cx: Context,
    table: &RopeTable,
    x: &mut Array,
    tokens: &Range<usize>,
    [heads, dim]: [usize; 2],
    position: usize,
) -> Result<()> {
    match (table, x) {
        (RopeTable::Host(table), Array::Host(x)) => {
            let x = &mut x[span(tokens, heads * dim)];
            kernels::rope(cx.compute, table, x, heads, dim, position);
        }
        (RopeTable::Gpu(table), Array::Gpu(x)) => {
            cuda::rope(cx.gpu(), table, x, tokens.clone(), heads, dim, position)?;
        }
        _ => apart(),
    }
    Ok(())
}

/// Appends keys and values of `tokens`, the first of which is at `position`, to
/// their session's cache and lets their queries see all of it.
#[allow(clippy::too_many_arguments, reason = "the operands of attention")]
pub fn attention(
    cx: Context,
    shape: &AttentionShape,
    q: &Array,
    k: &Array,
    v: &Array,
    tokens: &Range<usize>,
    cache: &mut KvCache,
    position: usize,
    out: &mut Array,
) -> Result<()> {
    let a = shape;
    match (q, k, v, cache, out) {
        (
            Array::Host(q),
            Array::Host(k),
            Array::Host(v),
            KvCache::Host(cache),
            Array::Host(out),
        ) => {
            let keys = span(tokens, a.kv_rows());
            let queries = span(tokens, a.heads * a.head_dim);
            cache.append(&k[keys.clone()], &v[keys]);
            kernels::attention(
                cx.compute,
                &q[queries.clone()],
                cache.keys(),
                cache.values(),
                a.heads,
                a.kv_heads,
                a.head_dim,
                position,
                &mut out[queries],
            );
        }
        (Array::Gpu(q), Array::Gpu(k), Array::Gpu(v), KvCache::Gpu(cache), Array::Gpu(out)) => {
            cache.append(k, v, tokens.clone())?;
            let (rows, [nq, nkv, d]) = (tokens.clone(), [a.heads, a.kv_heads, a.head_dim]);
            cuda::attention(cx.gpu(), q, rows, cache, nq, nkv, d, position, out)?;
        }
        _ => apart(),
    }
    Ok(())
}

/// `x` times the sigmoid of `gate`.
pub fn sigmoid_gate(cx: Context, x: &mut Array, gate: &Array) -> Result<()> {
    match (x, gate) {
        (Array::Host(x), Array::Host(gate)) => {
            kernels::sigmoid_gate(cx.compute, x, gate);
        }
        (Array::Gpu(x), Array::Gpu(gate)) => cuda::sigmoid_gate(cx.gpu(), x, gate)?,
        _ => apart(),
    }
    Ok(())
}

/// The convolution of `tokens` behind what their session's state holds.
pub fn causal_conv_silu(
    cx: Context,
    x: &Array,
    tokens: &Range<usize>,
    state: &mut DeltaState,
    weight: &Array,
    taps: usize,
    out: &mut Array,
) -> Result<()> {
    match (x, &mut state.conv, weight, out) {
        (Array::Host(x), Array::Host(state), Array::Host(weight), Array::Host(out)) => {
            let rows = span(tokens, weight.len() / taps);
            let (x, out) = (&x[rows.clone()], &mut out[rows]);
            kernels::causal_conv_silu(cx.compute, x, state, weight, taps, out);
        }
        (Array::Gpu(x), Array::Gpu(state), Array::Gpu(weight), Array::Gpu(out)) => {
            cuda::causal_conv_silu(cx.gpu(), x, tokens.clone(), state, weight, taps, out)?;
        }
        _ => apart(),
    }
    Ok(())
}

/// Lets `tokens` read and write the memory of their session. Rows of `qkv` are all
/// queries, all keys, all values of a token. Decay and write strength of its heads
/// come from two projections, `[tokens, heads]`, `a_log` and `dt_bias`.
pub fn delta_rule(
    cx: Context,
    shape: DeltaShape,
    qkv: &Array,
    gates: [&Array; 4],
    tokens: &Range<usize>,
    state: &mut DeltaState,
    out: &mut Array,
) -> Result<()> {
    let keys = shape.key_heads * shape.key_dim;
    let values = shape.value_heads * shape.value_dim;
    let width = 2 * keys + values;
    match (qkv, gates, &mut state.memory, out) {
        (
            Array::Host(qkv),
            [
                Array::Host(a),
                Array::Host(b),
                Array::Host(a_log),
                Array::Host(dt_bias),
            ],
            Array::Host(memory),
            Array::Host(out),
        ) => {
            let qkv = &qkv[span(tokens, width)];
            let heads = span(tokens, shape.value_heads);
            let (a, b) = (&a[heads.clone()], &b[heads]);
            let (mut decay, mut beta) = (vec![0.0; a.len()], vec![0.0; a.len()]);
            kernels::delta_gates(a, b, a_log, dt_bias, &mut decay, &mut beta);
            kernels::delta_rule(
                cx.compute,
                shape,
                Rows::strided(qkv, keys, width, 0),
                Rows::strided(qkv, keys, width, keys),
                Rows::strided(qkv, values, width, 2 * keys),
                &decay,
                &beta,
                memory,
                &mut out[span(tokens, values)],
            );
        }
        (
            Array::Gpu(qkv),
            [
                Array::Gpu(a),
                Array::Gpu(b),
                Array::Gpu(a_log),
                Array::Gpu(dt_bias),
            ],
            Array::Gpu(memory),
            Array::Gpu(out),
        ) => {
            let gates = cuda::DeltaGates {
                a,
                b,
                a_log,
                dt_bias,
            };
            let rows = tokens.clone();
            cuda::delta_rule(cx.gpu(), shape, qkv, gates, rows, memory, out)?;
        }
        _ => apart(),
    }
    Ok(())
}

/// The norm of each head of `x`, times the SiLU of its gate.
pub fn gated_rms_norm(
    cx: Context,
    x: &Array,
    gate: &Array,
    weight: &Array,
    eps: f32,
) -> Result<Array> {
    match (x, gate, weight) {
        (Array::Host(x), Array::Host(gate), Array::Host(weight)) => {
            let mut out = vec![0.0; x.len()];
            kernels::gated_rms_norm(cx.compute, x, gate, weight, eps, &mut out);
            Ok(Array::Host(out))
        }
        (Array::Gpu(x), Array::Gpu(gate), Array::Gpu(weight)) => {
            let out = cuda::gated_rms_norm(cx.gpu(), x, gate, weight, eps)?;
            Ok(Array::Gpu(out))
        }
        _ => apart(),
    }
}
