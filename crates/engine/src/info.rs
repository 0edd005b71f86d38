//! What a model is called, and where its routing is remembered.

use std::path::{Path, PathBuf};

use moestro_checkpoint::{Checkpoint, Metadata};

use crate::protocol::{ModelInfo, ModelSource};
use crate::weights::Manifest;

/// What tells a model and its quantization from others, wherever its file lies.
pub fn model_id(info: &ModelInfo) -> String {
    format!(
        "{} | {} | {} bytes",
        info.name, info.formats, info.file_bytes
    )
}

pub fn profile_path(folder: &Path, info: &ModelInfo) -> PathBuf {
    let name: String = info
        .name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(80)
        .collect();
    folder.join(format!("{name}-{}.json", info.file_bytes))
}

pub fn describe(
    checkpoint: &Checkpoint,
    blueprint: &crate::blueprint::Blueprint,
    manifest: &Manifest,
) -> ModelInfo {
    let path = checkpoint.path();
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
    let (name, source) = match checkpoint.metadata() {
        Metadata::Gguf(meta) => {
            let name = meta.string("general.name").ok().flatten().map(String::from);
            (name.or(stem), ModelSource::Gguf)
        }
        Metadata::HuggingFace(_) => {
            let folder = path.file_name().map(|s| s.to_string_lossy().into_owned());
            (folder.or(stem), ModelSource::HuggingFace)
        }
    };
    let moe = || blueprint.moe_layers().map(|(_, m)| m);
    ModelInfo {
        name: name.unwrap_or_else(|| "model".into()),
        path: path.display().to_string(),
        source,
        architecture: blueprint.architecture.to_string(),
        parameters: manifest.parameters,
        file_bytes: checkpoint.total_bytes(),
        layers: blueprint.layers.len(),
        moe_layers: manifest.experts.len(),
        experts_per_layer: moe().map(|m| m.experts).max().unwrap_or(0),
        experts_per_token: moe().map(|m| m.experts_per_token).max().unwrap_or(0),
        expert_bytes: manifest
            .experts
            .iter()
            .map(|l| l.layout.slot_bytes as u64)
            .max()
            .unwrap_or(0),
        vocabulary: blueprint.vocabulary,
        max_context: blueprint.max_context,
        formats: manifest.format_shares(),
        skipped: manifest.skipped.clone(),
    }
}
