//! What is known of a tensor without reading its bytes.

use moestro_kernels::Format;

use crate::error::{CheckpointError, quoted};
use crate::source::SourceFile;

/// A tensor of a checkpoint: what it is and where its bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name as the file spells it.
    pub name: String,
    /// How its values are stored.
    pub format: Format,
    /// Outermost dimension first: `[rows, cols]` or `[experts, rows, cols]`.
    /// GGUF stores the reverse. Empty for a scalar, which only safetensors has.
    pub shape: Vec<usize>,
    /// Bytes in the file.
    pub bytes: u64,
    /// Index into the checkpoint's files.
    pub(crate) file: u32,
    /// Position of the first byte, from the start of the file.
    pub(crate) offset: u64,
}

/// The tensors of a checkpoint in the order of its files, found by name.
#[derive(Debug)]
pub(crate) struct TensorIndex {
    tensors: Vec<TensorInfo>,
    /// Positions in `tensors`, ordered by name.
    by_name: Vec<u32>,
}

impl TensorIndex {
    /// Orders the tensors by name, which must not repeat.
    pub fn new(tensors: Vec<TensorInfo>, files: &[SourceFile]) -> Result<Self, CheckpointError> {
        let name = |i: &u32| &tensors[*i as usize].name;
        let mut by_name: Vec<u32> = (0..tensors.len() as u32).collect();
        by_name.sort_unstable_by(|a, b| name(a).cmp(name(b)).then(a.cmp(b)));
        let repeated = by_name
            .windows(2)
            .find(|pair| name(&pair[0]) == name(&pair[1]));
        if let Some(pair) = repeated {
            let [first, second] = [pair[0], pair[1]].map(|i| &tensors[i as usize]);
            return Err(repeated_name(first, second, files));
        }
        Ok(Self { tensors, by_name })
    }

    pub fn all(&self) -> &[TensorInfo] {
        &self.tensors
    }

    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        let at = self
            .by_name
            .binary_search_by(|&i| self.tensors[i as usize].name.as_str().cmp(name))
            .ok()?;
        Some(&self.tensors[self.by_name[at] as usize])
    }
}

fn repeated_name(first: &TensorInfo, second: &TensorInfo, files: &[SourceFile]) -> CheckpointError {
    let [a, b] = [first, second].map(|t| &files[t.file as usize].path);
    let shown = quoted(&first.name);
    let problem = if a == b {
        format!("holds two tensors named {shown}")
    } else {
        let other = b.file_name().unwrap_or_default().to_string_lossy();
        format!("tensor {shown} is also in {other}")
    };
    let way_out = "the checkpoint is damaged or mixes two models: download it again";
    CheckpointError::malformed(a, problem, way_out)
}

/// Names of the formats that GGUF tensors may have.
pub(crate) fn gguf_formats() -> String {
    let names: Vec<&str> = Format::all().iter().map(|format| format.name()).collect();
    names.join(", ")
}
