//! How large the parts of a model are, from its blueprint and tensor list alone.

use std::collections::BTreeMap;

use crate::blueprint::{Blueprint, FeedForward, Mixer};
use crate::experts;
use crate::protocol::Component;
use crate::state::KvFormat;
use crate::weights::Manifest;

/// Tokens that prefill works on at a time.
pub const PREFILL_CHUNK: usize = 512;
/// Copies of the recurrent state kept to go back to earlier turns.
pub const SNAPSHOTS: usize = 3;

/// Bytes by component, and what the context costs.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSizes {
    /// Weights that every token needs.
    pub weights: BTreeMap<Component, u64>,
    pub kv_bytes_per_token: u64,
    /// Recurrent state, live and in snapshots.
    pub recurrent_bytes: u64,
    /// Working memory of the largest prefill step.
    pub activation_bytes: u64,
    /// The program itself with its tokenizer.
    pub program_bytes: u64,
    /// Experts on their way from disk, and the memory they are read into.
    pub transit_bytes: u64,
    /// Bytes of one slot in each layer that has experts.
    pub slot_bytes: Vec<u64>,
    /// Experts per layer.
    pub experts: usize,
    pub max_context: usize,
    pub file_bytes: u64,
}

impl ModelSizes {
    pub fn new(
        blueprint: &Blueprint,
        manifest: &Manifest,
        kv: KvFormat,
        file_bytes: u64,
    ) -> ModelSizes {
        let mut weights = BTreeMap::new();
        for located in manifest.weights.values() {
            *weights.entry(located.component).or_default() += located.bytes;
        }
        let chosen = blueprint.moe_layers().map(|(_, m)| m.experts_per_token);
        let chosen = chosen.max().unwrap_or(0);
        ModelSizes {
            weights,
            kv_bytes_per_token: (blueprint.kv_elements_per_token() * kv.bytes()) as u64,
            recurrent_bytes: (blueprint.recurrent_elements() * 4 * (1 + SNAPSHOTS)) as u64,
            activation_bytes: activation_bytes(blueprint),
            program_bytes: 0,
            transit_bytes: experts::transit_bytes(&manifest.experts, chosen),
            slot_bytes: manifest
                .experts
                .iter()
                .map(|l| l.layout.slot_bytes as u64)
                .collect(),
            experts: blueprint
                .moe_layers()
                .map(|(_, m)| m.experts)
                .max()
                .unwrap_or(0),
            max_context: blueprint.max_context,
            file_bytes,
        }
    }

    /// One slot in every layer.
    pub fn slot_bytes_all_layers(&self) -> u64 {
        self.slot_bytes.iter().sum()
    }

    pub fn all_experts(&self) -> u64 {
        self.slot_bytes_all_layers() * self.experts as u64
    }

    /// Of one session with all its snapshots: what is kept for all sessions.
    pub fn state_bytes(&self, context: usize) -> u64 {
        self.kv_bytes_per_token * context as u64 + self.recurrent_bytes
    }

    /// Of one session with one snapshot.
    pub fn session_bytes(&self, tokens: usize) -> u64 {
        let copy = self.recurrent_bytes / (1 + SNAPSHOTS) as u64;
        self.kv_bytes_per_token * tokens as u64 + 2 * copy
    }

    /// What every token needs, in the order in which VRAM is given to it.
    pub fn always_needed(&self, context: usize) -> Vec<(Component, u64)> {
        use Component::*;
        let weight = |c| (c, self.weights.get(&c).copied().unwrap_or(0));
        let mut list: Vec<_> = [Norms, Routers, DeltaNet, Attention, SharedExperts, DenseMlp]
            .map(weight)
            .to_vec();
        list.push((SessionState, self.state_bytes(context)));
        list.push((Activations, self.activation_bytes));
        list.extend([OutputHead, Embeddings].map(weight));
        list
    }
}

/// The widest moment of a prefill step, in f32 values per token: the residual
/// stream with its norm and sum, plus the larger of a mixer and a feed-forward.
fn activation_bytes(b: &Blueprint) -> u64 {
    let mixer = |m: &Mixer| match m {
        Mixer::Attention(a) => 2 * a.query_rows() + 4 * a.kv_rows() + a.heads * a.head_dim,
        Mixer::DeltaNet(d) => 2 * d.conv_channels() + 3 * d.value_width() + 4 * d.value_heads,
    };
    let feed_forward = |f: &FeedForward| match f {
        FeedForward::Dense { intermediate } => b.hidden + intermediate,
        FeedForward::Experts(m) => {
            // Outputs of all choices are summed at the end; what is inside an expert
            // lives no longer than its tile.
            m.experts + m.experts_per_token * b.hidden + 2 * b.hidden
        }
    };
    let widest = b
        .layers
        .iter()
        .map(|l| mixer(&l.mixer).max(feed_forward(&l.feed_forward)))
        .max()
        .unwrap_or(0);
    let chunk = PREFILL_CHUNK * (4 * b.hidden + widest) * 4;
    (chunk + b.vocabulary * 4 * 2) as u64
}
