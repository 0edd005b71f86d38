//! A model in memory: embeddings, a stack of blocks, output head. It holds no
//! session and no experts; both are passed in.

use candle_core::{Device, Tensor};
use moestro_kernels as kernels;

use crate::blueprint::{Blueprint, FeedForward};
use crate::error::{EngineError, Result};
use crate::experts::Experts;
use crate::layers::{Block, Context, Run};
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
    /// The last of each session.
    Last,
    All,
}

/// What one session adds to a step.
pub struct Part<'a> {
    pub tokens: &'a [u32],
    pub state: &'a mut State,
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

    /// Continues the state of each part by its tokens and returns logits `[wanted,
    /// vocabulary]`, part after part. Each weight is read once for all of them, and
    /// no part's result depends on the others.
    ///
    /// After an error the states are neither before nor behind the tokens: the
    /// caller has to restore snapshots.
    pub fn forward(
        &self,
        cx: Context,
        parts: &mut [Part],
        experts: &mut Experts,
        wanted: Logits,
    ) -> Result<Tensor> {
        let b = &self.blueprint;
        let tokens: Vec<u32> = parts.iter().flat_map(|p| p.tokens).copied().collect();
        let mut x = self.embed(cx, &tokens)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            cx.cancel.check()?;
            let mut runs: Vec<Run> = parts
                .iter_mut()
                .map(|part| Run {
                    tokens: part.tokens.len(),
                    position: part.state.position,
                    state: &mut part.state.layers[layer],
                })
                .collect();
            x = block.forward(cx, &x, &mut runs, experts)?;
        }
        for part in parts.iter_mut() {
            part.state.position += part.tokens.len();
        }
        let x = match wanted {
            Logits::None => {
                return Ok(Tensor::zeros(
                    (0, b.vocabulary),
                    candle_core::DType::F32,
                    &Device::Cpu,
                )?);
            }
            // One token each is all there is.
            Logits::Last if tokens.len() > parts.len() => last_rows(&x, parts)?,
            Logits::Last | Logits::All => x,
        };
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

fn last_rows(x: &Tensor, parts: &[Part]) -> Result<Tensor> {
    let mut end = 0;
    let mut rows = Vec::with_capacity(parts.len());
    for part in parts {
        end += part.tokens.len();
        rows.push(x.narrow(0, end - 1, 1)?);
    }
    Ok(Tensor::cat(&rows, 0)?)
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
