//! The same models as Hugging Face folders: safetensors under the names of their
//! published checkpoints, with a configuration and a tokenizer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use moestro_checkpoint::GgufTensor;
use serde_json::{Map, Value, json};

use super::blocks::Random;
use super::hub_config::config;
use super::packing::{Packing, Part};
use super::recipe::Recipe;
use super::values::Values;
use super::{show_progress, vocabulary};

/// Bytes of weights after which another file begins.
const SHARD: u64 = 4 << 30;

/// Tensors alike: the experts of a layer, or one of anything else.
struct Alike {
    names: Vec<String>,
    /// Each is made of these.
    parts: Vec<Part>,
}

impl Alike {
    fn bytes(&self) -> u64 {
        let each: u64 = self.parts.iter().map(|part| part.bytes).sum();
        self.names.len() as u64 * each
    }

    /// Names of the tensors that are stored, with what they are, in order.
    fn stored(&self) -> impl Iterator<Item = (String, &Part)> {
        let of = |name: &String, part: &Part| format!("{name}{}", part.suffix);
        let parts = move |name| self.parts.iter().map(move |part| (of(name, part), part));
        self.names.iter().flat_map(parts)
    }
}

/// Writes the model into the folder `output`, which is made if it is not there.
pub fn write(output: &Path, recipe: &Recipe, packing: Packing, seed: u64) -> Result<u64> {
    if output.join("config.json").exists() {
        bail!("{} holds a model already", output.display());
    }
    std::fs::create_dir_all(output).with_context(|| format!("making {}", output.display()))?;
    let tensors = tensors(recipe, packing)?;
    let total: u64 = tensors.iter().map(Alike::bytes).sum();
    let mut random = Random::new(seed);
    let mut done = 0;
    let mut map = Map::new();
    let shards = split(tensors);
    for (i, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", i + 1, shards.len());
        let path = output.join(&name);
        for (tensor, _) in shard.iter().flat_map(Alike::stored) {
            map.insert(tensor, name.clone().into());
        }
        write_shard(&path, shard, &mut random, &mut |bytes| {
            done += bytes;
            show_progress(done, total);
        })
        .with_context(|| format!("writing {}", path.display()))?;
    }
    let json = |name: &str, value: Value| {
        let path = output.join(name);
        let written = std::fs::write(&path, value.to_string());
        written.with_context(|| format!("writing {}", path.display()))
    };
    let index = json!({"metadata": {"total_size": total}, "weight_map": map});
    json("model.safetensors.index.json", index)?;
    let (tokenizer, settings) = vocabulary::hub(recipe.vocabulary);
    json("tokenizer.json", tokenizer)?;
    json("tokenizer_config.json", settings)?;
    // Last: without it, the folder holds no model.
    json("config.json", config(recipe, packing)?)?;
    Ok(total)
}

/// Tensors of the files, in order.
fn split(tensors: Vec<Alike>) -> Vec<Vec<Alike>> {
    let mut shards = vec![Vec::new()];
    let mut bytes = 0;
    for tensor in tensors {
        let more = tensor.bytes();
        if bytes > 0 && bytes + more > SHARD {
            shards.push(Vec::new());
            bytes = 0;
        }
        bytes += more;
        shards.last_mut().expect("there is one").push(tensor);
    }
    shards
}

fn write_shard(
    path: &Path,
    tensors: &[Alike],
    random: &mut Random,
    wrote: &mut dyn FnMut(u64),
) -> Result<()> {
    let mut header = Map::new();
    let mut at = 0;
    for (name, part) in tensors.iter().flat_map(Alike::stored) {
        let end = at + part.bytes;
        let entry = json!({"dtype": part.dtype, "shape": part.shape, "data_offsets": [at, end]});
        header.insert(name, entry);
        at = end;
    }
    let mut header = Value::Object(header).to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for t in tensors {
        let count = t.names.len();
        let weights: Vec<_> = t.parts.iter().map(|p| p.bytes_of(count, random)).collect();
        for _ in &t.names {
            for (part, weights) in t.parts.iter().zip(&weights) {
                weights.each_piece(part.bytes, random, &mut |piece| Ok(out.write_all(piece)?))?;
            }
        }
        wrote(t.bytes());
    }
    out.into_inner()?.sync_all()?;
    Ok(())
}

