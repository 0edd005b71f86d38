//! What is known of a tensor without reading its bytes.

use std::sync::Arc;

use moestro_kernels::Format;

use crate::error::{CheckpointError, quoted};
use crate::packed::{Packed, Shape};
use crate::source::SourceFile;

/// A tensor of a checkpoint: what it is and where its bytes are.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    /// Name as the file spells it.
    pub name: String,
    /// How its values are stored.
    pub format: Format,
    /// Outermost dimension first: `[rows, cols]` or `[experts, rows, cols]`.
    /// GGUF stores the reverse. Empty for a scalar, which only safetensors has.
    pub shape: Vec<usize>,
    /// Bytes of its values in that format: those of the file, unless several tensors
    /// hold it (see [`TensorInfo::stored_bytes`]).
    pub bytes: u64,
    /// Index into the checkpoint's files.
    pub(crate) file: u32,
    /// Position of the first byte, from the start of the file.
    pub(crate) offset: u64,
    /// Where the others of the tensors are that hold it.
    pub(crate) packed: Option<Arc<Packed>>,
}

impl TensorInfo {
    /// Bytes in the files.
    pub fn stored_bytes(&self) -> u64 {
        match &self.packed {
            None => self.bytes,
            Some(packed) => packed.parts.iter().map(|p| p.bytes).sum(),
        }
    }

    /// What it is packed with, if several tensors hold it.
    pub fn packing(&self) -> Option<&'static str> {
        self.packed.as_ref().map(|p| p.name)
    }

    /// Bytes of the order of its columns, if that is not the model's. GPTQ keeps
    /// columns in the order of their activations, of which groups are made.
    pub fn order_bytes(&self) -> usize {
        let cols = self.matrix().cols;
        let ordered = self.packed.as_ref().and_then(|p| p.order_part(cols));
        if ordered.is_some() { 4 * cols } else { 0 }
    }

    /// All rows and their length.
    pub(crate) fn matrix(&self) -> Shape {
        let cols = self.shape.last().copied().unwrap_or(1);
        let rows = self.shape.iter().rev().skip(1).product();
        Shape { rows, cols }
    }

    pub(crate) fn row_bytes(&self) -> usize {
        let cols = self.matrix().cols;
        self.format.row_bytes(cols).unwrap_or(0)
    }

    /// Computes format and bytes of a packed matrix from its shape.
    pub(crate) fn settle(&mut self) {
        let shape = self.matrix();
        if let Some(packed) = &self.packed {
            self.format = packed.format(shape.cols);
            self.bytes = shape.rows as u64 * self.row_bytes() as u64;
        }
    }

    /// Makes it what it will be in another format: in no file yet.
    pub(crate) fn convert(&mut self, format: Format) {
        self.format = format;
        self.packed = None;
        self.bytes = self.matrix().rows as u64 * self.row_bytes() as u64;
        self.file = NOWHERE;
    }
}

/// No file of a checkpoint.
const NOWHERE: u32 = u32::MAX;

/// What the checks of names need to know.
pub(crate) trait Entry {
    fn name(&self) -> &str;
    fn file(&self) -> u32;
}

impl Entry for TensorInfo {
    fn name(&self) -> &str {
        &self.name
    }
    fn file(&self) -> u32 {
        self.file
    }
}

/// The tensors of a checkpoint in the order of its files, found by name.
#[derive(Debug)]
pub(crate) struct TensorIndex<T = TensorInfo> {
    tensors: Vec<T>,
    /// Positions in `tensors`, ordered by name.
    by_name: Vec<u32>,
}

impl<T: Entry> TensorIndex<T> {
    /// Orders the tensors by name, which must not repeat.
    pub fn new(tensors: Vec<T>, files: &[SourceFile]) -> Result<Self, CheckpointError> {
        let name = |i: &u32| tensors[*i as usize].name();
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

    pub fn all(&self) -> &[T] {
        &self.tensors
    }

    pub fn all_mut(&mut self) -> &mut [T] {
        &mut self.tensors
    }

    pub fn into_all(self) -> Vec<T> {
        self.tensors
    }

    pub fn get(&self, name: &str) -> Option<&T> {
        let at = self
            .by_name
            .binary_search_by(|&i| self.tensors[i as usize].name().cmp(name))
            .ok()?;
        Some(&self.tensors[self.by_name[at] as usize])
    }
}

fn repeated_name(first: &impl Entry, second: &impl Entry, files: &[SourceFile]) -> CheckpointError {
    let [a, b] = [first.file(), second.file()].map(|file| &files[file as usize].path);
    let shown = quoted(first.name());
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
    let names: Vec<&str> = Format::all()
        .iter()
        .filter(|format| format.is_gguf())
        .map(|format| format.name())
        .collect();
    names.join(", ")
}
