//! The model families the engine knows. Each file reads its configuration into a
//! blueprint of shared layers; a new family is one file and one line in `ALL`.

mod fields;
mod qwen3_moe;
mod qwen3_next;

use moestro_checkpoint::{Checkpoint, GgufMetadata, Metadata};
use serde_json::Value;

use self::fields::GgufFields;
use crate::blueprint::Blueprint;
use crate::error::{EngineError, Result, config_error};

/// How to recognise and read one model family.
pub struct Architecture {
    /// `model_type` in config.json.
    pub hub_name: &'static str,
    /// `general.architecture` in a GGUF file.
    pub gguf_name: &'static str,
    pub from_config: fn(&Value) -> Result<Blueprint>,
    pub from_gguf: fn(&GgufMetadata, &Checkpoint) -> Result<Blueprint>,
}

/// More than any known model has; keeps a damaged count from allocating.
const MOST_LAYERS: usize = 4096;

pub const ALL: &[Architecture] = &[qwen3_next::ARCHITECTURE, qwen3_moe::ARCHITECTURE];

/// Reads the blueprint of a checkpoint.
///
/// Errors: an unknown architecture (listing the known ones), a missing or
/// impossible value (naming it).
pub fn read(checkpoint: &Checkpoint) -> Result<Blueprint> {
    let blueprint = match checkpoint.metadata() {
        Metadata::HuggingFace(hub) => {
            let name = hub
                .config
                .get("model_type")
                .and_then(Value::as_str)
                .ok_or_else(|| {
                    config_error(
                        "model_type",
                        "is missing from config.json; is this a model folder?",
                    )
                })?;
            let family = ALL
                .iter()
                .find(|a| a.hub_name == name)
                .ok_or_else(|| unknown(name))?;
            (family.from_config)(&hub.config)?
        }
        Metadata::Gguf(meta) => {
            let name = meta.architecture();
            let family = ALL
                .iter()
                .find(|a| a.gguf_name == name)
                .ok_or_else(|| unknown(name))?;
            (family.from_gguf)(meta, checkpoint)?
        }
    };
    check(&blueprint)?;
    Ok(blueprint)
}

fn unknown(found: &str) -> EngineError {
    let known: Vec<String> = ALL
        .iter()
        .map(|a| format!("`{}` (GGUF `{}`)", a.hub_name, a.gguf_name))
        .collect();
    EngineError::Architecture {
        found: found.chars().take(80).collect(),
        known: known.join(", "),
    }
}

/// Rows of the embedding matrix; GGUF files need not store the vocabulary size.
fn gguf_vocabulary(file: &Checkpoint) -> Result<usize> {
    let name = "token_embd.weight";
    let info = file
        .tensor(name)
        .ok_or_else(|| EngineError::MissingTensor {
            name: name.to_string(),
        })?;
    info.shape
        .first()
        .copied()
        .filter(|v| *v > 0)
        .ok_or_else(|| config_error(name, "has no rows"))
}

/// Multi-token-prediction blocks at the end of a GGUF file, which are not used.
fn mtp_layers(fields: &GgufFields) -> Result<usize> {
    let blocks = fields.size("block_count")?;
    let mtp = fields.size_or("nextn_predict_layers", 0)?;
    if mtp >= blocks {
        return Err(config_error(
            "nextn_predict_layers",
            format!("is {mtp} of {blocks} blocks"),
        ));
    }
    if blocks > MOST_LAYERS {
        return Err(config_error(
            "block_count",
            format!("is {blocks}, at most {MOST_LAYERS}"),
        ));
    }
    Ok(mtp)
}

/// Relations between dimensions that every layer relies on.
fn check(b: &Blueprint) -> Result<()> {
    use crate::blueprint::{FeedForward, Mixer};
    if b.layers.is_empty() {
        return Err(config_error("num_hidden_layers", "is 0"));
    }
    for layer in &b.layers {
        match &layer.mixer {
            Mixer::Attention(a) => {
                if a.heads % a.kv_heads != 0 {
                    return Err(config_error(
                        "num_attention_heads",
                        format!(
                            "{} is not a multiple of {} key/value heads",
                            a.heads, a.kv_heads
                        ),
                    ));
                }
                if a.rotary_dims > a.head_dim || a.rotary_dims % 2 != 0 {
                    return Err(config_error(
                        "partial_rotary_factor",
                        format!("rotates {} of {} dimensions", a.rotary_dims, a.head_dim),
                    ));
                }
            }
            Mixer::DeltaNet(d) => {
                if d.value_heads % d.key_heads != 0 {
                    return Err(config_error(
                        "linear_num_value_heads",
                        format!(
                            "{} is not a multiple of {} key heads",
                            d.value_heads, d.key_heads
                        ),
                    ));
                }
                if d.conv_kernel < 2 {
                    return Err(config_error("linear_conv_kernel_dim", "must be at least 2"));
                }
            }
        }
        if let FeedForward::Experts(m) = &layer.feed_forward
            && m.experts_per_token > m.experts
        {
            return Err(config_error(
                "num_experts_per_tok",
                format!("asks for {} of {} experts", m.experts_per_token, m.experts),
            ));
        }
    }
    Ok(())
}
