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

/// What every layer needs to run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub compute: &'a Compute,
    pub cancel: &'a Cancel,
}
