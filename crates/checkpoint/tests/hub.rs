//! Hugging Face directories as they should be.

mod support;

use moestro_checkpoint::{Checkpoint, HubFiles, Kind, Metadata};
use support::*;

fn files(checkpoint: &Checkpoint) -> &HubFiles {
    match checkpoint.metadata() {
        Metadata::HuggingFace(files) => files,
        Metadata::Gguf(_) => panic!("a folder has Hugging Face metadata"),
    }
}

fn template(hub: &Hub) -> Option<String> {
    files(&open(hub.path()).unwrap()).chat_template.clone()
}

const MAP: &str =
    r#"{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}"#;

#[test]
fn single_file() {
    let hub = Hub::small();
    let paths = [
        hub.path().to_path_buf(),
        hub.join("config.json"),
        hub.join("model.safetensors"),
    ];
    for path in paths {
        let checkpoint = open(&path).unwrap();
        assert_eq!(*checkpoint.kind(), Kind::HuggingFace { shards: 1 });
        let w = checkpoint.tensor("w").unwrap();
        assert_eq!((w.shape.as_slice(), w.bytes), (&[2, 2][..], 16));
        let mut data = [0; 16];
        checkpoint.read(w, 0, &mut data).unwrap();
        assert_eq!(data, [7; 16]);
        assert_eq!(files(&checkpoint).config["model_type"], "qwen3_next");
        assert!(files(&checkpoint).read_tokenizer_json().unwrap().is_none());
    }
    // Under another name it is found if it is the only one.
    std::fs::rename(
        hub.join("model.safetensors"),
        hub.join("weights.safetensors"),
    )
    .unwrap();
    open(hub.path()).unwrap();
    open(&hub.join("weights.safetensors")).unwrap();
}

#[test]
fn shards() {
    let hub = Hub::sharded(MAP);
    let checkpoint = open(&hub.join("model-00002-of-00002.safetensors")).unwrap();
    assert_eq!(*checkpoint.kind(), Kind::HuggingFace { shards: 2 });
    assert_eq!(
        checkpoint.kind().to_string(),
        "Hugging Face safetensors in 2 files"
    );
    for (name, byte) in [("a", b'a'), ("b", b'b')] {
        let mut data = [0; 8];
        checkpoint
            .read(checkpoint.tensor(name).unwrap(), 0, &mut data)
            .unwrap();
        assert_eq!(data, [byte; 8]);
    }
    // As in Transformers: a tensor the index does not list still counts.
    let hub = Hub::sharded(r#"{"b":"model-00002-of-00002.safetensors"}"#);
    assert_eq!(open(hub.path()).unwrap().tensors().len(), 1);
    let extra = [
        tensor_entry("a", "BF16", "[4]", 0, 8),
        tensor_entry("extra", "F32", "[]", 8, 12),
    ];
    let shard = safetensors(
        format!(
            "{{\"__metadata__\":{{\"format\":\"pt\"}},{}}}   ",
            extra.join(",")
        ),
        &[1; 12],
    );
    let hub = Hub::sharded(MAP).file("model-00001-of-00002.safetensors", shard);
    let checkpoint = open(hub.path()).unwrap();
    assert_eq!(checkpoint.tensors().len(), 3);
    assert!(checkpoint.tensor("extra").unwrap().shape.is_empty());
    // And model.safetensors goes before an index.
    let whole = safetensors(
        format!("{{{}}}", tensor_entry("w", "F16", "[1]", 0, 2)),
        &[0; 2],
    );
    let hub = Hub::sharded(MAP).file("model.safetensors", whole);
    assert!(open(hub.path()).unwrap().tensor("w").is_some());
}

#[test]
fn chat_templates() {
    let config = |text: &str| Hub::small().file("tokenizer_config.json", text);
    assert_eq!(template(&Hub::small()), None);
    assert_eq!(template(&config("{}")), None);
    assert_eq!(template(&config(r#"{"chat_template":null}"#)), None);
    let plain = config(r#"{"chat_template":"plain"}"#);
    assert_eq!(template(&plain).as_deref(), Some("plain"));
    let list = config(
        r#"{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}"#,
    );
    assert_eq!(template(&list).as_deref(), Some("d"));
    let no_default = config(r#"{"chat_template":[{"name":"tool_use","template":"t"}]}"#);
    assert_eq!(template(&no_default), None);
    let json = Hub::small().file("chat_template.json", r#"{"chat_template":"from json"}"#);
    assert_eq!(template(&json).as_deref(), Some("from json"));
    let all = json
        .file(
            "tokenizer_config.json",
            r#"{"chat_template":"from config"}"#,
        )
        .file("chat_template.jinja", "from jinja\n");
    assert_eq!(template(&all).as_deref(), Some("from jinja\n"));
    std::fs::remove_file(all.join("chat_template.jinja")).unwrap();
    assert_eq!(template(&all).as_deref(), Some("from config"));
}

#[test]
fn unquantized_configs() {
    let hub = Hub::small().file("config.json", r#"{"quantization_config":null}"#);
    open(hub.path()).unwrap();
}

#[test]
fn gguf_beside_config() {
    // Repositories of GGUF files often bring a config.json.
    let hub = Hub::empty()
        .file("config.json", "{}")
        .file("model.gguf", Gguf::small().bytes());
    assert!(matches!(
        open(hub.path()).unwrap().kind(),
        Kind::Gguf { .. }
    ));
    let hub = Hub::small().file("model.gguf", Gguf::small().bytes());
    assert!(matches!(
        open(hub.path()).unwrap().kind(),
        Kind::HuggingFace { .. }
    ));
    open(&hub.join("model.gguf")).unwrap();
    // A download cache stores files under a hash.
    let hub = Hub::empty().file("0a1b2c", Gguf::small().bytes());
    open(&hub.join("0a1b2c")).unwrap();
}

#[test]
fn fixtures() {
    for (name, shards) in [
        ("qwen3_next-tiny", 2),
        ("qwen3_next-variants", 1),
        ("qwen3_next-realdims", 2),
        ("qwen3_moe-tiny", 2),
    ] {
        let checkpoint = open(&fixture(name)).unwrap();
        assert_eq!(*checkpoint.kind(), Kind::HuggingFace { shards });
        let files = files(&checkpoint);
        let config = &files.config;
        let embedding = checkpoint.tensor("model.embed_tokens.weight").unwrap();
        assert_eq!(
            embedding.shape[0] as u64,
            config["vocab_size"].as_u64().unwrap()
        );
        assert_eq!(
            embedding.shape[1] as u64,
            config["hidden_size"].as_u64().unwrap()
        );
        assert!(files.generation_config.is_some());
        assert!(
            files
                .chat_template
                .as_ref()
                .unwrap()
                .contains("<|im_start|>")
        );
        let tokenizer = files.read_tokenizer_json().unwrap().unwrap();
        assert!(tokenizer.starts_with(b"{"));
        // Every byte of the files is header or belongs to a tensor.
        let length: u64 = checkpoint.files().map(|(_, length)| length).sum();
        assert!(checkpoint.total_bytes() < length);
        for t in checkpoint.tensors() {
            let mut data = vec![0; t.bytes as usize];
            checkpoint.read(t, 0, &mut data).unwrap();
        }
    }
}
