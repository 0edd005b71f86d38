//! Products with weights, norms, sums, and what surrounds the experts.

use std::borrow::Cow;

use moestro_cuda as cuda;
use moestro_kernels::{self as kernels, ExpertTask};

use super::array::{Array, Place, apart};
use crate::error::Result;
use crate::layers::Context;
use crate::weights::Weight;

/// `x [tokens, cols]` times the transposed weight: `[tokens, rows]`.
pub fn linear(cx: Context, weight: &Weight, x: &Array) -> Result<Array> {
    let [product] = linear_many(cx, [weight], x)?;
    Ok(product)
}

/// Several products of the same input.
pub fn linear_many<const N: usize>(
    cx: Context,
    weights: [&Weight; N],
    x: &Array,
) -> Result<[Array; N]> {
    match x {
        Array::Host(x) => {
            let mut outs = weights.map(|w| vec![0.0; x.len() / w.cols * w.rows]);
            let mut slices = outs.each_mut().map(Vec::as_mut_slice);
            kernels::matmul_many(cx.compute, &weights.map(Weight::matrix), x, &mut slices);
            Ok(outs.map(Array::Host))
        }
        Array::Gpu(x) => {
            let outs = cuda::matmul_many(cx.gpu(), &weights.map(Weight::on_gpu), x)?;
            let mut outs = outs.into_iter();
            Ok([(); N].map(|()| Array::Gpu(outs.next().expect("a product for each weight"))))
        }
    }
}

/// The rows `ids` of a weight, as floats.
pub fn rows(cx: Context, weight: &Weight, ids: &[u32]) -> Result<Array> {
    Ok(match weight.place() {
        Place::Host => {
            let mut out = vec![0.0; ids.len() * weight.cols];
            kernels::rows(cx.compute, weight.matrix(), ids, &mut out);
            Array::Host(out)
        }
        Place::Gpu => Array::Gpu(cuda::rows(cx.gpu(), weight.on_gpu(), ids)?),
    })
}

/// `x / sqrt(mean(x^2) + eps) * weight`, in rows as long as the weight.
pub fn rms_norm(cx: Context, x: &Array, weight: &Array, eps: f32) -> Result<Array> {
    Ok(match (x, weight) {
        (Array::Host(x), Array::Host(weight)) => {
            let mut out = vec![0.0; x.len()];
            kernels::rms_norm(cx.compute, x, weight, eps, &mut out);
            Array::Host(out)
        }
        (Array::Gpu(x), Array::Gpu(weight)) => {
            Array::Gpu(cuda::rms_norm(cx.gpu(), x, weight, eps)?)
        }
        _ => apart(),
    })
}

/// Adds `y` to `x`, and returns the norm of the sum.
pub fn add_rms_norm(
    cx: Context,
    x: &mut Array,
    y: &Array,
    weight: &Array,
    eps: f32,
) -> Result<Array> {
    if let (Array::Gpu(x), Array::Gpu(y), Array::Gpu(weight)) = (&mut *x, y, weight) {
        return Ok(Array::Gpu(cuda::add_rms_norm(cx.gpu(), x, y, weight, eps)?));
    }
    add(cx, x, y)?;
    rms_norm(cx, x, weight, eps)
}

/// Adds `y` to `x`.
pub fn add(cx: Context, x: &mut Array, y: &Array) -> Result<()> {
    match (x, y) {
        (Array::Host(x), Array::Host(y)) => x.iter_mut().zip(y).for_each(|(x, y)| *x += y),
        (Array::Gpu(x), Array::Gpu(y)) => cuda::add(cx.gpu(), x, y)?,
        _ => apart(),
    }
    Ok(())
}

