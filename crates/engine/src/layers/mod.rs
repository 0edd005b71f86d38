//! Layers shared by all architectures. Each takes and returns candle tensors
//! `[tokens, hidden]` and keeps its state outside, in the session.

mod attention;
mod block;
mod delta_net;
mod experts;
mod mlp;

pub use block::Block;
pub use experts::SparseMlp;

use moestro_kernels::Compute;

use crate::cancel::Cancel;
use crate::state::LayerState;

/// What every layer needs to run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub compute: &'a Compute,
    pub cancel: &'a Cancel,
}

/// The tokens of one session among those that are computed together. Weights are
/// read once for all of them; each session keeps its own state.
pub struct Run<'a> {
    pub tokens: usize,
    /// Of its first token in its session.
    pub position: usize,
    pub state: &'a mut LayerState,
}
