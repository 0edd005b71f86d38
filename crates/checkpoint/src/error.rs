//! What can be wrong with a checkpoint, always as "<file>: <problem>; <way out>".

use std::fmt;
use std::path::{Path, PathBuf};

/// Way out when bytes are missing or damaged.
pub(crate) const DOWNLOAD_AGAIN: &str = "download the file again";
/// Way out when a GGUF breaks its own format.
pub(crate) const CONVERT_AGAIN: &str =
    "the file is damaged or was not written by llama.cpp's tools: download or convert it again";
/// Way out when a safetensors file or its index breaks its own format.
pub(crate) const SAVE_AGAIN: &str =
    "the file is damaged or was not written by Hugging Face's tools: download or save it again";

/// Why a checkpoint cannot be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The path leads to no model this program can find.
    #[error("{}: {problem}; {way_out}", path.display())]
    NotFound {
        path: PathBuf,
        problem: String,
        way_out: String,
    },
    /// The file is of a kind, version, type or size that is not read here.
    #[error("{}: {problem}; {way_out}", path.display())]
    Unsupported {
        path: PathBuf,
        problem: String,
        way_out: String,
    },
    /// Bytes or whole files of the checkpoint are missing.
    #[error("{}: {problem}; {way_out}", path.display())]
    Incomplete {
        path: PathBuf,
        problem: String,
        way_out: String,
    },
    /// The file contradicts its format or itself.
    #[error("{}: {problem}; {way_out}", path.display())]
    Malformed {
        path: PathBuf,
        problem: String,
        way_out: String,
    },
    /// The operating system could not open or read the file.
    #[error("{}: {action}: {source}; {way_out}", path.display())]
    Io {
        path: PathBuf,
        action: &'static str,
        source: std::io::Error,
        way_out: String,
    },
    /// A read asked for bytes the tensor does not have: a fault of the caller.
    #[error("tensor {name} has {bytes} bytes, but bytes {from}..{from}+{length} were asked for")]
    OutsideTensor {
        name: String,
        bytes: u64,
        from: u64,
        length: usize,
    },
}

impl CheckpointError {
    pub(crate) fn not_found(path: &Path, problem: impl Into<String>, way_out: &str) -> Self {
        Self::NotFound {
            path: path.into(),
            problem: problem.into(),
            way_out: way_out.into(),
        }
    }

    pub(crate) fn unsupported(path: &Path, problem: impl Into<String>, way_out: &str) -> Self {
        Self::Unsupported {
            path: path.into(),
            problem: problem.into(),
            way_out: way_out.into(),
        }
    }

    pub(crate) fn incomplete(path: &Path, problem: impl Into<String>, way_out: &str) -> Self {
        Self::Incomplete {
            path: path.into(),
            problem: problem.into(),
            way_out: way_out.into(),
        }
    }

    pub(crate) fn malformed(path: &Path, problem: impl Into<String>, way_out: &str) -> Self {
        Self::Malformed {
            path: path.into(),
            problem: problem.into(),
            way_out: way_out.into(),
        }
    }

    pub(crate) fn io(path: &Path, action: &'static str, source: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let way_out = match source.kind() {
            ErrorKind::NotFound => "choose a file or folder that exists",
            ErrorKind::PermissionDenied => "allow this user to read it",
            _ => "check the disk or network share it lies on, then try again",
        };
        Self::Io {
            path: path.into(),
            action,
            source,
            way_out: way_out.into(),
        }
    }
}

/// A name from a file, fit for a message: control characters escaped, shortened.
pub(crate) fn quoted(name: &str) -> Quoted<'_> {
    Quoted(name)
}

#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 80;
        let shown: String = self.0.chars().take(LONGEST).collect();
        let more = if shown.len() < self.0.len() {
            "…"
        } else {
            ""
        };
        write!(f, "\"{}{more}\"", shown.escape_debug())
    }
}

/// The message of a JSON error, which may quote the whole file, cut to a line.
pub(crate) fn brief(error: &serde_json::Error) -> String {
    const LONGEST: usize = 200;
    let text = error.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}… at line {}", &text[..end], error.line()),
        None => text,
    }
}