/// `down(silu(gate x) * (up x))` for every row.
pub fn swiglu(cx: Context, weights: [&Weight; 3], x: &Array) -> Result<Array> {
    let all: Vec<u32> = (0..(x.len() / weights[0].cols) as u32).collect();
    Ok(match x {
        Array::Host(x) => {
            let mut out = vec![0.0; x.len()];
            let [gate, up, down] = weights.map(Weight::matrix);
            let (tokens, out_rows) = (all.as_slice(), out.as_mut_slice());
            let task = ExpertTask {
                gate,
                up,
                down,
                tokens,
                out: out_rows,
            };
            kernels::swiglu(cx.compute, x, &mut [task]);
            Array::Host(out)
        }
        Array::Gpu(x) => {
            let mut out = cx.gpu().zeros(x.len())?;
            let [gate, up, down] = weights.map(Weight::on_gpu);
            let task = cuda::ExpertTask {
                gate,
                up,
                down,
                tokens: &all,
                first_row: 0,
            };
            cuda::swiglu(cx.gpu(), x, &[task], &mut out)?;
            Array::Gpu(out)
        }
    })
}

/// What a router chose, and what it saw, for those who compute in RAM.
pub struct Choice<'a> {
    /// `[tokens, k]`, best first.
    pub ids: Vec<u32>,
    /// `[tokens, k]`, where the router is.
    pub weights: Array,
    pub x: Cow<'a, [f32]>,
}

/// The `k` experts of each token with the largest of `logits`, `[tokens, experts]`,
/// that came from `x`. Of a GPU, the processor waits here and nowhere else.
pub fn router_choice<'a>(
    cx: Context,
    logits: &Array,
    [experts, k]: [usize; 2],
    normalise: bool,
    x: &'a Array,
) -> Result<Choice<'a>> {
    Ok(match (logits, x) {
        (Array::Host(logits), Array::Host(x)) => {
            let mut ids = vec![0; logits.len() / experts * k];
            let mut weights = vec![0.0; ids.len()];
            kernels::router_topk(logits, experts, k, normalise, &mut ids, &mut weights);
            Choice {
                ids,
                weights: Array::Host(weights),
                x: x.into(),
            }
        }
        (Array::Gpu(logits), Array::Gpu(x)) => {
            let gpu = cx.gpu();
            let (ids, weights) = cuda::router_topk(gpu, logits, experts, k, normalise)?;
            let (mut floats, mut indices) = gpu.read(&[x], &[&ids])?;
            let (x, ids) = (floats.pop(), indices.pop());
            Choice {
                ids: ids.unwrap_or_default(),
                weights: Array::Gpu(weights),
                x: x.unwrap_or_default().into(),
            }
        }
        _ => apart(),
    })
}

/// For each token the sum of `k` rows of `x`, each times its weight.
pub fn weighted_rows(
    cx: Context,
    x: &Array,
    rows: &[usize],
    weights: &Array,
    k: usize,
    width: usize,
) -> Result<Array> {
    Ok(match (x, weights) {
        (Array::Host(x), Array::Host(weights)) => {
            let mut out = vec![0.0; rows.len() / k * width];
            kernels::weighted_rows(cx.compute, x, rows, weights, k, &mut out);
            Array::Host(out)
        }
        (Array::Gpu(x), Array::Gpu(weights)) => {
            let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
            Array::Gpu(cuda::weighted_rows(cx.gpu(), x, &rows, weights, k, width)?)
        }
        _ => apart(),
    })
}

/// Adds to each row of `sum` that of `y` times the sigmoid of its gate.
pub fn add_scaled_sigmoid(cx: Context, sum: &mut Array, y: &Array, gate: &Array) -> Result<()> {
    match (sum, y, gate) {
        (Array::Host(sum), Array::Host(y), Array::Host(gate)) => {
            kernels::add_scaled_sigmoid(cx.compute, sum, y, gate);
        }
        (Array::Gpu(sum), Array::Gpu(y), Array::Gpu(gate)) => {
            cuda::add_scaled_sigmoid(cx.gpu(), sum, y, gate)?;
        }
        _ => apart(),
    }
    Ok(())
}
