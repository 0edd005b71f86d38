//! From the path a person chose to the files of one model.

use std::path::{Path, PathBuf};

use crate::error::CheckpointError;
use crate::gguf;

/// Where a checkpoint lies and of which kind it is.
pub(crate) enum Located {
    /// One file of a GGUF model.
    Gguf(PathBuf),
    /// A directory with `config.json`; `weights` is the safetensors file chosen
    /// by name, if one was.
    HuggingFace {
        directory: PathBuf,
        weights: Option<PathBuf>,
    },
}

const CHOOSE: &str = "choose a .gguf file, or a folder with config.json and model.safetensors";

/// Decides what `path` is, by its name and surroundings.
pub(crate) fn locate(path: &Path) -> Result<Located, CheckpointError> {
    let about = std::fs::metadata(path)
        .map_err(|source| CheckpointError::io(path, "cannot be opened", source))?;
    if about.is_dir() {
        return in_directory(path);
    }
    if has_extension(path, "gguf") {
        return Ok(Located::Gguf(path.into()));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_weights = has_extension(path, "safetensors");
    if is_weights || name == "config.json" || name == "model.safetensors.index.json" {
        if !directory.join("config.json").is_file() {
            return Err(CheckpointError::incomplete(
                path,
                "there is no config.json beside it",
                "download all files of the model into one folder",
            ));
        }
        return Ok(Located::HuggingFace {
            directory,
            weights: is_weights.then(|| path.into()),
        });
    }
    // A model whose name lost its ending, as in a download cache.
    if gguf::has_magic(path) {
        return Ok(Located::Gguf(path.into()));
    }
    Err(CheckpointError::unsupported(
        path,
        "is neither GGUF nor safetensors",
        CHOOSE,
    ))
}

fn in_directory(directory: &Path) -> Result<Located, CheckpointError> {
    let failed = |source| CheckpointError::io(directory, "cannot be listed", source);
    let mut ggufs = Vec::new();
    let mut has_safetensors = false;
    let mut has_pytorch = false;
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if has_extension(&file, "gguf") {
            ggufs.push(file);
        } else {
            has_safetensors |= has_extension(&file, "safetensors")
                || file.ends_with("model.safetensors.index.json");
            has_pytorch |= has_extension(&file, "bin") || has_extension(&file, "pth");
        }
    }
    let has_config = directory.join("config.json").is_file();
    if has_config && (has_safetensors || ggufs.is_empty()) {
        return Ok(Located::HuggingFace {
            directory: directory.into(),
            weights: None,
        });
    }
    // The parts of a split model count as one, represented by its first part.
    ggufs.sort_by_cached_key(|file| (gguf::model_name(file), file.clone()));
    ggufs.dedup_by_key(|file| gguf::model_name(file));
    match (ggufs.pop(), ggufs.len()) {
        (Some(file), 0) => Ok(Located::Gguf(file)),
        (Some(last), others) => Err(CheckpointError::not_found(
            directory,
            format!("holds {} GGUF models", others + 1),
            &format!(
                "choose one of the files, for example {}",
                ggufs.first().unwrap_or(&last).display()
            ),
        )),
        (None, _) if has_safetensors => Err(CheckpointError::incomplete(
            directory,
            "holds safetensors but no config.json",
            "download all files of the model into this folder",
        )),
        (None, _) if has_pytorch => Err(CheckpointError::unsupported(
            directory,
            "holds weights in PyTorch's pickle format, which can run code when loaded",
            "get the model as safetensors or GGUF",
        )),
        (None, _) => Err(CheckpointError::not_found(
            directory,
            "holds no model",
            CHOOSE,
        )),
    }
}

pub(crate) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case(extension))
}
