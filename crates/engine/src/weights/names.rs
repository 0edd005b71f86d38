//! Where a weight stands in a file: the names that Hugging Face folders and
//! llama.cpp's GGUF files give it, and the rows of it when several weights share
//! one tensor.

use std::ops::Range;

use crate::blueprint::{Blueprint, DeltaNetShape, FeedForward, Mixer};

/// A place to look for a weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    pub tensor: String,
    /// Rows of that tensor; `None` takes all of it.
    pub rows: Option<Vec<Range<usize>>>,
    pub transform: Transform,
}

/// What a stored vector has to go through to become the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transform {
    None,
    /// Norm weights stored around zero.
    AddOne,
    /// GGUF stores `-exp(A_log)`.
    LogOfNegated,
}

/// Suffixes of one layer: Hugging Face, then the GGUF names in use for it.
const LAYER_NAMES: &[(&str, &[&str])] = &[
    ("input_layernorm.weight", &["attn_norm.weight"]),
    (
        "post_attention_layernorm.weight",
        &["post_attention_norm.weight", "ffn_norm.weight"],
    ),
    ("self_attn.q_proj.weight", &["attn_q.weight"]),
    ("self_attn.k_proj.weight", &["attn_k.weight"]),
    ("self_attn.v_proj.weight", &["attn_v.weight"]),
    ("self_attn.o_proj.weight", &["attn_output.weight"]),
    ("self_attn.q_norm.weight", &["attn_q_norm.weight"]),
    ("self_attn.k_norm.weight", &["attn_k_norm.weight"]),
    ("linear_attn.in_proj_qkv.weight", &["attn_qkv.weight"]),
    ("linear_attn.in_proj_z.weight", &["attn_gate.weight"]),
    ("linear_attn.in_proj_qkvz.weight", &["ssm_in.weight"]),
    ("linear_attn.in_proj_ba.weight", &["ssm_ba.weight"]),
    ("linear_attn.conv1d.weight", &["ssm_conv1d.weight"]),
    ("linear_attn.dt_bias", &["ssm_dt.bias"]),
    ("linear_attn.A_log", &["ssm_a"]),
    ("linear_attn.norm.weight", &["ssm_norm.weight"]),
    ("linear_attn.out_proj.weight", &["ssm_out.weight"]),
    ("mlp.gate.weight", &["ffn_gate_inp.weight"]),
    (
        "mlp.shared_expert_gate.weight",
        &["ffn_gate_inp_shexp.weight"],
    ),
    (
        "mlp.shared_expert.gate_proj.weight",
        &["ffn_gate_shexp.weight"],
    ),
    ("mlp.shared_expert.up_proj.weight", &["ffn_up_shexp.weight"]),
    (
        "mlp.shared_expert.down_proj.weight",
        &["ffn_down_shexp.weight"],
    ),
    ("mlp.gate_proj.weight", &["ffn_gate.weight"]),
    ("mlp.up_proj.weight", &["ffn_up.weight"]),
    ("mlp.down_proj.weight", &["ffn_down.weight"]),
    ("mlp.experts.gate_proj", &["ffn_gate_exps.weight"]),
    ("mlp.experts.up_proj", &["ffn_up_exps.weight"]),
    ("mlp.experts.gate_up_proj", &["ffn_gate_up_exps.weight"]),
    ("mlp.experts.down_proj", &["ffn_down_exps.weight"]),
];

/// Splits `model.layers.7.mlp.gate.weight` into 7 and `mlp.gate.weight`.
fn layer_of(name: &str) -> Option<(usize, &str)> {
    let (number, suffix) = name.strip_prefix("model.layers.")?.split_once('.')?;
    Some((number.parse().ok()?, suffix))
}

