//! Gated DeltaNet: a causal convolution, then a matrix memory per head that the
//! delta rule updates token by token. Chunked in prefill, recurrent in decode.

use candle_core::{Device, Tensor};
use moestro_kernels::{self as kernels, DeltaShape, Rows};

use super::{Context, Run};
use crate::blueprint::DeltaNetShape;
use crate::error::Result;
use crate::ops;
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
    conv: Vec<f32>,
    a_log: Vec<f32>,
    dt_bias: Vec<f32>,
    norm: Vec<f32>,
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
    pub fn forward(&self, cx: Context, x: &Tensor, runs: &mut [Run]) -> Result<Tensor> {
        let (tokens, hidden) = x.dims2()?;
        let s = &self.shape;
        let c = cx.compute;
        let mut mixed = vec![0.0; tokens * s.conv_channels()];
        let mut z = vec![0.0; tokens * s.value_width()];
        let mut b = vec![0.0; tokens * s.value_heads];
        let mut a = vec![0.0; tokens * s.value_heads];
        let weights = [
            self.in_qkv.matrix(),
            self.in_z.matrix(),
            self.in_b.matrix(),
            self.in_a.matrix(),
        ];
        ops::values(x, |x| {
            kernels::matmul_many(c, &weights, x, &mut [&mut mixed, &mut z, &mut b, &mut a]);
            Ok(())
        })?;

        let mut decay = vec![0.0; a.len()];
        let mut beta = vec![0.0; a.len()];
        kernels::delta_gates(&a, &b, &self.a_log, &self.dt_bias, &mut decay, &mut beta);

        let mut qkv = vec![0.0; mixed.len()];
        let mut read = vec![0.0; tokens * s.value_width()];
        let (taps, width) = (s.conv_kernel, s.conv_channels());
        let shape = DeltaShape {
            key_heads: s.key_heads,
            value_heads: s.value_heads,
            key_dim: s.key_dim,
            value_dim: s.value_dim,
        };
        let mut first = 0;
        for run in runs {
            let LayerState::DeltaNet(state) = &mut *run.state else {
                unreachable!("a state is made from the same blueprint as its model");
            };
            let rows = |width: usize| first * width..(first + run.tokens) * width;
            let qkv = &mut qkv[rows(width)];
            let input = &mixed[rows(width)];
            kernels::causal_conv_silu(c, input, &mut state.conv, &self.conv, taps, qkv);
            kernels::delta_rule(
                c,
                shape,
                Rows::strided(qkv, s.key_width(), width, 0),
                Rows::strided(qkv, s.key_width(), width, s.key_width()),
                Rows::strided(qkv, s.value_width(), width, 2 * s.key_width()),
                &decay[rows(s.value_heads)],
                &beta[rows(s.value_heads)],
                &mut state.memory,
                &mut read[rows(s.value_width())],
            );
            first += run.tokens;
        }
        let mut gated = vec![0.0; read.len()];
        kernels::gated_rms_norm(c, &read, &z, &self.norm, self.eps, &mut gated);
        let mut out = vec![0.0; tokens * hidden];
        kernels::matmul(c, self.out_proj.matrix(), &gated, &mut out);
        Ok(Tensor::from_vec(out, (tokens, hidden), &Device::Cpu)?)
    }
}