/// What llama.cpp calls tensors, and what Hugging Face does; matrices that may be
/// packed without `.weight`.
const NAMES: [(&str, &str); 27] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output.weight", "lm_head.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("attn_norm.weight", "input_layernorm.weight"),
    (
        "post_attention_norm.weight",
        "post_attention_layernorm.weight",
    ),
    ("ffn_norm.weight", "post_attention_layernorm.weight"),
    ("attn_q.weight", "self_attn.q_proj"),
    ("attn_k.weight", "self_attn.k_proj"),
    ("attn_v.weight", "self_attn.v_proj"),
    ("attn_output.weight", "self_attn.o_proj"),
    ("attn_q_norm.weight", "self_attn.q_norm.weight"),
    ("attn_k_norm.weight", "self_attn.k_norm.weight"),
    ("attn_qkv.weight", "linear_attn.in_proj_qkvz"),
    ("ssm_ba.weight", "linear_attn.in_proj_ba.weight"),
    ("ssm_conv1d.weight", "linear_attn.conv1d.weight"),
    ("ssm_dt.bias", "linear_attn.dt_bias"),
    ("ssm_a", "linear_attn.A_log"),
    ("ssm_norm.weight", "linear_attn.norm.weight"),
    ("ssm_out.weight", "linear_attn.out_proj"),
    ("ffn_gate_inp.weight", "mlp.gate.weight"),
    ("ffn_gate_exps.weight", "gate_proj"),
    ("ffn_up_exps.weight", "up_proj"),
    ("ffn_down_exps.weight", "down_proj"),
    ("ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight"),
    ("ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj"),
    ("ffn_up_shexp.weight", "mlp.shared_expert.up_proj"),
    ("ffn_down_shexp.weight", "mlp.shared_expert.down_proj"),
];

/// A tensor under the names of Hugging Face, before it is packed.
struct Named {
    names: Vec<String>,
    shape: Vec<usize>,
    values: Values,
    linear: bool,
}

fn tensors(recipe: &Recipe, packing: Packing) -> Result<Vec<Alike>> {
    let mut all: Vec<Named> = Vec::new();
    for tensor in &recipe.tensors {
        if tensor.name.ends_with("attn_gate.weight") {
            // The last rows of one matrix with the one before.
            let before = all.last_mut().context("follows attn_qkv")?;
            before.shape[0] += tensor.shape[0];
            continue;
        }
        all.push(named(tensor, recipe.is_qwen3_next())?);
    }
    let stored = |t: Named| Alike {
        parts: packing.parts(&t.shape, t.values, t.linear),
        names: t.names,
    };
    Ok(all.into_iter().map(stored).collect())
}

fn named(tensor: &GgufTensor, zero_centred: bool) -> Result<Named> {
    let (mut shape, mut values) = (tensor.shape.clone(), Values::of(tensor));
    let whole = tensor
        .name
        .strip_prefix("blk.")
        .and_then(|n| n.split_once('.'));
    let (layer, suffix) = whole.unwrap_or(("", &tensor.name));
    let known = NAMES.iter().find(|(from, _)| *from == suffix);
    let (_, to) = known.with_context(|| format!("no name for {suffix}"))?;
    let linear = to.ends_with("_proj") || to.ends_with("_qkvz");
    let names = match (layer, shape.as_slice()) {
        ("", _) => vec![to.to_string()],
        (_, [experts, _, _]) => {
            let one = |e| format!("model.layers.{layer}.mlp.experts.{e}.{to}");
            (0..*experts).map(one).collect()
        }
        _ => vec![format!("model.layers.{layer}.{to}")],
    };
    if shape.len() == 3 {
        shape.remove(0);
    }
    match suffix {
        "ssm_conv1d.weight" => shape.insert(1, 1),
        "ffn_gate_inp_shexp.weight" => shape.insert(0, 1),
        "ssm_a" => values = Values::LogOfDecay,
        // Of Qwen3-Next what is stored is added to one, but for this norm.
        "ssm_norm.weight" => {}
        _ if zero_centred && suffix.ends_with("norm.weight") => values = Values::Constant(0.0),
        _ => {}
    }
    Ok(Named {
        names,
        shape,
        values,
        linear,
    })
}
