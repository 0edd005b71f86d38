//! config.json of the synthetic models, from the metadata of their GGUF files.

use anyhow::{Context, Result, bail};
use moestro_checkpoint::GgufValue;
use serde_json::{Value, json};

use super::packing::Packing;
use super::recipe::Recipe;

/// As the published checkpoints have it.
pub fn config(recipe: &Recipe, packing: Packing) -> Result<Value> {
    let of = |key: &str| match recipe.value(key) {
        Some(GgufValue::U32(number)) => Ok(*number),
        _ => bail!("the recipe lacks {key}"),
    };
    let rope_theta = match recipe.value("rope.freq_base") {
        Some(GgufValue::F32(number)) => *number as u64,
        _ => bail!("the recipe lacks its rope"),
    };
    let mut config = json!({
        "torch_dtype": "bfloat16",
        "num_hidden_layers": of("block_count")?,
        "hidden_size": of("embedding_length")?,
        "intermediate_size": of("feed_forward_length")?,
        "vocab_size": recipe.vocabulary,
        "max_position_embeddings": of("context_length")?,
        "num_attention_heads": of("attention.head_count")?,
        "num_key_value_heads": of("attention.head_count_kv")?,
        "head_dim": of("attention.key_length")?,
        "rms_norm_eps": 1e-6,
        "rope_theta": rope_theta,
        "num_experts": of("expert_count")?,
        "num_experts_per_tok": of("expert_used_count")?,
        "moe_intermediate_size": of("expert_feed_forward_length")?,
        "norm_topk_prob": true,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "attention_bias": false,
        "hidden_act": "silu",
        "tie_word_embeddings": false,
        "bos_token_id": recipe.vocabulary - 3,
        "eos_token_id": recipe.vocabulary - 1,
    });
    let more = match recipe.is_qwen3_next() {
        false => json!({
            "architectures": ["Qwen3MoeForCausalLM"],
            "model_type": "qwen3_moe",
        }),
        true => json!({
            "architectures": ["Qwen3NextForCausalLM"],
            "model_type": "qwen3_next",
            "full_attention_interval": of("full_attention_interval")?,
            "partial_rotary_factor":
                f64::from(of("rope.dimension_count")?) / f64::from(of("attention.key_length")?),
            "shared_expert_intermediate_size": of("expert_shared_feed_forward_length")?,
            "linear_conv_kernel_dim": of("ssm.conv_kernel")?,
            "linear_key_head_dim": of("ssm.state_size")?,
            "linear_value_head_dim": of("ssm.inner_size")? / of("ssm.time_step_rank")?,
            "linear_num_key_heads": of("ssm.group_count")?,
            "linear_num_value_heads": of("ssm.time_step_rank")?,
        }),
    };
    let all = config.as_object_mut().context("was written as an object")?;
    all.extend(more.as_object().cloned().unwrap_or_default());
    if packing != Packing::BF16 {
        all.insert("quantization_config".into(), packing.settings());
    }
    Ok(config)
}
