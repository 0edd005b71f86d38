//! A SwiGLU feed-forward block whose weights are always in memory: dense layers
//! and the shared expert.

use moestro_kernels::ExpertTask;

use super::Context;
use crate::error::Result;
use crate::ops::{self, Array};
use crate::weights::{Loader, Weight};

pub struct Mlp {
    gate: Weight,
    up: Weight,
    down: Weight,
}

impl Mlp {
    pub fn load(loader: &mut Loader, prefix: &str) -> Result<Mlp> {
        Ok(Mlp {
            gate: loader.matrix(&format!("{prefix}gate_proj.weight"))?,
            up: loader.matrix(&format!("{prefix}up_proj.weight"))?,
            down: loader.matrix(&format!("{prefix}down_proj.weight"))?,
        })
    }

    /// `x` and the result are `[tokens, hidden]`.
    pub fn forward(&self, cx: Context, x: &Array) -> Result<Array> {
        ops::swiglu(cx, [&self.gate, &self.up, &self.down], x)
    }

    /// The same on the processor, as a task to be computed beside others.
    pub fn task<'a>(&'a self, tokens: &'a [u32], out: &'a mut [f32]) -> ExpertTask<'a> {
        ExpertTask {
            gate: self.gate.matrix(),
            up: self.up.matrix(),
            down: self.down.matrix(),
            tokens,
            out,
        }
    }
}
