//! A model in memory: embeddings, a stack of blocks, output head. It holds no
//! session and no experts; both are passed in.

use candle_core::{Device, Tensor};
use moestro_cuda::Gpu;

use crate::blueprint::{Blueprint, FeedForward};
use crate::error::{EngineError, Result};
use crate::experts::Experts;
use crate::layers::{Block, Context, Run};
use crate::ops::{self, Array};
use crate::protocol::GpuShare;
use crate::state::State;
use crate::weights::{Loader, Weight};

pub struct Model {
    pub blueprint: Blueprint,
    embeddings: Weight,
    blocks: Vec<Block>,
    norm: Array,
    /// `None` if tied to the embeddings.
    head: Option<Weight>,
}

/// What of a model is on a GPU; the rest is in RAM.
#[derive(Clone, Copy)]
pub struct OnGpu<'a> {
    gpu: Option<&'a Gpu>,
    share: GpuShare,
}

impl<'a> OnGpu<'a> {
    pub fn new(gpu: Option<&'a Gpu>, share: GpuShare) -> OnGpu<'a> {
        OnGpu { gpu, share }
    }

    /// The GPU if something is `there`.
    fn place(&self, there: bool) -> Option<&'a Gpu> {
        self.gpu.filter(|_| there)
    }
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
    /// Reads all weights to where they belong.
    pub fn load(loader: &mut Loader, blueprint: Blueprint, on_gpu: OnGpu) -> Result<Model> {
        let share = on_gpu.share;
        loader.put_on(on_gpu.place(share.embeddings));
        let embeddings = loader.matrix("model.embed_tokens.weight")?;
        let mut blocks = Vec::with_capacity(blueprint.layers.len());
        let mut row = 0;
        for (i, layer) in blueprint.layers.iter().enumerate() {
            loader.put_on(on_gpu.place(i < share.layers));
            blocks.push(Block::load(loader, &blueprint, i, row)?);
            row += usize::from(matches!(layer.feed_forward, FeedForward::Experts(_)));
        }
        link_routers(&mut blocks);
        let with_head = match blueprint.tied_head {
            true => share.embeddings,
            false => share.head,
        };
        loader.put_on(on_gpu.place(with_head));
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
            x = block.forward(cx, x, &mut runs, experts)?;
        }
        for part in parts.iter_mut() {
            part.state.position += part.tokens.len();
        }
        let x = match wanted {
            Logits::None => {
                experts.copy_up()?;
                return Ok(logits_tensor(Vec::new(), b.vocabulary)?);
            }
            // One token each is all there is.
            Logits::Last if tokens.len() > parts.len() => x.select(cx, b.hidden, &lasts(parts))?,
            Logits::Last | Logits::All => x,
        };
        let head = self.head.as_ref().unwrap_or(&self.embeddings);
        let x = x.moved(cx, self.norm.place())?;
        let x = ops::rms_norm(cx, &x, &self.norm, b.norm_eps)?;
        let logits = ops::linear(cx, head, &x)?;
        experts.copy_up()?;
        let logits = logits.to_host()?.into_owned();
        Ok(logits_tensor(logits, b.vocabulary)?)
    }

    /// `[tokens, hidden]`.
    fn embed(&self, cx: Context, tokens: &[u32]) -> Result<Array> {
        let b = &self.blueprint;
        if let Some(id) = tokens.iter().find(|id| **id as usize >= b.vocabulary) {
            return Err(EngineError::Request(format!(
                "token {id} is not in the vocabulary of {} tokens",
                b.vocabulary
            )));
        }
        ops::rows(cx, &self.embeddings, tokens)
    }
}

/// The row of the last token of each part.
fn lasts(parts: &[Part]) -> Vec<u32> {
    let mut end = 0;
    let last = |part: &Part| {
        end += part.tokens.len() as u32;
        end - 1
    };
    parts.iter().map(last).collect()
}

fn logits_tensor(logits: Vec<f32>, vocabulary: usize) -> candle_core::Result<Tensor> {
    let shape = (logits.len() / vocabulary, vocabulary);
    Tensor::from_vec(logits, shape, &Device::Cpu)
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
