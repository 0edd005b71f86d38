//! Tensors of safetensors files as they are, found by name while matrices are put
//! together from them.

use std::collections::HashMap;

use moestro_kernels::Format;

use super::blocks::Codes;
use super::{Found, Layout, Packed, Part};
use crate::tensor::Entry;

/// How a tensor of a safetensors file is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dtype {
    Float(Format),
    E4m3,
    U8,
    I8,
    I32,
    I64,
}

impl Dtype {
    /// By the name that safetensors give it.
    pub fn named(name: &str) -> Option<Dtype> {
        Some(match name {
            "BF16" => Dtype::Float(Format::BF16),
            "F16" => Dtype::Float(Format::F16),
            "F32" => Dtype::Float(Format::F32),
            "F8_E4M3" => Dtype::E4m3,
            "U8" => Dtype::U8,
            "I8" => Dtype::I8,
            "I32" => Dtype::I32,
            "I64" => Dtype::I64,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Dtype::Float(format) => format.name(),
            Dtype::E4m3 => "F8_E4M3",
            Dtype::U8 => "U8",
            Dtype::I8 => "I8",
            Dtype::I32 => "I32",
            Dtype::I64 => "I64",
        }
    }

    /// Of one value.
    pub fn bytes(self) -> usize {
        match self {
            Dtype::Float(format) => format.block_bytes(),
            Dtype::E4m3 | Dtype::U8 | Dtype::I8 => 1,
            Dtype::I32 => 4,
            Dtype::I64 => 8,
        }
    }
}

/// A tensor of a safetensors file.
#[derive(Debug)]
pub(crate) struct RawTensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: u64,
    pub file: u32,
    /// From the start of the file.
    pub offset: u64,
}

impl RawTensor {
    pub fn part(&self) -> Part {
        Part {
            file: self.file,
            offset: self.offset,
            bytes: self.bytes,
        }
    }

    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Entry for RawTensor {
    fn name(&self) -> &str {
        &self.name
    }
    fn file(&self) -> u32 {
        self.file
    }
}

/// All tensors, and which have found their place.
pub(super) struct Members {
    tensors: Vec<RawTensor>,
    by_name: HashMap<u64, Vec<u32>>,
    taken: Vec<bool>,
    /// Those of the matrix that is being put together, codes first.
    current: Vec<usize>,
}

impl Members {
    pub fn new(tensors: Vec<RawTensor>) -> Members {
        let mut by_name: HashMap<u64, Vec<u32>> = HashMap::with_capacity(tensors.len());
        for (i, t) in (0u32..).zip(&tensors) {
            by_name.entry(hash(&t.name)).or_default().push(i);
        }
        Members {
            taken: vec![false; tensors.len()],
            tensors,
            by_name,
            current: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    pub fn get(&self, at: usize) -> &RawTensor {
        &self.tensors[at]
    }

    pub fn is_taken(&self, at: usize) -> bool {
        self.taken[at]
    }

    /// Starts with the tensor of the codes.
    pub fn begin(&mut self, codes: usize) {
        self.current = vec![codes];
    }

    /// The codes of the matrix.
    pub fn codes(&self) -> &RawTensor {
        &self.tensors[self.current[0]]
    }

    fn find(&self, name: &str) -> Option<usize> {
        let found = self.by_name.get(&hash(name))?.iter();
        let found = found
            .copied()
            .find(|i| self.tensors[*i as usize].name == name);
        found.map(|i| i as usize)
    }

    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The tensor of this name as a part of the matrix.
    pub fn optional(&mut self, name: &str) -> Option<&RawTensor> {
        let at = self.find(name)?;
        self.current.push(at);
        Some(&self.tensors[at])
    }

    /// As [`Members::optional`], of one of these types.
    ///
    /// Errors: it is missing, or of another type.
    pub fn required(&mut self, name: &str, types: &[Dtype]) -> Result<&RawTensor, String> {
        let Some(at) = self.find(name) else {
            return Err(format!("its tensor \"{name}\" is missing"));
        };
        let found = self.tensors[at].dtype;
        if !types.contains(&found) {
            let expected: Vec<&str> = types.iter().map(|t| t.name()).collect();
            return Err(format!(
                "its tensor \"{name}\" is stored as {}, not {}",
                found.name(),
                expected.join(" or ")
            ));
        }
        self.current.push(at);
        Ok(&self.tensors[at])
    }

    /// As [`Members::required`], of scales: how they are stored, and their shape.
    ///
    /// Errors: they are missing, or not floats.
    pub fn scales(&mut self, name: &str) -> Result<(Format, Vec<usize>), String> {
        let floats = [Format::F16, Format::BF16, Format::F32].map(Dtype::Float);
        let found = self.required(name, &floats)?;
        match found.dtype {
            Dtype::Float(format) => Ok((format, found.shape.clone())),
            other => Err(format!("its scales are stored as {}", other.name())),
        }
    }

    /// The matrix of the parts asked for so far, codes first, then in that order.
    pub fn found(
        &self,
        name: &'static str,
        codes: Codes,
        shape: Vec<usize>,
        layout: impl Layout + 'static,
    ) -> Found {
        let parts = self.current.iter().map(|i| self.tensors[*i].part());
        Found {
            shape,
            packed: Packed {
                name,
                codes,
                parts: parts.collect(),
                layout: Box::new(layout),
            },
        }
    }

    /// Marks the parts of the matrix as used.
    pub fn commit(&mut self) {
        for i in self.current.drain(..) {
            self.taken[i] = true;
        }
    }

    /// Every tensor, and whether it was used.
    pub fn into_rest(self) -> impl Iterator<Item = (RawTensor, bool)> {
        self.tensors.into_iter().zip(self.taken)
    }
}

fn hash(name: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// Fails unless the tensor has this shape, dimensions of one aside.
pub(super) fn expect_shape(t: &RawTensor, expected: &[usize]) -> Result<(), String> {
    let squeezed = |s: &[usize]| s.iter().copied().filter(|d| *d != 1).collect::<Vec<_>>();
    if squeezed(&t.shape) == squeezed(expected) {
        return Ok(());
    }
    Err(format!(
        "its tensor \"{}\" has shape {:?} where {expected:?} fits the codes",
        t.name, t.shape
    ))
}
