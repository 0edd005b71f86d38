//! Qwen3-MoE: attention in every layer, experts without a shared one, norm
//! weights stored as they are. Source: Hugging Face Transformers, `models/qwen3_moe`.

use moestro_checkpoint::{Checkpoint, GgufMetadata};
use serde_json::{Value, json};

use super::Architecture;
use super::fields::{Fields, GgufFields};
use crate::blueprint::{AttentionShape, Blueprint, LayerShape, Mixer, MoeShape};
use crate::error::Result;

pub const ARCHITECTURE: Architecture = Architecture {
    hub_name: "qwen3_moe",
    gguf_name: "qwen3moe",
    from_config,
    from_gguf,
};

fn from_config(config: &Value) -> Result<Blueprint> {
    let c = Fields(config);
    c.refuse_unless("attention_bias", &json!(false))?;
    c.refuse_unless("hidden_act", &json!("silu"))?;
    c.refuse_unless("use_sliding_window", &json!(false))?;
    let heads = c.size("num_attention_heads")?;
    let hidden = c.size("hidden_size")?;
    let head_dim = c.size_or("head_dim", hidden / heads)?;
    let (rope_theta, factor) = c.rope(1.0)?;
    let attention = AttentionShape {
        heads,
        kv_heads: c.size("num_key_value_heads")?,
        head_dim,
        rotary_dims: (head_dim as f64 * factor) as usize,
        rope_theta,
        gated: false,
    };
    let moe = MoeShape {
        experts: c.size("num_experts")?,
        experts_per_token: c.size("num_experts_per_tok")?,
        intermediate: c.size("moe_intermediate_size")?,
        normalise: c.flag_or("norm_topk_prob", false)?,
        shared_intermediate: None,
    };
    let layer = |i: usize| -> Result<LayerShape> {
        let feed_forward = c.feed_forward(i, &moe)?;
        Ok(LayerShape {
            mixer: Mixer::Attention(attention.clone()),
            feed_forward,
        })
    };
    Ok(Blueprint {
        architecture: "qwen3_moe",
        vocabulary: c.size("vocab_size")?,
        hidden,
        layers: (0..c.layers()?).map(layer).collect::<Result<_>>()?,
        norm_eps: c.number_or("rms_norm_eps", 1e-6)? as f32,
        zero_centred_norms: false,
        tied_head: c.flag_or("tie_word_embeddings", false)?,
        max_context: c.size_or("max_position_embeddings", 32_768)?,
    })
}

fn from_gguf(meta: &GgufMetadata, file: &Checkpoint) -> Result<Blueprint> {
    let c = GgufFields {
        meta,
        prefix: "qwen3moe",
    };
    c.refuse_scaled_rope()?;
    let heads = c.size("attention.head_count")?;
    let hidden = c.size("embedding_length")?;
    let head_dim = c.size_or("attention.key_length", hidden / heads)?;
    let attention = AttentionShape {
        heads,
        kv_heads: c.size("attention.head_count_kv")?,
        head_dim,
        rotary_dims: c.size_or("rope.dimension_count", head_dim)?,
        rope_theta: c.number("rope.freq_base")?,
        gated: false,
    };
    let moe = MoeShape {
        experts: c.size("expert_count")?,
        experts_per_token: c.size("expert_used_count")?,
        intermediate: c.size("expert_feed_forward_length")?,
        // Not stored by llama.cpp; 30B-A3B and 235B-A22B both have it on.
        normalise: true,
        shared_intermediate: None,
    };
    let layer = |i: usize| -> Result<LayerShape> {
        let feed_forward = c.feed_forward(file, i, &moe)?;
        Ok(LayerShape {
            mixer: Mixer::Attention(attention.clone()),
            feed_forward,
        })
    };
    let layers = c.size("block_count")? - super::mtp_layers(&c)?;
    Ok(Blueprint {
        architecture: "qwen3_moe",
        vocabulary: super::gguf_vocabulary(file)?,
        hidden,
        layers: (0..layers).map(layer).collect::<Result<_>>()?,
        norm_eps: c.number("attention.layer_norm_rms_epsilon")? as f32,
        zero_centred_norms: false,
        tied_head: file.tensor("output.weight").is_none(),
        max_context: c.size_or("context_length", 32_768)?,
    })
}
