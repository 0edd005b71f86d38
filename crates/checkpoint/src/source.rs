//! One open file of a checkpoint, read by position only.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::{CheckpointError, DOWNLOAD_AGAIN};

/// A regular file, with the length it had when it was opened.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub path: PathBuf,
    pub length: u64,
    file: File,
}

impl SourceFile {
    /// Opens a regular file. A pipe, socket or device is refused without opening
    /// it, since that could wait for ever.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let failed = |source| CheckpointError::io(path, "cannot be opened", source);
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            return Err(CheckpointError::not_found(
                path,
                "is not a regular file",
                "choose a model file or a folder that holds one",
            ));
        }
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Self {
            path: path.into(),
            length,
            file,
        })
    }

    /// The first bytes, at most 64, by which a kind of file is recognised; an
    /// empty file is an error.
    pub fn start(&self) -> Result<Vec<u8>, CheckpointError> {
        if self.length == 0 {
            return Err(CheckpointError::incomplete(
                &self.path,
                "is empty",
                DOWNLOAD_AGAIN,
            ));
        }
        let mut start = vec![0; self.length.min(64) as usize];
        self.read_at(0, &mut start)?;
        Ok(start)
    }

    /// Fills `out` with the bytes at `position`.
    pub fn read_at(&self, position: u64, out: &mut [u8]) -> Result<(), CheckpointError> {
        self.file.read_exact_at(out, position).map_err(|source| {
            if source.kind() == ErrorKind::UnexpectedEof {
                let now = self.file.metadata().map_or(0, |m| m.len());
                CheckpointError::incomplete(
                    &self.path,
                    format!(
                        "the file was cut while in use: it had {} bytes when opened and has {now} now",
                        self.length
                    ),
                    "put the whole file back and load the model again",
                )
            } else {
                CheckpointError::io(&self.path, "cannot be read", source)
            }
        })
    }

    /// The open file, for what has no name here.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file from its start, for reading headers in order.
    pub fn reader(&self) -> impl Read + '_ {
        Sequential {
            source: self,
            position: 0,
        }
    }

    /// The whole file, at most `limit` bytes of it being acceptable.
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>, CheckpointError> {
        if self.length > limit {
            return Err(CheckpointError::unsupported(
                &self.path,
                format!(
                    "is {} bytes, more than the {limit} bytes a file of this kind may have",
                    self.length
                ),
                DOWNLOAD_AGAIN,
            ));
        }
        let mut bytes = vec![0; self.length as usize];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

/// What a file is that should be a model but starts with `bytes`: the usual
/// results of a download gone wrong.
pub(crate) fn mistaken_for_model(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    let starts = |text: &str| {
        bytes.len() >= text.len() && bytes[..text.len()].eq_ignore_ascii_case(text.as_bytes())
    };
    if starts("version https://git-lfs") {
        return Some((
            "is a Git LFS pointer, not the model itself",
            "run `git lfs pull` in its folder or download the file from the model's page",
        ));
    }
    if starts("<!doctype") || starts("<html") {
        return Some(("is a web page, not a model", DOWNLOAD_AGAIN));
    }
    None
}

struct Sequential<'a> {
    source: &'a SourceFile,
    position: u64,
}

impl Read for Sequential<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.file.read_at(out, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
