//! Layers shared by all architectures. Each takes and returns activations `[tokens,
//! hidden]`, keeps its state outside, in the session, and computes where its weights
//! are.

mod attention;
mod block;
mod delta_net;
mod experts;
mod mlp;

pub use block::Block;
pub use experts::SparseMlp;

use std::ops::Range;

use moestro_cuda::Gpu;
use moestro_kernels::Compute;

use crate::cancel::Cancel;
use crate::state::LayerState;

/// What every layer needs to run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub compute: &'a Compute,
    pub cancel: &'a Cancel,
    /// If some layers are on one.
    pub gpu: Option<&'a Gpu>,
}

impl<'a> Context<'a> {
    /// # Panics
    /// Without a GPU; nothing can be on one then.
    pub fn gpu(self) -> &'a Gpu {
        self.gpu.expect("what is on a GPU is computed with it")
    }
}

/// The tokens of one session among those that are computed together. Weights are
/// read once for all of them; each session keeps its own state.
pub struct Run<'a> {
    pub tokens: usize,
    /// Of its first token in its session.
    pub position: usize,
    pub state: &'a mut LayerState,
}

/// Each session with the rows that are its tokens.
fn spans<'a, 'r>(runs: &'a mut [Run<'r>]) -> impl Iterator<Item = (&'a mut Run<'r>, Range<usize>)> {
    let mut first = 0;
    runs.iter_mut().map(move |run| {
        let tokens = first..first + run.tokens;
        first = tokens.end;
        (run, tokens)
    })
}
