//! Hugging Face checkpoints: `config.json`, tokenizer files and safetensors, in
//! one file or in shards with an index.
//!
//! As in Transformers, every tensor of a file that is part of the model counts,
//! whether the index lists it or not; a tensor the index lists must be in the file
//! it names (Transformers would start it with random values).

mod chat_template;
mod files;
mod index;
mod json;
mod safetensors;

use std::path::{Path, PathBuf};

use crate::error::{CheckpointError, SAVE_AGAIN, quoted};
use crate::limits;
use crate::locate::has_extension;
use crate::packed;
use crate::source::SourceFile;
use crate::tensor::TensorIndex;
use index::ShardIndex;

pub use files::HubFiles;

/// An opened Hugging Face checkpoint.
pub(crate) struct HubSet {
    pub files: Vec<SourceFile>,
    pub tensors: TensorIndex,
    pub hub: HubFiles,
}

/// Opens the model in `directory`; `chosen` is the safetensors file through which
/// it was found, if any.
pub(crate) fn open(directory: &Path, chosen: Option<PathBuf>) -> Result<HubSet, CheckpointError> {
    let hub = HubFiles::read(directory)?;
    let weights = find_weights(directory)?;
    if let Some(chosen) = chosen
        && !weights
            .paths
            .iter()
            .any(|path| path.file_name() == chosen.file_name())
    {
        return Err(CheckpointError::not_found(
            &chosen,
            "does not belong to the model in its folder",
            "open the folder instead",
        ));
    }
    let mut files = Vec::new();
    let mut tensors = Vec::new();
    let mut budget = limits::HUB_HEADER;
    for (i, path) in (0u32..).zip(&weights.paths) {
        if !path.exists() {
            return Err(CheckpointError::incomplete(
                path,
                "the index of the model names this file, but it is missing",
                "download it into the folder of the model",
            ));
        }
        let file = SourceFile::open(path)?;
        safetensors::read(&file, i, &mut budget, &mut tensors)?;
        files.push(file);
    }
    let raw = TensorIndex::new(tensors, &files)?;
    if raw.all().is_empty() {
        let path = &files[0].path;
        return Err(CheckpointError::malformed(
            path,
            "holds no tensors",
            SAVE_AGAIN,
        ));
    }
    if let Some(index) = &weights.index {
        for (name, shard) in &index.tensors {
            if raw.get(name).is_none_or(|t| t.file != *shard) {
                return Err(CheckpointError::malformed(
                    &index.path,
                    format!(
                        "places tensor {} in {}, which does not hold it",
                        quoted(name),
                        index.shards[*shard as usize]
                    ),
                    "index and files are of different models: download all files again",
                ));
            }
        }
    }
    let config = directory.join("config.json");
    let tensors = packed::assemble(&config, &hub.packing, raw.into_all(), &files)?;
    let tensors = TensorIndex::new(tensors, &files)?;
    Ok(HubSet {
        files,
        tensors,
        hub,
    })
}

struct Weights {
    /// The safetensors files.
    paths: Vec<PathBuf>,
    /// Present for shards, which lie in its order in `paths`.
    index: Option<ShardIndex>,
}

/// Finds the weights in Transformers' order; failing that, a single safetensors
/// file under any name.
fn find_weights(directory: &Path) -> Result<Weights, CheckpointError> {
    let single = |path| Weights {
        paths: vec![path],
        index: None,
    };
    let whole = directory.join("model.safetensors");
    if whole.exists() {
        return Ok(single(whole));
    }
    let path = directory.join("model.safetensors.index.json");
    if path.exists() {
        let index = ShardIndex::read(&path)?;
        return Ok(Weights {
            paths: index.shards.iter().map(|s| directory.join(s)).collect(),
            index: Some(index),
        });
    }
    let failed = |source| CheckpointError::io(directory, "cannot be listed", source);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if has_extension(&path, "safetensors") {
            found.push(path);
        }
    }
    match (found.pop(), found.len()) {
        (Some(path), 0) => Ok(single(path)),
        (None, _) => Err(CheckpointError::incomplete(
            directory,
            "has config.json, but no model.safetensors nor model.safetensors.index.json",
            "download the model's safetensors files into this folder",
        )),
        (Some(_), others) => Err(CheckpointError::incomplete(
            directory,
            format!(
                "has {} safetensors files, but no model.safetensors.index.json",
                others + 1
            ),
            "download the index of the model into this folder",
        )),
    }
}
