//! Reference fixtures: checkpoints and what Hugging Face Transformers computes
//! with them in float32.
#![allow(dead_code)]

pub mod gpu;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use moestro_engine::protocol::{GenerateRequest, MemorySettings, Prompt, SamplingOverrides};
use moestro_engine::{Cancel, Engine, Generation, LoadOptions, Precision, Session, Step, hardware};
use safetensors::SafeTensors;

/// A fixture; `MOESTRO_FIXTURES` names their folder where the sources are not.
pub fn fixture(name: &str) -> PathBuf {
    let folder = std::env::var_os("MOESTRO_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
        PathBuf::from,
    );
    folder.join(name)
}

/// Names of the checkpoints in `packed/`.
pub fn packed_fixtures() -> Vec<String> {
    let entries = std::fs::read_dir(fixture("packed")).expect("the fixtures are there");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("a readable entry"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a plain name"))
        .collect();
    names.sort();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// A quantized checkpoint, put together from what all of them share (embeddings,
/// norms, tokenizer) and its own tensors.
pub fn packed(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let link = |from: String, to: &str| {
        symlink(fixture(&from), folder.path().join(to)).expect("a link");
    };
    link(format!("packed/{name}/config.json"), "config.json");
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        link(format!("qwen3_next-tiny/{file}"), file);
    }
    let mut shards = serde_json::Map::new();
    for (file, from) in [
        (
            "model-00001-of-00002.safetensors",
            "packed/common.safetensors".to_string(),
        ),
        (
            "model-00002-of-00002.safetensors",
            format!("packed/{name}/weights.safetensors"),
        ),
    ] {
        let bytes = std::fs::read(fixture(&from)).expect("weights");
        let length = u64::from_le_bytes(*bytes.first_chunk().expect("a header")) as usize;
        let header: serde_json::Value =
            serde_json::from_slice(&bytes[8..8 + length]).expect("a header of JSON");
        let names = header.as_object().expect("an object").keys();
        for tensor in names.filter(|name| *name != "__metadata__") {
            shards.insert(tensor.clone(), file.into());
        }
        link(from, file);
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": shards });
    let path = folder.path().join("model.safetensors.index.json");
    std::fs::write(path, index.to_string()).expect("an index");
    folder
}

/// Reference outputs for one prompt; keys as in tools/reference/README.md.
pub struct Reference {
    bytes: Vec<u8>,
}

impl Reference {
    pub fn read(path: &str) -> Reference {
        let path = fixture(path);
        let bytes = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Reference { bytes }
    }

    fn view<T>(&self, key: &str, width: usize, parse: fn(&[u8]) -> T) -> Vec<T> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a readable reference");
        let tensor = file.tensor(key).unwrap_or_else(|e| panic!("{key}: {e}"));
        tensor.data().chunks_exact(width).map(parse).collect()
    }

    pub fn u32s(&self, key: &str) -> Vec<u32> {
        self.view(key, 4, |b| u32::from_le_bytes(b.try_into().unwrap()))
    }

    pub fn u16s(&self, key: &str) -> Vec<u32> {
        self.view(key, 2, |b| u16::from_le_bytes(b.try_into().unwrap()).into())
    }

    pub fn f32s(&self, key: &str) -> Vec<f32> {
        self.view(key, 4, |b| f32::from_le_bytes(b.try_into().unwrap()))
    }
}

/// In single precision, as the references are computed.
pub fn load(path: &str, experts_per_layer: Option<usize>, threads: usize) -> Engine {
    load_in(Precision::Float32, path, experts_per_layer, threads)
}

pub fn load_in(
    precision: Precision,
    path: &str,
    experts_per_layer: Option<usize>,
    threads: usize,
) -> Engine {
    let options = LoadOptions {
        memory: MemorySettings {
            cached_experts_per_layer: experts_per_layer,
            context: Some(4096),
            ..MemorySettings::default()
        },
        threads: Some(threads),
        precision,
        ..LoadOptions::default()
    };
    let path = fixture(path);
    Engine::load(
        &path,
        &options,
        hardware::probe(),
        &Cancel::new(),
        &mut |_, _, _| {},
    )
    .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn greedy_request(ids: Vec<u32>, max_tokens: usize) -> GenerateRequest {
    GenerateRequest {
        prompt: Prompt::Tokens { ids },
        sampling: SamplingOverrides {
            temperature: Some(0.0),
            ..SamplingOverrides::default()
        },
        max_tokens: Some(max_tokens),
        ..GenerateRequest::default()
    }
}

/// Runs a greedy answer to its end; `between` is called before every step.
pub fn greedy(
    engine: &mut Engine,
    session: &mut Session,
    prompt: Vec<u32>,
    max_tokens: usize,
    mut between: impl FnMut(&mut Engine, usize),
) -> Vec<u32> {
    let request = greedy_request(prompt, max_tokens);
    let mut answer = Generation::new(engine, session, &request).expect("a valid request");
    let mut steps = 0;
    loop {
        between(engine, steps);
        steps += 1;
        match answer
            .step(engine, session, &Cancel::new())
            .expect("the step succeeds")
        {
            Step::Finished { .. } => return answer.generated().to_vec(),
            Step::Prefill { .. } | Step::Token { .. } => {}
        }
    }
}
