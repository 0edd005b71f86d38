//! Verifying a model of the cache again: every blob is read and must still have
//! the checksum it is named by.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{HubError, Result};
use crate::fetch::{Hasher, Phase, Progress, Stop};
use crate::library;
use crate::names::Digest;

const PIECE: usize = 4 << 20;

/// What a check found.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Checked {
    /// Files whose checksum was computed and is right.
    pub good: usize,
    /// Files that are damaged: their links, as the model names them.
    pub damaged: Vec<PathBuf>,
    /// Files whose checksum nobody knows, as of a model in another app's folder.
    pub unknown: usize,
}

/// Reads all files of the model at `path`.
pub fn verify(path: &Path, progress: &Progress, stop: &Stop) -> Result<Checked> {
    let files = library::files(path);
    if files.is_empty() {
        let what = path.display().to_string();
        return Err(HubError::NotFound { what });
    }
    let sizes = files
        .iter()
        .filter_map(|f| Some(std::fs::metadata(f).ok()?.len()));
    progress.set_total(sizes.sum());
    progress.set_phase(Phase::Verifying);
    let mut checked = Checked {
        good: 0,
        damaged: Vec::new(),
        unknown: 0,
    };
    for file in files {
        let blob = std::fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
        let name = blob.file_name().unwrap_or_default().to_string_lossy();
        let in_cache = blob.parent().is_some_and(|p| p.ends_with("blobs"));
        let digest = name.parse::<Digest>().ok().filter(|_| in_cache);
        match digest {
            None if blob.exists() => checked.unknown += 1,
            Some(digest) if has_digest(&blob, &digest, progress, stop)? => checked.good += 1,
            _ => checked.damaged.push(file),
        }
    }
    progress.set_phase(Phase::Done);
    Ok(checked)
}

fn has_digest(path: &Path, digest: &Digest, progress: &Progress, stop: &Stop) -> Result<bool> {
    let failed = |e| HubError::disk(path, "cannot be read", e);
    let Ok(mut file) = File::open(path) else {
        return Ok(false);
    };
    let size = file.metadata().map_err(failed)?.len();
    let mut hasher = Hasher::new(digest, size);
    let mut buffer = vec![0; PIECE];
    loop {
        if stop.is_stopped() {
            return Err(HubError::Stopped);
        }
        let count = file.read(&mut buffer).map_err(failed)?;
        if count == 0 {
            return Ok(hasher.matches(digest));
        }
        hasher.update(&buffer[..count]);
        progress.add_verified(count as u64);
    }
}
