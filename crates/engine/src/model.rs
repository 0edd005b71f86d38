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
        if let Some(id) = tokens.iter().find(|id| **id as usize >= b.vocabulary) {
            return Err(EngineError::Request(format!(
                "token {id} is not in the vocabulary of {} tokens",
                b.vocabulary
            )));
        }
        let mut embedded = vec![0.0; tokens.len() * b.hidden];
        kernels::rows(cx.compute, self.embeddings.matrix(), tokens, &mut embedded);
        let mut x = Tensor::from_vec(embedded, (tokens.len(), b.hidden), &Device::Cpu)?;
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
        let x = ops::rms_norm(cx.compute, &x, &self.norm, b.norm_eps)?;
        let head = self.head.as_ref().unwrap_or(&self.embeddings);
        ops::linear(cx.compute, head.matrix(), &x)
    }
}
