//! One layer of the residual stream: norm, mixer, norm, feed-forward.

use super::attention::Attention;
use super::delta_net::DeltaNet;
use super::mlp::Mlp;
use super::{Context, Run, SparseMlp};
use crate::blueprint::{Blueprint, FeedForward, Mixer};
use crate::error::Result;
use crate::experts::Experts;
use crate::ops::{self, Array, Place};
use crate::weights::Loader;

pub struct Block {
    input_norm: Array,
    post_norm: Array,
    mixer: LoadedMixer,
    feed_forward: LoadedFeedForward,
    eps: f32,
    place: Place,
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
            place: match loader.gpu() {
                None => Place::Host,
                Some(_) => Place::Gpu,
            },
        })
    }

    /// `x [tokens, hidden]`, the tokens of all `runs` one after the other.
    pub fn forward(
        &self,
        cx: Context,
        x: Array,
        runs: &mut [Run],
        experts: &mut Experts,
    ) -> Result<Array> {
        let mut x = x.moved(cx, self.place)?;
        let normed = ops::rms_norm(cx, &x, &self.input_norm, self.eps)?;
        let mixed = match &self.mixer {
            LoadedMixer::Attention(a) => a.forward(cx, &normed, runs)?,
            LoadedMixer::DeltaNet(d) => d.forward(cx, &normed, runs)?,
        };
        // From here on it does not matter whose tokens they are.
        let normed = ops::add_rms_norm(cx, &mut x, &mixed, &self.post_norm, self.eps)?;
        match &self.feed_forward {
            LoadedFeedForward::Dense(mlp) => {
                let out = mlp.forward(cx, &normed)?;
                ops::add(cx, &mut x, &out)?;
            }
            LoadedFeedForward::Sparse(moe) => moe.add_to(cx, &mut x, &normed, experts)?,
        }
        Ok(x)
    }

    /// The router and experts, if it has any.
    pub fn sparse(&mut self) -> Option<&mut SparseMlp> {
        match &mut self.feed_forward {
            LoadedFeedForward::Dense(_) => None,
            LoadedFeedForward::Sparse(moe) => Some(moe),
        }
    }
}
