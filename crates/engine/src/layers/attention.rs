//! Grouped-query attention with per-head norms, partial rotation and, for
//! Qwen3-Next, an output gate.

use candle_core::{Device, Tensor};
use moestro_kernels::{self as kernels, RopeTable};

use super::{Context, Run};
use crate::blueprint::AttentionShape;
use crate::error::Result;
use crate::ops;
use crate::state::LayerState;
use crate::weights::{Loader, Weight};

pub struct Attention {
    shape: AttentionShape,
    q_proj: Weight,
    k_proj: Weight,
    v_proj: Weight,
    o_proj: Weight,
    q_norm: Vec<f32>,
    k_norm: Vec<f32>,
    rope: RopeTable,
    eps: f32,
}

impl Attention {
    pub fn load(
        loader: &mut Loader,
        prefix: &str,
        shape: &AttentionShape,
        eps: f32,
    ) -> Result<Attention> {
        let name = |part: &str| format!("{prefix}self_attn.{part}.weight");
        Ok(Attention {
            shape: shape.clone(),
            q_proj: loader.matrix(&name("q_proj"))?,
            k_proj: loader.matrix(&name("k_proj"))?,
            v_proj: loader.matrix(&name("v_proj"))?,
            o_proj: loader.matrix(&name("o_proj"))?,
            q_norm: loader.vector(&name("q_norm"))?,
            k_norm: loader.vector(&name("k_norm"))?,
            rope: RopeTable::new(shape.rotary_dims, shape.rope_theta),
            eps,
        })
    }

    /// `x [tokens, hidden]`, the tokens of all `runs` one after the other.
    pub fn forward(&self, cx: Context, x: &Tensor, runs: &mut [Run]) -> Result<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        let a = &self.shape;
        let c = cx.compute;
        let mut projected = vec![0.0; tokens * a.query_rows()];
        let mut k = vec![0.0; tokens * a.kv_rows()];
        let mut v = vec![0.0; tokens * a.kv_rows()];
        let weights = [
            self.q_proj.matrix(),
            self.k_proj.matrix(),
            self.v_proj.matrix(),
        ];
        ops::values(x, |x| {
            kernels::matmul_many(c, &weights, x, &mut [&mut projected, &mut k, &mut v]);
            Ok(())
        })?;
        let (q, gate) = self.split_gate(projected);

        let mut rotated_q = vec![0.0; q.len()];
        kernels::rms_norm(c, &q, &self.q_norm, self.eps, &mut rotated_q);
        let mut rotated_k = vec![0.0; k.len()];
        kernels::rms_norm(c, &k, &self.k_norm, self.eps, &mut rotated_k);
        let mut mixed = q;
        let mut first = 0;
        for run in runs {
            let LayerState::Attention(cache) = &mut *run.state else {
                unreachable!("a state is made from the same blueprint as its model");
            };
            let rows = |width: usize| first * width..(first + run.tokens) * width;
            let (queries, keys) = (rows(a.heads * a.head_dim), rows(a.kv_rows()));
            let q = &mut rotated_q[queries.clone()];
            let k = &mut rotated_k[keys.clone()];
            kernels::rope(c, &self.rope, q, a.heads, a.head_dim, run.position);
            kernels::rope(c, &self.rope, k, a.kv_heads, a.head_dim, run.position);
            cache.append(k, &v[keys]);
            kernels::attention(
                c,
                q,
                cache.keys(),
                cache.values(),
                a.heads,
                a.kv_heads,
                a.head_dim,
                run.position,
                &mut mixed[queries],
            );
            first += run.tokens;
        }
        if let Some(gate) = gate {
            kernels::sigmoid_gate(c, &mut mixed, &gate);
        }
        let mut out = vec![0.0; tokens * hidden];
        kernels::matmul(c, self.o_proj.matrix(), &mixed, &mut out);
        Ok(Tensor::from_vec(out, (tokens, hidden), &Device::Cpu)?)
    }

    /// Each head's rows hold its query, then its gate.
    fn split_gate(&self, projected: Vec<f32>) -> (Vec<f32>, Option<Vec<f32>>) {
        if !self.shape.gated {
            return (projected, None);
        }
        let dim = self.shape.head_dim;
        let mut q = Vec::with_capacity(projected.len() / 2);
        let mut gate = Vec::with_capacity(projected.len() / 2);
        for head in projected.chunks_exact(2 * dim) {
            q.extend_from_slice(&head[..dim]);
            gate.extend_from_slice(&head[dim..]);
        }
        (q, Some(gate))
    }
}
