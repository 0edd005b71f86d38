//! One layer of the residual stream: norm, mixer, norm, feed-forward.

use candle_core::{Device, Tensor};

use super::attention::Attention;
use super::delta_net::DeltaNet;
use super::mlp::Mlp;
use super::{Context, Run, SparseMlp};
use crate::blueprint::{Blueprint, FeedForward, Mixer};
use crate::error::Result;
use crate::experts::Experts;
use crate::ops;
use crate::weights::Loader;

pub struct Block {
    input_norm: Vec<f32>,
    post_norm: Vec<f32>,
    mixer: LoadedMixer,
    feed_forward: LoadedFeedForward,
    eps: f32,
}

enum LoadedMixer {
    Attention(Attention),
    DeltaNet(DeltaNet),
}

enum LoadedFeedForward {
    Dense(Mlp),
    Sparse(SparseMlp),
}

impl Block {
    /// `row` is the layer's number among those with experts.
    pub fn load(loader: &mut Loader, b: &Blueprint, layer: usize, row: usize) -> Result<Block> {
        let prefix = format!("model.layers.{layer}.");
        let eps = b.norm_eps;
        let shape = &b.layers[layer];
        Ok(Block {
            input_norm: loader.vector(&format!("{prefix}input_layernorm.weight"))?,
            post_norm: loader.vector(&format!("{prefix}post_attention_layernorm.weight"))?,
            mixer: match &shape.mixer {
                Mixer::Attention(a) => {
                    LoadedMixer::Attention(Attention::load(loader, &prefix, a, eps)?)
                }
                Mixer::DeltaNet(d) => {
                    LoadedMixer::DeltaNet(DeltaNet::load(loader, &prefix, d, eps)?)
                }
            },
            feed_forward: match &shape.feed_forward {
                FeedForward::Dense { .. } => {
                    LoadedFeedForward::Dense(Mlp::load(loader, &format!("{prefix}mlp."))?)
                }
                FeedForward::Experts(m) => {
                    LoadedFeedForward::Sparse(SparseMlp::load(loader, &prefix, m, row)?)
                }
            },
            eps,
        })
    }

    /// `x [tokens, hidden]`, the tokens of all `runs` one after the other.
    pub fn forward(
        &self,
        cx: Context,
        x: &Tensor,
        runs: &mut [Run],
        experts: &mut Experts,
    ) -> Result<Tensor> {
        let normed = ops::rms_norm(cx.compute, x, &self.input_norm, self.eps)?;
        let mixed = match &self.mixer {
            LoadedMixer::Attention(a) => a.forward(cx, &normed, runs)?,
            LoadedMixer::DeltaNet(d) => d.forward(cx, &normed, runs)?,
        };
        self.feed_forward(cx, &(x + mixed)?, experts)
    }

    /// The second half, for which it does not matter whose tokens they are.
    fn feed_forward(&self, cx: Context, x: &Tensor, experts: &mut Experts) -> Result<Tensor> {
        let normed = ops::rms_norm(cx.compute, x, &self.post_norm, self.eps)?;
        let out = match &self.feed_forward {
            LoadedFeedForward::Dense(mlp) => {
                let out = ops::values(&normed, |n| Ok(mlp.forward(cx.compute, n)))?;
                Tensor::from_vec(out, x.dims2()?, &Device::Cpu)?
            }
            LoadedFeedForward::Sparse(moe) => moe.forward(cx, &normed, experts)?,
        };
        Ok((x + out)?)
    }

    /// The router and experts, if it has any.
    pub fn sparse(&mut self) -> Option<&mut SparseMlp> {
        match &mut self.feed_forward {
            LoadedFeedForward::Dense(_) => None,
            LoadedFeedForward::Sparse(moe) => Some(moe),
        }
    }
}
