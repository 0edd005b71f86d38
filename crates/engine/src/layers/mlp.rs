//! A SwiGLU feed-forward block whose weights are always in memory: dense layers
//! and the shared expert.

use moestro_kernels::{self as kernels, Compute, ExpertTask};

use crate::error::Result;
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
    pub fn forward(&self, compute: &Compute, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        let all: Vec<u32> = (0..(x.len() / self.gate.cols) as u32).collect();
        kernels::swiglu(compute, x, &mut [self.task(&all, &mut out)]);
        out
    }

    /// The same for some rows of an input, as a task to be computed beside others.
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
