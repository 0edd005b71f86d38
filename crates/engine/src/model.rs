//! A model in memory: embeddings, a stack of blocks, output head. It holds no
//! session and no experts; both are passed in.

use candle_core::{Device, Tensor};
use moestro_kernels as kernels;

use crate::blueprint::{Blueprint, FeedForward};
use crate::error::{EngineError, Result};
use crate::experts::Experts;
use crate::layers::{Block, Context};
use crate::ops;
use crate::state::State;
use crate::weights::{Loader, Weight};

pub struct Model {
    pub blueprint: Blueprint,
    embeddings: Weight,
    blocks: Vec<Block>,
    norm: Vec<f32>,
    /// `None` if tied to the embeddings.
    head: Option<Weight>,
}

/// For which of the tokens logits are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logits {
    None,
    Last,
    All,
}

impl Model {
    pub fn load(loader: &mut Loader, blueprint: Blueprint) -> Result<Model> {
        let embeddings = loader.matrix("model.embed_tokens.weight")?;
        let mut blocks = Vec::with_capacity(blueprint.layers.len());
        let mut row = 0;
        for (i, layer) in blueprint.layers.iter().enumerate() {
            blocks.push(Block::load(loader, &blueprint, i, row)?);
            row += usize::from(matches!(layer.feed_forward, FeedForward::Experts(_)));
        }
        link_routers(&mut blocks);
        let norm = loader.vector("model.norm.weight")?;
        let head = if blueprint.tied_head {
            None
        } else {
            Some(loader.matrix("lm_head.weight")?)
        };
        Ok(Model {
            blueprint,
            embeddings,
            blocks,
            norm,
            head,
        })
    }

    /// Continues `state` by `tokens` and returns logits `[wanted, vocabulary]`.
    ///
    /// After an error the state is neither before nor behind the tokens: the
    /// caller has to restore a snapshot.
    pub fn forward(
        &self,
        cx: Context,
        tokens: &[u32],
        state: &mut State,
        experts: &mut Experts,
        wanted: Logits,
    ) -> Result<Tensor> {
        let b = &self.blueprint;
        let mut x = self.embed(cx, tokens)?;
        for (block, state_of_layer) in self.blocks.iter().zip(&mut state.layers) {
            cx.cancel.check()?;
            x = block.forward(cx, &x, state_of_layer, experts, state.position)?;
        }
        state.position += tokens.len();
        let x = match wanted {
            Logits::None => {
                return Ok(Tensor::zeros(
                    (0, b.vocabulary),
                    candle_core::DType::F32,
                    &Device::Cpu,
                )?);
            }
            Logits::Last => x.narrow(0, tokens.len() - 1, 1)?,
            Logits::All => x,
        };
        self.logits(cx, &x)
    }

    /// Continues each of `states` by one of `tokens`; returns logits `[states,
    /// vocabulary]`. Each expert is read and computed once for all of them.
    ///
    /// After an error every state is as after one of [`Model::forward`].
    pub fn forward_together(
        &self,
        cx: Context,
        tokens: &[u32],
        states: &mut [&mut State],
        experts: &mut Experts,
    ) -> Result<Tensor> {
        let mut x = self.embed(cx, tokens)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            cx.cancel.check()?;
            let mut mixed = Vec::with_capacity(states.len());
            for (i, state) in states.iter_mut().enumerate() {
                let position = state.position;
                let row = x.narrow(0, i, 1)?.contiguous()?;
                mixed.push(block.mix(cx, &row, &mut state.layers[layer], position)?);
            }
            x = block.feed_forward(cx, &Tensor::cat(&mixed, 0)?, experts)?;
        }
        states.iter_mut().for_each(|s| s.position += 1);
        self.logits(cx, &x)
    }

    /// `[tokens, hidden]`.
    fn embed(&self, cx: Context, tokens: &[u32]) -> Result<Tensor> {
        let b = &self.blueprint;
        if let Some(id) = tokens.iter().find(|id| **id as usize >= b.vocabulary) {
            return Err(EngineError::Request(format!(
                "token {id} is not in the vocabulary of {} tokens",
                b.vocabulary
            )));
        }
        let mut embedded = vec![0.0; tokens.len() * b.hidden];
        kernels::rows(cx.compute, self.embeddings.matrix(), tokens, &mut embedded);
        let shape = (tokens.len(), b.hidden);
        Ok(Tensor::from_vec(embedded, shape, &Device::Cpu)?)
    }

    fn logits(&self, cx: Context, x: &Tensor) -> Result<Tensor> {
        let x = ops::rms_norm(cx.compute, x, &self.norm, self.blueprint.norm_eps)?;
        let head = self.head.as_ref().unwrap_or(&self.embeddings);
        ops::linear(cx.compute, head.matrix(), &x)
    }
}

/// Every layer with experts learns the router of the next one.
fn link_routers(blocks: &mut [Block]) {
    let mut next = None;
    for moe in blocks.iter_mut().rev().filter_map(Block::sparse) {
        let router = moe.router().clone();
        if let Some(next) = next.replace(router) {
            moe.look_ahead(next);
        }
    }
}
