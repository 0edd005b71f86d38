//! Qwen3-Next: three Gated DeltaNet layers, then one gated attention layer, each
//! followed by a mixture of experts with a shared expert.
//! Source: Hugging Face Transformers, `models/qwen3_next`.

use moestro_checkpoint::{Checkpoint, GgufMetadata};
use serde_json::{Value, json};

use super::Architecture;
use super::fields::{Fields, GgufFields};
use crate::blueprint::{AttentionShape, Blueprint, DeltaNetShape, LayerShape, Mixer, MoeShape};
use crate::error::{Result, config_error};

pub const ARCHITECTURE: Architecture = Architecture {
    hub_name: "qwen3_next",
    gguf_name: "qwen3next",
    from_config,
    from_gguf,
};

fn from_config(config: &Value) -> Result<Blueprint> {
    let c = Fields(config);
    c.refuse_unless("attention_bias", &json!(false))?;
    c.refuse_unless("hidden_act", &json!("silu"))?;
    let layers = c.layers()?;
    let interval = c.size_or("full_attention_interval", 4)?;
    let head_dim = c.size("head_dim")?;
    let (rope_theta, factor) = c.rope(0.25)?;
    let attention = AttentionShape {
        heads: c.size("num_attention_heads")?,
        kv_heads: c.size("num_key_value_heads")?,
        head_dim,
        rotary_dims: (head_dim as f64 * factor) as usize,
        rope_theta,
        gated: true,
    };
    let delta_net = DeltaNetShape {
        key_heads: c.size("linear_num_key_heads")?,
        value_heads: c.size("linear_num_value_heads")?,
        key_dim: c.size("linear_key_head_dim")?,
        value_dim: c.size("linear_value_head_dim")?,
        conv_kernel: c.size("linear_conv_kernel_dim")?,
    };
    let moe = MoeShape {
        experts: c.size("num_experts")?,
        experts_per_token: c.size("num_experts_per_tok")?,
        intermediate: c.size("moe_intermediate_size")?,
        normalise: c.flag_or("norm_topk_prob", true)?,
        shared_intermediate: Some(c.size("shared_expert_intermediate_size")?),
    };
    let kinds = c.strings("layer_types")?;
    if kinds.as_ref().is_some_and(|k| k.len() != layers) {
        return Err(config_error(
            "layer_types",
            format!("does not name {layers} layers"),
        ));
    }
    let layer = |i: usize| -> Result<LayerShape> {
        let full = match kinds.as_ref().map(|k| k[i]) {
            None => (i + 1).is_multiple_of(interval),
            Some("full_attention") => true,
            Some("linear_attention") => false,
            Some(other) => {
                return Err(config_error(
                    "layer_types",
                    format!("names unknown kind `{other}`"),
                ));
            }
        };
        let mixer = if full {
            Mixer::Attention(attention.clone())
        } else {
            Mixer::DeltaNet(delta_net.clone())
        };
        let feed_forward = c.feed_forward(i, &moe)?;
        Ok(LayerShape {
            mixer,
            feed_forward,
        })
    };
    Ok(Blueprint {
        architecture: "qwen3_next",
        vocabulary: c.size("vocab_size")?,
        hidden: c.size("hidden_size")?,
        layers: (0..layers).map(layer).collect::<Result<_>>()?,
        norm_eps: c.number_or("rms_norm_eps", 1e-6)? as f32,
        zero_centred_norms: true,
        tied_head: c.flag_or("tie_word_embeddings", false)?,
        max_context: c.size_or("max_position_embeddings", 32_768)?,
    })
}

fn from_gguf(meta: &GgufMetadata, file: &Checkpoint) -> Result<Blueprint> {
    let c = GgufFields {
        meta,
        prefix: "qwen3next",
    };
    c.refuse_scaled_rope()?;
    let head_dim = c.size("attention.key_length")?;
    let attention = AttentionShape {
        heads: c.size("attention.head_count")?,
        kv_heads: c.size("attention.head_count_kv")?,
        head_dim,
        rotary_dims: c.size_or("rope.dimension_count", head_dim / 4)?,
        rope_theta: c.number("rope.freq_base")?,
        gated: true,
    };
    let value_heads = c.size("ssm.time_step_rank")?;
    let delta_net = DeltaNetShape {
        key_heads: c.size("ssm.group_count")?,
        value_heads,
        key_dim: c.size("ssm.state_size")?,
        value_dim: c.size("ssm.inner_size")? / value_heads,
        conv_kernel: c.size("ssm.conv_kernel")?,
    };
    let moe = MoeShape {
        experts: c.size("expert_count")?,
        experts_per_token: c.size("expert_used_count")?,
        intermediate: c.size("expert_feed_forward_length")?,
        // llama.cpp does not store the flag; every published model has it on.
        normalise: true,
        shared_intermediate: Some(c.size("expert_shared_feed_forward_length")?),
    };
    // The count includes multi-token-prediction blocks, which stand at the end.
    let layers = c.size("block_count")? - super::mtp_layers(&c)?;
    let layer = |i: usize| -> Result<LayerShape> {
        let full = file.tensor(&format!("blk.{i}.attn_q.weight")).is_some();
        let mixer = if full {
            Mixer::Attention(attention.clone())
        } else {
            Mixer::DeltaNet(delta_net.clone())
        };
        let feed_forward = c.feed_forward(file, i, &moe)?;
        Ok(LayerShape {
            mixer,
            feed_forward,
        })
    };
    Ok(Blueprint {
        architecture: "qwen3_next",
        vocabulary: super::gguf_vocabulary(file)?,
        hidden: c.size("embedding_length")?,
        layers: (0..layers).map(layer).collect::<Result<_>>()?,
        norm_eps: c.number("attention.layer_norm_rms_epsilon")? as f32,
        zero_centred_norms: false,
        tied_head: file.tensor("output.weight").is_none(),
        max_context: c.size_or("context_length", 32_768)?,
    })
}
