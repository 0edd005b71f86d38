//! Looking into a model without fetching it: its small files and the headers of
//! its weights, put into a folder of stand-ins that have the real files' lengths
//! and only their headers in them. What opens a model from disk can open that.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use moestro_checkpoint::{CheckpointError, gguf_header_is_whole};

use crate::error::{HubError, Result};
use crate::fetch::{Fetcher, Hasher, RepoFile, Retry, Stop};
use crate::pull::Selection;

/// Bytes of a GGUF fetched at first; most headers with a vocabulary take 6 MB.
const GGUF_START: u64 = 1 << 20;
/// More than any header that the reader accepts.
const LONGEST_HEADER: u64 = 100 << 20;
/// Files other than weights that a look needs; larger ones are tokenizers.
const LONGEST_SMALL_FILE: u64 = 100 << 20;
const ATTEMPTS: u32 = 3;

/// A folder that looks like the model to a program that reads headers only.
/// Removed when dropped.
#[derive(Debug)]
pub struct StandIn {
    folder: tempfile::TempDir,
    path: PathBuf,
}

impl StandIn {
    /// What to open.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// Fetches what tells the model's shape. Files that are in the cache are used
/// as they are.
pub async fn look(fetcher: &Fetcher, selection: &Selection, stop: &Stop) -> Result<StandIn> {
    let work = gather(fetcher, selection);
    tokio::select! {
        done = work => done,
        () = stop.stopped() => Err(HubError::Stopped),
    }
}

async fn gather(fetcher: &Fetcher, selection: &Selection) -> Result<StandIn> {
    let folder = tempfile::Builder::new().prefix("moestro-look-").tempdir();
    let folder =
        folder.map_err(|e| HubError::disk(&std::env::temp_dir(), "cannot be written", e))?;
    let mut opened = None;
    for file in &selection.files {
        let name = file.path.file_name();
        let to = folder.path().join(name);
        let lower = name.to_lowercase();
        let remote = Remote {
            fetcher,
            selection,
            file,
        };
        let blob = fetcher.cache.blob(&selection.repo, &file.digest);
        if fetcher
            .cache
            .has_blob(&selection.repo, &file.digest, file.size)
        {
            link_or_copy(&blob, &to)?;
        } else if lower.ends_with(".gguf") {
            remote.gguf(&to).await?;
        } else if lower.ends_with(".safetensors") {
            remote.safetensors(&to).await?;
        } else if needed(&lower) {
            remote.whole(&to).await?;
        }
        if lower.ends_with(".gguf") {
            opened.get_or_insert(to);
        }
    }
    let path = opened.unwrap_or_else(|| folder.path().to_path_buf());
    Ok(StandIn { folder, path })
}

/// Tells the shape of a model; a vocabulary does not.
fn needed(name: &str) -> bool {
    [
        "config.json",
        "quantize_config.json",
        "model.safetensors.index.json",
    ]
    .contains(&name)
}

struct Remote<'a> {
    fetcher: &'a Fetcher,
    selection: &'a Selection,
    file: &'a RepoFile,
}

impl Remote<'_> {
    async fn whole(&self, to: &Path) -> Result<()> {
        let size = self.file.size;
        if size > LONGEST_SMALL_FILE {
            return Err(self.malformed("is far too large"));
        }
        let bytes = self.bytes(0, size).await?;
        let mut hasher = Hasher::new(&self.file.digest, size);
        hasher.update(&bytes);
        if !hasher.matches(&self.file.digest) {
            return Err(self.malformed("came damaged"));
        }
        fs::write(to, bytes).map_err(|e| HubError::disk(to, "cannot be written", e))
    }

    /// 8 bytes of length, then the header.
    async fn safetensors(&self, to: &Path) -> Result<()> {
        let start = self.bytes(0, self.file.size.min(8)).await?;
        let length = start.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let end = length.saturating_add(8);
        // The reader says what is wrong with a header that cannot be.
        let end = if end > LONGEST_HEADER.min(self.file.size) {
            self.file.size.min(64)
        } else {
            end
        };
        let bytes = self.bytes(0, end).await?;
        self.stand_in(to, &bytes)
    }

    /// As many bytes as the header turns out to have.
    async fn gguf(&self, to: &Path) -> Result<()> {
        let size = self.file.size;
        let mut bytes = Vec::new();
        let mut end = GGUF_START.min(size);
        loop {
            let more = self.bytes(bytes.len() as u64, end).await?;
            bytes.extend_from_slice(&more);
            fs::write(to, &bytes).map_err(|e| HubError::disk(to, "cannot be written", e))?;
            let whole = gguf_header_is_whole(to, size).map_err(|e| self.unreadable(&e, to))?;
            if whole || end == size {
                return self.stand_in(to, &bytes);
            }
            if end >= LONGEST_HEADER {
                return Err(self.malformed("has a header that is far too long"));
            }
            end = (end * 3).min(size).min(LONGEST_HEADER);
        }
    }

    /// A file of the real length that takes no more space than `start`.
    fn stand_in(&self, to: &Path, start: &[u8]) -> Result<()> {
        let written = File::create(to).and_then(|file| {
            file.write_all_at(start, 0)?;
            file.set_len(self.file.size)
        });
        written.map_err(|e| HubError::disk(to, "cannot be written", e))
    }

    /// The bytes `from..to`, with a few attempts.
    async fn bytes(&self, from: u64, to: u64) -> Result<Vec<u8>> {
        let (repo, commit) = (&self.selection.repo, &self.selection.commit);
        let remote = self.fetcher.remote(repo, commit, self.file)?;
        let mut attempt = 1;
        loop {
            let fault = match remote.bytes(from, to).await {
                Ok(bytes) => return Ok(bytes),
                Err(fault) => fault,
            };
            if attempt == ATTEMPTS || fault.retry == Retry::Never {
                return Err(fault.error);
            }
            tokio::time::sleep(std::time::Duration::from_millis(300) * attempt).await;
            attempt += 1;
        }
    }

    /// The reader's words without the name of the stand-in.
    fn unreadable(&self, error: &CheckpointError, to: &Path) -> HubError {
        let text = error.to_string();
        let text = text
            .strip_prefix(&format!("{}: ", to.display()))
            .unwrap_or(&text);
        HubError::Request(format!("{}: {text}", self.file.path))
    }

    fn malformed(&self, problem: &str) -> HubError {
        HubError::Malformed {
            place: self.fetcher.environment.place().into(),
            problem: format!("{} {problem}", self.file.path),
        }
    }
}

fn link_or_copy(blob: &Path, to: &Path) -> Result<()> {
    match std::os::unix::fs::symlink(blob, to) {
        Err(e) if e.kind() != ErrorKind::AlreadyExists => {
            Err(HubError::disk(to, "cannot be made", e))
        }
        _ => Ok(()),
    }
}
