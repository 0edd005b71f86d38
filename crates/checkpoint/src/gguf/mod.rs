//! GGUF, the container of llama.cpp: versions 2 and 3, little-endian, in one file
//! or split. Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod header;
mod metadata;
mod reader;
mod split;
mod tensors;
mod value;
mod write;

use std::io::ErrorKind;
use std::path::Path;

use crate::error::CheckpointError;
use crate::limits;
use crate::source::SourceFile;
use crate::tensor::TensorIndex;

pub use metadata::GgufMetadata;
pub(crate) use split::model_name;
pub use value::Strings;
pub use write::{GgufTensor, GgufValue, GgufWriter};

/// An opened GGUF model.
pub(crate) struct GgufSet {
    pub version: u32,
    pub files: Vec<SourceFile>,
    pub tensors: TensorIndex,
    pub metadata: GgufMetadata,
}

/// Opens the model that `path` is, or is a part of.
pub(crate) fn open(path: &Path) -> Result<GgufSet, CheckpointError> {
    let file = SourceFile::open(path)?;
    let mut budget = limits::GGUF_HEADER;
    let header = header::parse(&file, &mut budget)?;
    let set = match split::parts(&file.path, &header.metadata)? {
        None => GgufSet {
            version: header.version,
            tensors: TensorIndex::new(header.tensors, std::slice::from_ref(&file))?,
            files: vec![file],
            metadata: header.metadata,
        },
        Some(parts) => {
            // Read again with the others, so that the budget covers the whole set once.
            drop(header);
            split::open(&parts)?
        }
    };
    let file = &set.files[0].path;
    let key = "general.architecture";
    if set.metadata.string(key)?.is_none_or(str::is_empty) {
        return Err(set.metadata.missing(key));
    }
    if set.tensors.all().is_empty() {
        return Err(CheckpointError::unsupported(
            file,
            "holds no tensors",
            "this is a vocabulary without a model: choose the model's file",
        ));
    }
    Ok(set)
}

/// Does the file at `path`, the start of one of `length` bytes, hold the whole
/// header? For reading headers of files that are elsewhere, piece by piece: an
/// error means that more bytes would not help.
pub fn gguf_header_is_whole(path: &Path, length: u64) -> Result<bool, CheckpointError> {
    let mut file = SourceFile::open(path)?;
    file.length = length;
    let mut budget = limits::GGUF_HEADER;
    match header::parse(&file, &mut budget) {
        Err(CheckpointError::Io { source, .. }) if source.kind() == ErrorKind::UnexpectedEof => {
            Ok(false)
        }
        parsed => parsed.map(|_| true),
    }
}

/// Whether the file at `path` starts like a GGUF.
pub(crate) fn has_magic(path: &Path) -> bool {
    let mut start = [0; 4];
    SourceFile::open(path).is_ok_and(|f| f.read_at(0, &mut start).is_ok())
        && start == *header::MAGIC
}
