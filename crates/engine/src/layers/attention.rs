//! Grouped-query attention with per-head norms, partial rotation and, for
//! Qwen3-Next, an output gate.

use super::{Context, Run, spans};
use crate::blueprint::AttentionShape;
use crate::error::Result;
use crate::ops::{self, Array, RopeTable};
use crate::state::LayerState;
use crate::weights::{Loader, Weight};

pub struct Attention {
    shape: AttentionShape,
    q_proj: Weight,
    k_proj: Weight,
    v_proj: Weight,
    o_proj: Weight,
    q_norm: Array,
    k_norm: Array,
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
            rope: RopeTable::new(loader.gpu(), shape.rotary_dims, shape.rope_theta)?,
            eps,
        })
    }

    /// `x [tokens, hidden]`, the tokens of all `runs` one after the other.
    pub fn forward(&self, cx: Context, x: &Array, runs: &mut [Run]) -> Result<Array> {
        let a = &self.shape;
        let [projected, k, v] =
            ops::linear_many(cx, [&self.q_proj, &self.k_proj, &self.v_proj], x)?;
        let (q, gate) = match a.gated {
            true => ops::split_gate(cx, projected, a.head_dim).map(|(q, g)| (q, Some(g)))?,
            false => (projected, None),
        };
        let mut q = ops::rms_norm(cx, &q, &self.q_norm, self.eps)?;
        let mut k = ops::rms_norm(cx, &k, &self.k_norm, self.eps)?;
        let mut mixed = Array::room_like(cx, &q)?;
        for (run, tokens) in spans(runs) {
            let LayerState::Attention(cache) = &mut *run.state else {
                unreachable!("a state is made from the same blueprint as its model");
            };
            let at = run.position;
            ops::rope(cx, &self.rope, &mut q, &tokens, [a.heads, a.head_dim], at)?;
            ops::rope(
                cx,
                &self.rope,
                &mut k,
                &tokens,
                [a.kv_heads, a.head_dim],
                at,
            )?;
            ops::attention(cx, a, &q, &k, &v, &tokens, cache, at, &mut mixed)?;
        }
        if let Some(gate) = gate {
            ops::sigmoid_gate(cx, &mut mixed, &gate)?;
        }
        ops::linear(cx, &self.o_proj, &mixed)
    }
}
