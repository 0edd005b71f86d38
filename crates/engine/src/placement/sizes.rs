//! How large the parts of a model are, from its blueprint and tensor list alone.

use std::collections::BTreeMap;

use moestro_cuda::granted;

use crate::blueprint::{Blueprint, FeedForward, LayerShape, Mixer};
use crate::experts;
use crate::protocol::{Component, GpuShare};
use crate::state::KvFormat;
use crate::weights::Manifest;

/// Tokens that prefill works on at a time.
pub const PREFILL_CHUNK: usize = 512;
/// Copies of the recurrent state kept to go back to earlier turns.
pub const SNAPSHOTS: usize = 3;
/// VRAM that a driver takes for a program, before it was measured.
const GPU_PROGRAM: u64 = 300 << 20;

/// Of one layer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LayerSizes {
    /// Weights that every token needs.
    pub weights: BTreeMap<Component, u64>,
    pub kv_bytes_per_token: u64,
    /// Recurrent state, live and in snapshots.
    pub recurrent_bytes: u64,
    /// Of an expert slot; 0 in a layer without experts.
    pub slot_bytes: u64,
    /// What its weights take more in VRAM, which is given in pages.
    pub vram_rounding: u64,
}

impl LayerSizes {
    /// State of one session with all its snapshots.
    pub fn state_bytes(&self, context: usize) -> u64 {
        self.kv_bytes_per_token * context as u64 + self.recurrent_bytes
    }

    /// All that is always needed of it.
    pub fn bytes(&self, context: usize) -> u64 {
        self.weights.values().sum::<u64>() + self.state_bytes(context)
    }
}

/// Bytes by component, and what the context costs.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSizes {
    /// Weights that every token needs.
    pub weights: BTreeMap<Component, u64>,
    /// The part of each layer in all of this.
    pub layers: Vec<LayerSizes>,
    pub kv_bytes_per_token: u64,
    /// Recurrent state, live and in snapshots.
    pub recurrent_bytes: u64,
    /// Working memory of the largest prefill step.
    pub activation_bytes: u64,
    /// The program itself with its tokenizer.
    pub program_bytes: u64,
    /// What a GPU's driver takes for a program that uses it.
    pub gpu_program_bytes: u64,
    /// What is on the GPU already and stays there; `None` before loading.
    pub loaded_on_gpu: Option<GpuShare>,
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
        let mut layers: Vec<LayerSizes> = blueprint.layers.iter().map(layer_state(kv)).collect();
        for (name, located) in &manifest.weights {
            *weights.entry(located.component).or_default() += located.bytes;
            if let Some(layer) = layer_of(name).and_then(|layer| layers.get_mut(layer)) {
                *layer.weights.entry(located.component).or_default() += located.bytes;
                layer.vram_rounding += granted(located.bytes) - located.bytes;
            }
        }
        for experts in &manifest.experts {
            layers[experts.layer].slot_bytes = experts.layout.slot_bytes as u64;
        }
        let chosen = blueprint.moe_layers().map(|(_, m)| m.experts_per_token);
        let chosen = chosen.max().unwrap_or(0);
        ModelSizes {
            weights,
            layers,
            kv_bytes_per_token: (blueprint.kv_elements_per_token() * kv.bytes()) as u64,
            recurrent_bytes: (blueprint.recurrent_elements() * 4 * (1 + SNAPSHOTS)) as u64,
            activation_bytes: activation_bytes(blueprint),
            program_bytes: 0,
            gpu_program_bytes: GPU_PROGRAM,
            loaded_on_gpu: None,
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

    /// One slot in each of the first `layers` layers of the model.
    pub fn slot_bytes_of_first(&self, layers: usize) -> u64 {
        self.layers[..layers].iter().map(|l| l.slot_bytes).sum()
    }

    /// One slot, on average over the layers that have some.
    pub fn mean_slot_bytes(&self) -> u64 {
        self.slot_bytes_all_layers() / self.slot_bytes.len().max(1) as u64
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
}

/// The number of the layer that a weight belongs to.
fn layer_of(name: &str) -> Option<usize> {
    name.strip_prefix("model.layers.")?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn layer_state(kv: KvFormat) -> impl Fn(&LayerShape) -> LayerSizes {
    move |layer| {
        let (kv_elements, recurrent) = match &layer.mixer {
            Mixer::Attention(a) => (2 * a.kv_rows(), 0),
            Mixer::DeltaNet(d) => (0, d.state_elements() + d.conv_elements()),
        };
        LayerSizes {
            kv_bytes_per_token: (kv_elements * kv.bytes()) as u64,
            recurrent_bytes: (recurrent * 4 * (1 + SNAPSHOTS)) as u64,
            ..LayerSizes::default()
        }
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
