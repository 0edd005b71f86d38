//! Writing GGUF files: everything but the tensors' bytes is declared first, then
//! the bytes are streamed in that order, so that a file may be larger than memory.
//! Format: the GGUF specification, version 3, of the ggml project.

use std::io::{Error, ErrorKind, Result, Seek, SeekFrom, Write};

use moestro_kernels::Format;

const ALIGNMENT: u64 = 32;

/// A value of the metadata, as far as this project writes them.
#[derive(Debug, Clone, PartialEq)]
pub enum GgufValue {
    U32(u32),
    F32(f32),
    Bool(bool),
    String(String),
    Strings(Vec<String>),
    I32s(Vec<i32>),
}

/// A tensor that will be written.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufTensor {
    pub name: String,
    pub format: Format,
    /// Outermost first, as in [`crate::TensorInfo`].
    pub shape: Vec<usize>,
}

impl GgufTensor {
    /// Bytes of the tensor; `None` if its rows are not whole blocks.
    pub fn bytes(&self) -> Option<u64> {
        let (cols, outer) = self.shape.split_last()?;
        let rows = outer
            .iter()
            .try_fold(1u64, |n, d| n.checked_mul(*d as u64))?;
        (self.format.row_bytes(*cols)? as u64).checked_mul(rows)
    }
}

/// A file under way: the header is out, tensors follow in the declared order.
pub struct GgufWriter<W: Write> {
    out: W,
    tensors: std::vec::IntoIter<GgufTensor>,
    /// Bytes still missing from the current tensor, and padding after it.
    missing: u64,
    padding: u64,
}

impl<W: Write> GgufWriter<W> {
    /// Writes the header.
    ///
    /// Errors: a tensor whose rows are not whole blocks, and those of `out`.
    pub fn start(
        mut out: W,
        metadata: &[(&str, GgufValue)],
        tensors: Vec<GgufTensor>,
    ) -> Result<GgufWriter<W>> {
        let header = header(metadata, &tensors)?;
        out.write_all(&header)?;
        Ok(GgufWriter {
            out,
            tensors: tensors.into_iter(),
            missing: 0,
            padding: 0,
        })
    }

    /// Begins the next declared tensor, if there is one left.
    pub fn next_tensor(&mut self) -> Result<Option<GgufTensor>> {
        if self.missing > 0 {
            let message = format!("{} bytes of a tensor were not written", self.missing);
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        self.out
            .write_all(&[0; ALIGNMENT as usize][..self.padding as usize])?;
        self.padding = 0;
        let Some(tensor) = self.tensors.next() else {
            return Ok(None);
        };
        self.missing = size(&tensor)?;
        self.padding = self.missing.next_multiple_of(ALIGNMENT) - self.missing;
        Ok(Some(tensor))
    }

    /// Appends to the current tensor, at most what it still lacks.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.missing = self
            .missing
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "more bytes than the tensor has"))?;
        self.out.write_all(bytes)
    }

    /// Hands everything written so far to `out`.
    pub fn flush(&mut self) -> Result<&W> {
        self.out.flush()?;
        Ok(&self.out)
    }

    /// Ends the file; every tensor must have been written.
    pub fn finish(mut self) -> Result<W> {
        match self.next_tensor()? {
            None => {
                self.out.flush()?;
                Ok(self.out)
            }
            Some(tensor) => {
                let message = format!("tensor {} was not written", tensor.name);
                Err(Error::new(ErrorKind::InvalidInput, message))
            }
        }
    }
}

/// Everything before the tensors' bytes.
fn header(metadata: &[(&str, GgufValue)], tensors: &[GgufTensor]) -> Result<Vec<u8>> {
    let mut header = Vec::new();
    header.extend(b"GGUF");
    header.extend(3u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        string(&mut header, key);
        entry(&mut header, value);
    }
    let mut offset = 0u64;
    for tensor in tensors {
        string(&mut header, &tensor.name);
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        for dimension in tensor.shape.iter().rev() {
            header.extend((*dimension as u64).to_le_bytes());
        }
        header.extend(tensor.format.ggml().to_le_bytes());
        header.extend(offset.to_le_bytes());
        offset += size(tensor)?.next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT as usize), 0);
    Ok(header)
}

fn size(tensor: &GgufTensor) -> Result<u64> {
    tensor.bytes().ok_or_else(|| {
        let message = format!(
            "tensor {}: rows of {:?} are not whole blocks of {}",
            tensor.name,
            tensor.shape,
            tensor.format.name()
        );
        Error::new(ErrorKind::InvalidInput, message)
    })
}

impl<W: Write + Seek> GgufWriter<W> {
    /// As [`GgufWriter::start`], going on behind the first `done` tensors, which
    /// `out` holds already from an earlier start with the same metadata and tensors.
    pub fn resume(
        mut out: W,
        metadata: &[(&str, GgufValue)],
        tensors: Vec<GgufTensor>,
        done: usize,
    ) -> Result<GgufWriter<W>> {
        if done == 0 {
            return GgufWriter::start(out, metadata, tensors);
        }
        let mut at = header(metadata, &tensors)?.len() as u64;
        let mut tensors = tensors.into_iter();
        for tensor in tensors.by_ref().take(done) {
            at += size(&tensor)?.next_multiple_of(ALIGNMENT);
        }
        out.seek(SeekFrom::Start(at))?;
        Ok(GgufWriter {
            out,
            tensors,
            missing: 0,
            padding: 0,
        })
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn entry(out: &mut Vec<u8>, value: &GgufValue) {
    let kind = |out: &mut Vec<u8>, number: u32| out.extend(number.to_le_bytes());
    match value {
        GgufValue::U32(v) => {
            kind(out, 4);
            out.extend(v.to_le_bytes());
        }
        GgufValue::F32(v) => {
            kind(out, 6);
            out.extend(v.to_le_bytes());
        }
        GgufValue::Bool(v) => {
            kind(out, 7);
            out.push(u8::from(*v));
        }
        GgufValue::String(v) => {
            kind(out, 8);
            string(out, v);
        }
        GgufValue::Strings(list) => {
            kind(out, 9);
            kind(out, 8);
            out.extend((list.len() as u64).to_le_bytes());
            list.iter().for_each(|text| string(out, text));
        }
        GgufValue::I32s(list) => {
            kind(out, 9);
            kind(out, 5);
            out.extend((list.len() as u64).to_le_bytes());
            list.iter().for_each(|v| out.extend(v.to_le_bytes()));
        }
    }
}