/// The places to look for `name`, best first.
pub fn candidates(name: &str, gguf: bool, b: &Blueprint) -> Vec<Candidate> {
    let mut found = direct(name, gguf, b);
    let Some((layer, suffix)) = layer_of(name) else {
        return found;
    };
    let Some(Mixer::DeltaNet(shape)) = b.layers.get(layer).map(|l| &l.mixer) else {
        return found;
    };
    // Fused projections are interleaved per key head in both kinds of file.
    let fused = match suffix {
        "linear_attn.in_proj_qkv.weight" => Some(("in_proj_qkvz", qkv_rows(shape))),
        "linear_attn.in_proj_z.weight" => Some(("in_proj_qkvz", z_rows(shape))),
        "linear_attn.in_proj_b.weight" => Some(("in_proj_ba", ba_rows(shape, 0))),
        "linear_attn.in_proj_a.weight" => Some(("in_proj_ba", ba_rows(shape, 1))),
        _ => None,
    };
    if let Some((fused, rows)) = fused {
        let whole = format!("model.layers.{layer}.linear_attn.{fused}.weight");
        found.extend(direct(&whole, gguf, b).into_iter().map(|c| Candidate {
            rows: Some(rows.clone()),
            ..c
        }));
    }
    found
}

fn direct(name: &str, gguf: bool, b: &Blueprint) -> Vec<Candidate> {
    if !gguf {
        let zero_centred = b.zero_centred_norms
            && (name.ends_with("norm.weight") || name.ends_with("layernorm.weight"))
            && !name.ends_with("linear_attn.norm.weight");
        let transform = if zero_centred {
            Transform::AddOne
        } else {
            Transform::None
        };
        return vec![Candidate {
            tensor: name.to_string(),
            rows: None,
            transform,
        }];
    }
    let plain = |tensor: String| Candidate {
        tensor,
        rows: None,
        transform: Transform::None,
    };
    match name {
        "model.embed_tokens.weight" => return vec![plain("token_embd.weight".into())],
        "model.norm.weight" => return vec![plain("output_norm.weight".into())],
        "lm_head.weight" => return vec![plain("output.weight".into())],
        _ => {}
    }
    let Some((layer, suffix)) = layer_of(name) else {
        return Vec::new();
    };
    let transform = if suffix == "linear_attn.A_log" {
        Transform::LogOfNegated
    } else {
        Transform::None
    };
    LAYER_NAMES
        .iter()
        .filter(|(hub, _)| *hub == suffix)
        .flat_map(|(_, ggufs)| ggufs.iter())
        .map(|g| Candidate {
            tensor: format!("blk.{layer}.{g}"),
            rows: None,
            transform,
        })
        .collect()
}

/// The tensor that holds all experts of a layer for `part` (`gate_proj`,
/// `up_proj`, `gate_up_proj`, `down_proj`), shaped `[experts, rows, cols]`.
pub fn stacked_experts(layer: usize, part: &str, gguf: bool) -> String {
    let suffix = format!("mlp.experts.{part}");
    if !gguf {
        return format!("model.layers.{layer}.{suffix}");
    }
    let names = LAYER_NAMES
        .iter()
        .find(|(hub, _)| *hub == suffix)
        .map(|(_, g)| g[0]);
    format!("blk.{layer}.{}", names.unwrap_or_default())
}

/// The tensor of one expert in a Hugging Face folder.
pub fn single_expert(layer: usize, expert: usize, part: &str) -> String {
    format!("model.layers.{layer}.mlp.experts.{expert}.{part}.weight")
}

