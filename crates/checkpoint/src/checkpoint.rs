//! An opened checkpoint: its files, tensors and metadata.

use std::fmt;
use std::path::{Path, PathBuf};

use moestro_kernels::Format;

use crate::error::{CheckpointError, SAVE_AGAIN, quoted};
use crate::gguf::{self, GgufMetadata};
use crate::hub::{self, HubFiles};
use crate::locate::{self, Located};
use crate::packed::read;
use crate::source::SourceFile;
use crate::tensor::{TensorIndex, TensorInfo};

/// A model's files, opened and indexed. Weights stay on disk until [`read`];
/// reading needs no lock and may happen from several threads at once.
///
/// [`read`]: Checkpoint::read
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    kind: Kind,
    files: Vec<SourceFile>,
    tensors: TensorIndex,
    metadata: Metadata,
}

/// Key of a GGUF's metadata that says whose weights it holds.
pub const IDENTITY_KEY: &str = "moestro.source";

/// The container a checkpoint came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `config.json` with this many safetensors files.
    HuggingFace { shards: usize },
    /// GGUF of this format version, in this many files.
    Gguf { version: u32, parts: usize },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, files) = match self {
            Self::HuggingFace { shards } => ("Hugging Face safetensors".to_string(), *shards),
            Self::Gguf { version, parts } => (format!("GGUF version {version}"), *parts),
        };
        match files {
            1 => write!(f, "{name}"),
            _ => write!(f, "{name} in {files} files"),
        }
    }
}

/// What the checkpoint says about the model besides its tensors.
#[derive(Debug)]
pub enum Metadata {
    HuggingFace(Box<HubFiles>),
    Gguf(GgufMetadata),
}

impl Checkpoint {
    /// Opens the checkpoint at `path`, which may be
    /// - a `.gguf` file; of a split model any part, the others lying beside it;
    /// - a directory with `config.json` and safetensors, or a file in it;
    /// - a directory holding exactly one GGUF model.
    ///
    /// Reads headers and small JSON files only.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        match locate::locate(path)? {
            Located::Gguf(file) => {
                let set = gguf::open(&file)?;
                Ok(Self {
                    path: path.into(),
                    kind: Kind::Gguf {
                        version: set.version,
                        parts: set.files.len(),
                    },
                    tensors: set.tensors,
                    files: set.files,
                    metadata: Metadata::Gguf(set.metadata),
                })
            }
            Located::HuggingFace { directory, weights } => {
                let set = hub::open(&directory, weights)?;
                Ok(Self {
                    path: path.into(),
                    kind: Kind::HuggingFace {
                        shards: set.files.len(),
                    },
                    tensors: set.tensors,
                    files: set.files,
                    metadata: Metadata::HuggingFace(Box::new(set.hub)),
                })
            }
        }
    }

    /// The same model with its weights in another file: a GGUF whose tensors have the
    /// names of this checkpoint's, and whose metadata give `identity` as
    /// [`IDENTITY_KEY`].
    ///
    /// Errors: a file that is damaged, or of something else.
    pub fn with_weights(&self, weights: &Path, identity: &str) -> Result<Self, CheckpointError> {
        let set = gguf::open(weights)?;
        if set.metadata.string(IDENTITY_KEY)? != Some(identity) {
            return Err(CheckpointError::malformed(
                weights,
                "holds the weights of something else",
                "clear the cache with `moestro cache --clear`",
            ));
        }
        let metadata = match &self.metadata {
            Metadata::HuggingFace(hub) => Metadata::HuggingFace(hub.clone()),
            Metadata::Gguf(metadata) => Metadata::Gguf(metadata.clone()),
        };
        Ok(Self {
            path: self.path.clone(),
            kind: self.kind.clone(),
            files: set.files,
            tensors: set.tensors,
            metadata,
        })
    }

    /// The path given to [`Checkpoint::open`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The files that hold tensors, each with its length in bytes when opened.
    pub fn files(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.files.iter().map(|f| (f.path.as_path(), f.length))
    }

    /// Bytes of all tensors as stored.
    pub fn total_bytes(&self) -> u64 {
        self.tensors().iter().map(TensorInfo::stored_bytes).sum()
    }

    /// Tells how many columns matrices have of which the files give only the number
    /// of values, so that their headers need not be believed.
    ///
    /// Errors: a matrix that is not made of such rows.
    pub fn give_columns(
        &mut self,
        columns: &dyn Fn(&str) -> Option<usize>,
    ) -> Result<(), CheckpointError> {
        for t in self.tensors.all_mut() {
            let (Some(packed), [values]) = (&t.packed, t.shape.as_slice()) else {
                continue;
            };
            let Some(cols) = columns(&t.name) else {
                continue;
            };
            if cols == 0 || !values.is_multiple_of(cols) {
                return Err(CheckpointError::malformed(
                    &self.files[t.file as usize].path,
                    format!(
                        "{}, {}: its {values} values do not make rows of {cols}",
                        quoted(&t.name),
                        packed.name
                    ),
                    SAVE_AGAIN,
                ));
            }
            t.shape = vec![values / cols, cols];
            t.settle();
        }
        Ok(())
    }

    /// The same with its tensors in the formats that they will be converted to: to plan
    /// with. Nothing can be read from it.
    pub fn foretold(mut self, format: &dyn Fn(&TensorInfo) -> Format) -> Checkpoint {
        for t in self.tensors.all_mut() {
            t.convert(format(t));
        }
        self
    }

    /// All tensors, in the order of the files.
    pub fn tensors(&self) -> &[TensorInfo] {
        self.tensors.all()
    }

    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Fills `out` with the tensor's bytes starting at its byte `from`.
    ///
    /// A file removed while in use can still be read; one that was cut short is an
    /// error, never a signal as with a memory map.
    pub fn read(&self, t: &TensorInfo, from: u64, out: &mut [u8]) -> Result<(), CheckpointError> {
        let (file, position) = self.locate(t, from, out.len())?;
        match &t.packed {
            None => file.read_at(position, out),
            Some(packed) => read::read(t, packed, &self.files, from, out),
        }
    }

    /// Writes which column of the model each column of the tensor is, in numbers of
    /// four bytes, little-endian: [`TensorInfo::order_bytes`] of them.
    pub fn read_order(&self, t: &TensorInfo, out: &mut [u8]) -> Result<(), CheckpointError> {
        match &t.packed {
            None => Ok(()),
            Some(packed) => read::read_order(t, packed, &self.files, out),
        }
    }

    /// The file and position of `len` bytes of a tensor.
    pub(crate) fn locate(
        &self,
        t: &TensorInfo,
        from: u64,
        len: usize,
    ) -> Result<(&SourceFile, u64), CheckpointError> {
        let end = from.checked_add(len as u64);
        let file = self.files.get(t.file as usize);
        match (end, file) {
            (Some(end), Some(file)) if end <= t.bytes => Ok((file, t.offset + from)),
            _ => Err(CheckpointError::OutsideTensor {
                name: t.name.clone(),
                bytes: t.bytes,
                from,
                length: len,
            }),
        }
    }

    pub(crate) fn sources(&self) -> &[SourceFile] {
        &self.files
    }
}
