//! Checkpoints whose files are well formed and whose claims are not: each is
//! refused naming the value, and nothing panics or takes memory for it.

mod support;

use std::path::{Path, PathBuf};

use moestro_engine::{Cancel, Engine, LoadOptions, Precision, hardware, inspect};
use serde_json::{Value, json};
use support::fixture;
use tempfile::TempDir;

/// A copy of a small checkpoint whose config.json was changed.
fn with_config(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixture("qwen3_next-tiny")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let config = folder.path().join("config.json");
    let mut value: Value = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    change(&mut value);
    std::fs::write(&config, value.to_string()).unwrap();
    folder
}

fn load(path: &Path) -> Result<(), String> {
    let options = LoadOptions {
        threads: Some(1),
        precision: Precision::Stored,
        ..LoadOptions::default()
    };
    Engine::load(
        path,
        &options,
        hardware::probe(),
        &Cancel::new(),
        &mut |_, _, _| {},
    )
    .map(|_| ())
    .map_err(|e| e.to_string())
}

#[test]
fn a_config_that_does_not_fit_is_refused_by_key() {
    let cases: [(&str, Value, &str); 22] = [
        ("model_type", json!("llama9"), "llama9"),
        ("model_type", Value::Null, "model_type"),
        ("num_hidden_layers", json!(0), "num_hidden_layers"),
        (
            "num_hidden_layers",
            json!(4_294_967_296u64),
            "num_hidden_layers",
        ),
        ("num_hidden_layers", json!(5000), "num_hidden_layers"),
        ("num_hidden_layers", json!(8), "layers.4"),
        ("num_hidden_layers", json!(3), "layers.3"),
        ("hidden_size", json!(-64), "hidden_size"),
        ("hidden_size", json!("64"), "hidden_size"),
        ("hidden_size", json!(128), "shape"),
        (
            "hidden_size",
            json!(18_446_744_073_709_551_615u64),
            "hidden_size",
        ),
        ("head_dim", json!(0), "head_dim"),
        ("num_attention_heads", json!(3), "shape"),
        ("num_experts", json!(9), "mlp.gate.weight"),
        ("num_experts_per_tok", json!(9), "num_experts_per_tok"),
        ("linear_num_value_heads", json!(3), "linear_num_value_heads"),
        ("linear_conv_kernel_dim", json!(1), "linear_conv_kernel_dim"),
        ("partial_rotary_factor", json!(1e300), "rope_theta"),
        (
            "rope_scaling",
            json!({"type": "yarn", "factor": 4.0}),
            "yarn",
        ),
        ("hidden_act", json!("gelu"), "gelu"),
        ("mlp_only_layers", json!([2]), "mlp.gate_proj"),
        (
            "quantization_config",
            json!({"quant_method": "exl9"}),
            "exl9",
        ),
    ];
    for (key, value, named) in cases {
        let folder = with_config(|config| config[key] = value.clone());
        let error = load(folder.path())
            .err()
            .unwrap_or_else(|| panic!("{key}={value} loaded"));
        assert!(error.contains(named), "{key}={value}: {error}");
    }
    let folder = with_config(|_| {});
    assert!(load(folder.path()).is_ok(), "the unchanged copy loads");
}

#[test]
fn missing_shards_and_tokenizers_are_named() {
    let folder = with_config(|_| {});
    std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
    assert!(load(folder.path()).unwrap_err().contains("tokenizer.json"));
    let folder = with_config(|_| {});
    std::fs::remove_file(folder.path().join("model-00002-of-00002.safetensors")).unwrap();
    assert!(
        load(folder.path())
            .unwrap_err()
            .contains("model-00002-of-00002")
    );
    let folder = with_config(|_| {});
    std::fs::write(folder.path().join("tokenizer.json"), "{\"model\": 3}").unwrap();
    assert!(load(folder.path()).unwrap_err().contains("tokenizer"));
}

/// A GGUF file in which the four bytes behind `key` and its type were changed.
fn with_gguf_number(key: &str, value: u32) -> (TempDir, PathBuf) {
    let mut bytes = std::fs::read(fixture("gguf/qwen3_next-tiny.gguf")).unwrap();
    let at = bytes
        .windows(key.len())
        .position(|w| w == key.as_bytes())
        .expect(key);
    let number = at + key.len() + 4;
    bytes[number..number + 4].copy_from_slice(&value.to_le_bytes());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.gguf");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn a_gguf_file_that_contradicts_its_tensors_is_refused() {
    let cases = [
        ("qwen3next.block_count", u32::MAX, "block_count"),
        ("qwen3next.block_count", 0, "block_count"),
        ("qwen3next.block_count", 4000, "blk.4."),
        ("qwen3next.embedding_length", 65, "token_embd"),
        ("qwen3next.expert_count", 7, "ffn_"),
        ("qwen3next.expert_used_count", 9, "num_experts_per_tok"),
        ("qwen3next.attention.head_count", 3, "shape"),
        ("qwen3next.ssm.time_step_rank", u32::MAX, "time_step_rank"),
        ("qwen3next.ssm.conv_kernel", 0, "conv_kernel"),
        ("qwen3next.attention.key_length", 1 << 31, "key_length"),
    ];
    for (key, value, named) in cases {
        let (_folder, path) = with_gguf_number(key, value);
        let error = load(&path)
            .err()
            .unwrap_or_else(|| panic!("{key}={value} loaded"));
        assert!(error.contains(named), "{key}={value}: {error}");
    }
}

/// Any mutation of a config.json ends in an error or a model, never in a panic.
/// `MOESTRO_MUTATIONS` runs more of them.
#[test]
fn mutated_configs_never_panic() {
    let rounds = std::env::var("MOESTRO_MUTATIONS")
        .ok()
        .and_then(|n| n.parse().ok());
    let original = std::fs::read(fixture("qwen3_next-tiny/config.json")).unwrap();
    let original: Value = serde_json::from_slice(&original).unwrap();
    let keys: Vec<String> = original.as_object().unwrap().keys().cloned().collect();
    let mut random = Random(0x5eed);
    let folder = with_config(|_| {});
    for _ in 0..rounds.unwrap_or(400) {
        let mut config = original.clone();
        for _ in 0..1 + random.below(3) {
            let key = &keys[random.below(keys.len())];
            config[key] = random.value();
        }
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        let _ = inspect(folder.path(), Precision::Stored, None);
    }
}

/// Xorshift; the same sequence every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn value(&mut self) -> Value {
        match self.below(12) {
            0 => Value::Null,
            1 => json!(0),
            2 => json!(-1),
            3 => json!(self.next()),
            4 => json!(self.below(1 << 24)),
            5 => json!(self.below(70)),
            6 => json!(1e308),
            7 => json!("default"),
            8 => json!([1, 2, 3, "full_attention"]),
            9 => json!({"rope_type": "default", "rope_theta": -5, "type": 7}),
            10 => json!(true),
            _ => json!(f64::from(self.below(1000) as u32) / 7.0),
        }
    }
}
