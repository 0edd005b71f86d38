//! Writes Hugging Face directories.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// One entry of a safetensors header, without its comma.
pub fn tensor_entry(name: &str, dtype: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

/// A safetensors file from its header and data.
pub fn safetensors(header: impl AsRef<[u8]>, data: &[u8]) -> Vec<u8> {
    let header = header.as_ref();
    [&(header.len() as u64).to_le_bytes(), header, data].concat()
}

/// A directory that is removed in the end.
pub struct Hub(TempDir);

impl Hub {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// With a config.json and a model.safetensors of one tensor, "w" of 2 x 2 F32.
    pub fn small() -> Self {
        let header = format!("{{{}}}", tensor_entry("w", "F32", "[2,2]", 0, 16));
        Self::empty()
            .file("config.json", r#"{"model_type":"qwen3_next"}"#)
            .file("model.safetensors", safetensors(header, &[7; 16]))
    }

    /// With the tensors "a" and "b" in two shards and this weight_map.
    pub fn sharded(weight_map: &str) -> Self {
        let shard = |name| {
            let header = format!("{{{}}}", tensor_entry(name, "BF16", "[4]", 0, 8));
            safetensors(header, &[name.as_bytes()[0]; 8])
        };
        Self::empty()
            .file("config.json", r#"{"model_type":"qwen3_next"}"#)
            .file("model-00001-of-00002.safetensors", shard("a"))
            .file("model-00002-of-00002.safetensors", shard("b"))
            .file(
                "model.safetensors.index.json",
                format!(r#"{{"metadata":{{"total_size":16}},"weight_map":{weight_map}}}"#),
            )
    }

    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.0.path().join(name), content).unwrap();
        self
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}
