//! Gated DeltaNet: a causal convolution, then a matrix memory per head that the
//! delta rule updates token by token. Chunked in prefill, recurrent in decode.

use moestro_kernels::DeltaShape;

use super::{Context, Run, spans};
use crate::blueprint::DeltaNetShape;
use crate::error::Result;
use crate::ops::{self, Array};
use crate::state::LayerState;
use crate::weights::{Loader, Weight};

pub struct DeltaNet {
    shape: DeltaNetShape,
    in_qkv: Weight,
    in_z: Weight,
    in_b: Weight,
    in_a: Weight,
    out_proj: Weight,
    /// `[channels, taps]`.
    conv: Array,
    a_log: Array,
    dt_bias: Array,
    norm: Array,
    eps: f32,
}

impl DeltaNet {
    pub fn load(
        loader: &mut Loader,
        prefix: &str,
        shape: &DeltaNetShape,
        eps: f32,
    ) -> Result<DeltaNet> {
        let name = |part: &str| format!("{prefix}linear_attn.{part}");
        Ok(DeltaNet {
            shape: shape.clone(),
            in_qkv: loader.matrix(&name("in_proj_qkv.weight"))?,
            in_z: loader.matrix(&name("in_proj_z.weight"))?,
            in_b: loader.matrix(&name("in_proj_b.weight"))?,
            in_a: loader.matrix(&name("in_proj_a.weight"))?,
            out_proj: loader.matrix(&name("out_proj.weight"))?,
            conv: loader.vector(&name("conv1d.weight"))?,
            a_log: loader.vector(&name("A_log"))?,
            dt_bias: loader.vector(&name("dt_bias"))?,
            norm: loader.vector(&name("norm.weight"))?,
            eps,
        })
    }

    /// `x [tokens, hidden]`, the tokens of all `runs` one after the other.
    pub fn forward(&self, cx: Context, x: &Array, runs: &mut [Run]) -> Result<Array> {
        let s = &self.shape;
        let weights = [&self.in_qkv, &self.in_z, &self.in_b, &self.in_a];
        let [mixed, z, b, a] = ops::linear_many(cx, weights, x)?;
        let gates = [&a, &b, &self.a_log, &self.dt_bias];
        let shape = DeltaShape {
            key_heads: s.key_heads,
            value_heads: s.value_heads,
            key_dim: s.key_dim,
            value_dim: s.value_dim,
        };
        let mut qkv = Array::room_like(cx, &mixed)?;
        let mut read = Array::room_like(cx, &z)?;
        for (run, tokens) in spans(runs) {
            let LayerState::DeltaNet(state) = &mut *run.state else {
                unreachable!("a state is made from the same blueprint as its model");
            };
            let taps = s.conv_kernel;
            ops::causal_conv_silu(cx, &mixed, &tokens, state, &self.conv, taps, &mut qkv)?;
            ops::delta_rule(cx, shape, &qkv, gates, &tokens, state, &mut read)?;
        }
        let gated = ops::gated_rms_norm(cx, &read, &z, &self.norm, self.eps)?;
        ops::linear(cx, &self.out_proj, &gated)
    }
}
