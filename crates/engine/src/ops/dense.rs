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
            let mut out = cx.gpu().empty(x.len())?;
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
/// that came from `x`. Of a GPU, the processor waits here and nowhere else; before it
/// does it calls `meanwhile`, which must not wait for anything queued there.
pub fn router_choice<'a>(
    cx: Context,
    logits: &Array,
    [experts, k]: [usize; 2],
    normalise: bool,
    x: &'a Array,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Choice<'a>> {
    Ok(match (logits, x) {
        (Array::Host(logits), Array::Host(x)) => {
            meanwhile()?;
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
            let (mut floats, mut indices) = gpu.read_while(&[x], &[&ids], meanwhile)?;
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

/// Adds to each token of `x` the sum of `k` rows of `outputs`, each times its weight,
/// and of what the shared expert says times the sigmoid of its gate.
pub fn add_experts(
    cx: Context,
    x: &mut Array,
    outputs: &Array,
    rows: &[usize],
    weights: &Array,
    shared: Option<(&Array, &Array)>,
    k: usize,
) -> Result<()> {
    match (x, outputs, weights, shared) {
        (Array::Host(x), Array::Host(outputs), Array::Host(weights), shared) => {
            let mut sum = vec![0.0; x.len()];
            kernels::weighted_rows(cx.compute, outputs, rows, weights, k, &mut sum);
            match shared {
                None => {}
                Some((Array::Host(shared), Array::Host(gate))) => {
                    kernels::add_scaled_sigmoid(cx.compute, &mut sum, shared, gate);
                }
                Some(_) => apart(),
            }
            x.iter_mut().zip(sum).for_each(|(x, sum)| *x += sum);
        }
        (Array::Gpu(x), Array::Gpu(outputs), Array::Gpu(weights), shared) => {
            let shared = match shared {
                None => None,
                Some((Array::Gpu(shared), Array::Gpu(gate))) => Some((shared, gate)),
                Some(_) => apart(),
            };
            let rows: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
            cuda::add_experts(cx.gpu(), x, outputs, &rows, weights, shared, k)?;
        }
        _ => apart(),
    }
    Ok(())
}
