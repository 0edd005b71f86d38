//! Which weights get how many bits.

use moestro_checkpoint::TensorInfo;
use moestro_kernels::Format;
use serde::{Deserialize, Serialize};

use crate::blueprint::Blueprint;

/// Formats that a model can be quantized to, mixed as llama.cpp mixes those of these
/// names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum Quantize {
    #[serde(rename = "q4_k_m")]
    Q4KM,
    #[serde(rename = "q5_k_m")]
    Q5KM,
    #[serde(rename = "q6_k")]
    Q6K,
    #[serde(rename = "q8_0")]
    Q8_0,
}

impl Quantize {
    pub const ALL: [Quantize; 4] = [
        Quantize::Q4KM,
        Quantize::Q5KM,
        Quantize::Q6K,
        Quantize::Q8_0,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Quantize::Q4KM => "q4_k_m",
            Quantize::Q5KM => "q5_k_m",
            Quantize::Q6K => "q6_k",
            Quantize::Q8_0 => "q8_0",
        }
    }

    pub fn named(name: &str) -> Option<Quantize> {
        let wanted = name.to_ascii_lowercase();
        Quantize::ALL.into_iter().find(|q| q.name() == wanted)
    }

    fn most(self) -> Format {
        match self {
            Quantize::Q4KM => Format::Q4K,
            Quantize::Q5KM => Format::Q5K,
            Quantize::Q6K => Format::Q6K,
            Quantize::Q8_0 => Format::Q8_0,
        }
    }

    /// The format for a tensor, which may be the one it has.
    pub fn format(self, t: &TensorInfo, b: &Blueprint) -> Format {
        let cols = t.shape.last().copied().unwrap_or(1);
        if t.shape.len() < 2 || t.shape.contains(&1) || is_exact(&t.name) {
            return t.format;
        }
        let wanted = self.mixed(&t.name, b.layers.len());
        // Rows that are not whole blocks of the wanted format.
        [wanted, Format::Q8_0]
            .into_iter()
            .find(|f| f.row_bytes(cols).is_some())
            .unwrap_or(t.format)
    }

    fn mixed(self, name: &str, layers: usize) -> Format {
        if !matches!(self, Quantize::Q4KM | Quantize::Q5KM) {
            return self.most();
        }
        let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
        let head = name == "lm_head.weight" || name == "output.weight";
        let precious = has(&["v_proj", "attn_v.", "down_proj", "ffn_down"]);
        if head || (precious && more_bits(layer(name), layers)) {
            return Format::Q6K;
        }
        // The input of a state that sums up all tokens.
        if self == Quantize::Q4KM && has(&["in_proj_qkv", "attn_qkv", "ssm_in"]) {
            return Format::Q5K;
        }
        self.most()
    }
}

/// Weights that decide much and are few: routers, gates and convolutions.
fn is_exact(name: &str) -> bool {
    [
        "mlp.gate.weight",
        "shared_expert_gate",
        "ffn_gate_inp",
        "conv1d",
    ]
    .iter()
    .any(|part| name.contains(part))
}

/// The first number in a name.
fn layer(name: &str) -> usize {
    let number = name.split('.').find_map(|part| part.parse().ok());
    number.unwrap_or(0)
}

/// The layers to which llama.cpp's mixtures give more bits.
fn more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}
