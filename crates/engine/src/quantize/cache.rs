//! Where converted weights are kept, and what tells whose they are.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use moestro_checkpoint::Checkpoint;

use super::Quantize;
use crate::error::{EngineError, Result};

/// Part of every identity: what was written by another version is not read.
const VERSION: &str = "moestro weights 1";

/// Converted weights of any number of models.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
}

/// A file of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached {
    pub path: PathBuf,
    pub bytes: u64,
    /// Its conversion has not come to an end.
    pub unfinished: bool,
}

/// Where the weights of one source and format go.
#[derive(Debug)]
pub struct Place {
    /// Stands in the file, so that no other source's is taken for it.
    pub identity: String,
    pub weights: PathBuf,
}

/// Where a person's quantized weights are: in `moestro` in their cache directory (XDG
/// Base Directory Specification 0.8). `None` without one.
pub fn folder() -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cache = named
        .and_then(absolute)
        .or_else(|| Some(home?.join(".cache")));
    absolute(cache?.join("moestro/quantized"))
}

impl Store {
    /// The store in a [`folder`].
    ///
    /// Errors: there is none.
    pub fn of(folder: Option<PathBuf>) -> Result<Store> {
        let missing =
            || EngineError::Cache("no folder for a cache: set HOME or XDG_CACHE_HOME".into());
        folder.map(Store::new).ok_or_else(missing)
    }

    /// The folder may not exist yet.
    pub fn new(folder: PathBuf) -> Store {
        Store { folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All files, by name.
    pub fn files(&self) -> std::io::Result<Vec<Cached>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if !OURS.iter().any(|end| name.ends_with(end)) {
                continue;
            }
            // One that has just been removed is none.
            let Ok(about) = entry.metadata() else {
                continue;
            };
            files.push(Cached {
                path,
                bytes: about.len(),
                unfinished: !name.ends_with(OURS[0]),
            });
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Removes all files and returns the bytes that this freed.
    pub fn clear(&self) -> std::io::Result<u64> {
        let mut freed = 0;
        for file in self.files()? {
            std::fs::remove_file(&file.path)?;
            freed += file.bytes;
        }
        Ok(freed)
    }

    /// The place for a source: its path, its files with sizes and times, and the
    /// format decide.
    pub fn place(&self, source: &Checkpoint, target: Quantize) -> Place {
        let path = std::fs::canonicalize(source.path()).unwrap_or_else(|_| source.path().into());
        let mut identity = format!("{VERSION}\n{}\n{}\n", target.name(), path.display());
        for (file, bytes) in source.files() {
            let changed = std::fs::metadata(file).and_then(|about| about.modified());
            let changed = changed
                .ok()
                .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
                .map_or(0, |since| since.as_nanos());
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            identity.push_str(&format!("{name} {bytes} {changed}\n"));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let name: String = stem
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(80)
            .collect();
        let file = format!("{name}-{}-{:016x}.gguf", target.name(), hash(&identity));
        Place {
            identity,
            weights: self.folder.join(file),
        }
    }
}

/// How files end: whole, under way, and how far.
const OURS: [&str; 3] = [".gguf", ".gguf.part", ".gguf.done"];

impl Place {
    pub fn part(&self) -> PathBuf {
        self.weights.with_extension("gguf.part")
    }

    /// Says how many tensors of the part are on the disk.
    pub fn journal(&self) -> PathBuf {
        self.weights.with_extension("gguf.done")
    }

    /// The source with the weights that are here, if they are whole. A file that was
    /// cut short or damaged is removed.
    pub fn open(&self, source: &Checkpoint) -> Option<Checkpoint> {
        if !self.weights.exists() {
            return None;
        }
        let quantized = source.with_weights(&self.weights, &self.identity).ok();
        if quantized.is_none() {
            // If it cannot be removed, writing it anew will say why.
            let _ = std::fs::remove_file(&self.weights);
        }
        quantized
    }
}

/// FNV-1a, 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