/// Columns of the matrix that a tensor of a Hugging Face folder is, by its name.
pub fn columns(tensor: &str, b: &Blueprint) -> Option<usize> {
    let Some((layer, suffix)) = layer_of(tensor) else {
        return Some(b.hidden);
    };
    let shape = b.layers.get(layer)?;
    let part = suffix.strip_suffix(".weight").unwrap_or(suffix);
    let experts = match &shape.feed_forward {
        FeedForward::Experts(m) => Some(m),
        FeedForward::Dense { .. } => None,
    };
    match (part, &shape.feed_forward, &shape.mixer) {
        ("self_attn.o_proj", _, Mixer::Attention(a)) => Some(a.heads * a.head_dim),
        ("linear_attn.out_proj", _, Mixer::DeltaNet(d)) => Some(d.value_width()),
        ("mlp.shared_expert.down_proj", ..) => experts?.shared_intermediate,
        ("mlp.down_proj", FeedForward::Dense { intermediate }, _) => Some(*intermediate),
        (part, ..) if part.starts_with("mlp.experts.") && part.ends_with("down_proj") => {
            Some(experts?.intermediate)
        }
        _ => Some(b.hidden),
    }
}

/// Parts of a checkpoint that are known and not used, by what they are.
pub fn skipped(tensor: &str, gguf: bool, b: &Blueprint) -> Option<&'static str> {
    const MTP: &str = "multi-token prediction block";
    if tensor.starts_with("mtp.") {
        return Some(MTP);
    }
    if gguf {
        let block = tensor
            .strip_prefix("blk.")
            .and_then(|t| t.split('.').next());
        if block
            .and_then(|n| n.parse::<usize>().ok())
            .is_some_and(|n| n >= b.layers.len())
        {
            return Some(MTP);
        }
        return (tensor == "rope_freqs.weight").then_some("rotary frequencies");
    }
    if tensor.ends_with("rotary_emb.inv_freq") {
        return Some("rotary frequencies");
    }
    (b.tied_head && tensor == "lm_head.weight").then_some("output head (tied to the embeddings)")
}

/// Per key head: q, k, then the value heads' v, then their z. All q first, then
/// all k, then all v, as the convolution wants them.
fn qkv_rows(s: &DeltaNetShape) -> Vec<Range<usize>> {
    let values = s.value_heads / s.key_heads * s.value_dim;
    let head = 2 * s.key_dim + 2 * values;
    let part = |offset: usize, len: usize| {
        (0..s.key_heads).map(move |h| h * head + offset..h * head + offset + len)
    };
    part(0, s.key_dim)
        .chain(part(s.key_dim, s.key_dim))
        .chain(part(2 * s.key_dim, values))
        .collect()
}

fn z_rows(s: &DeltaNetShape) -> Vec<Range<usize>> {
    let values = s.value_heads / s.key_heads * s.value_dim;
    let head = 2 * s.key_dim + 2 * values;
    let offset = 2 * s.key_dim + values;
    (0..s.key_heads)
        .map(|h| h * head + offset..(h + 1) * head)
        .collect()
}

/// `which`: 0 for b, 1 for a.
fn ba_rows(s: &DeltaNetShape, which: usize) -> Vec<Range<usize>> {
    let per_head = s.value_heads / s.key_heads;
    (0..s.key_heads)
        .map(|h| {
            let start = (2 * h + which) * per_head;
            start..start + per_head
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: DeltaNetShape = DeltaNetShape {
        key_heads: 2,
        value_heads: 4,
        key_dim: 3,
        value_dim: 5,
        conv_kernel: 4,
    };

    #[test]
    fn fused_rows_are_taken_apart_without_gap_or_overlap() {
        let mut rows: Vec<usize> = qkv_rows(&SHAPE)
            .into_iter()
            .chain(z_rows(&SHAPE))
            .flatten()
            .collect();
        assert_eq!(
            rows[..6],
            [0, 1, 2, 26, 27, 28],
            "all q of both heads come first"
        );
        rows.sort_unstable();
        assert_eq!(rows, (0..52).collect::<Vec<_>>());
        let mut ba: Vec<usize> = ba_rows(&SHAPE, 0)
            .into_iter()
            .chain(ba_rows(&SHAPE, 1))
            .flatten()
            .collect();
        assert_eq!(ba, [0, 1, 4, 5, 2, 3, 6, 7]);
        ba.sort_unstable();
        assert_eq!(ba, (0..8).collect::<Vec<_>>());
    }
}
