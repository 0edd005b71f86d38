//! Checkpoints on disk: which tensors and metadata a model's files hold, where
//! their bytes are, and how to read those bytes safely.
//!
//! This crate knows files, not models: it neither knows an architecture nor what
//! a tensor is for. It reads GGUF (one file or a split set) and Hugging Face
//! directories (`config.json` beside safetensors), quantized ones as if each matrix
//! were one tensor. Files come from strangers, so
//! everything a header declares is checked against the bytes really there before
//! memory is taken for it; a damaged or hostile file is an error that names the
//! file, the problem and the way out.

mod checkpoint;
mod direct;
mod error;
mod gguf;
mod hub;
mod limits;
mod locate;
mod packed;
mod page_cache;
mod part_name;
mod source;
mod tensor;

pub use checkpoint::{Checkpoint, IDENTITY_KEY, Kind, Metadata};
pub use direct::{DIRECT_ALIGNMENT, DirectFiles, DirectReader, scratch_for};
pub use error::CheckpointError;
pub use gguf::{GgufMetadata, GgufTensor, GgufValue, GgufWriter, Strings, gguf_header_is_whole};
pub use hub::HubFiles;
pub use part_name::{PartName, part_name};
pub use tensor::TensorInfo;
