//! Reading located weights into memory that the kernels can use.

use std::sync::Arc;

use moestro_checkpoint::{Checkpoint, TensorInfo};
use moestro_kernels::{AlignedBytes, Format, Matrix, packed_bytes};

use super::arrange::arrange;
use super::manifest::{Located, Manifest, matrix};
use super::names::Transform;
use crate::error::{EngineError, Result};

/// A matrix in the order of memory.
#[derive(Clone)]
pub struct Weight {
    pub format: Format,
    pub rows: usize,
    pub cols: usize,
    /// Bytes of the order of its columns, behind the others.
    order: usize,
    data: Arc<AlignedBytes>,
}

impl Weight {
    pub fn matrix(&self) -> Matrix<'_> {
        matrix(self.format, self.rows, self.cols, self.order, &self.data)
            .expect("the length was checked when the weight was read")
    }
}

/// Reads weights by name and reports the bytes as they come in.
pub struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    manifest: &'a Manifest,
    /// Called with the bytes of each piece read; an error stops the load.
    progress: &'a mut dyn FnMut(u64) -> Result<()>,
}

/// Largest single read, so that progress moves and cancelling is quick.
const PIECE: usize = 8 << 20;

/// Rows that are arranged in memory together.
const TILE_ROWS: usize = 16;

impl<'a> Loader<'a> {
    pub fn new(
        checkpoint: &'a Checkpoint,
        manifest: &'a Manifest,
        progress: &'a mut dyn FnMut(u64) -> Result<()>,
    ) -> Loader<'a> {
        Loader {
            checkpoint,
            manifest,
            progress,
        }
    }

    /// A matrix in the order of memory. `name` must be one of the blueprint's needs.
    pub fn matrix(&mut self, name: &str) -> Result<Weight> {
        let located = self.located(name)?;
        let (rows, cols) = match located.shape[..] {
            [rows, cols] => (rows, cols),
            _ => (1, located.shape[0]),
        };
        let ragged = || EngineError::RaggedRows {
            name: located.name.clone(),
            rows,
            cols,
            format: located.format.name().to_string(),
        };
        // A format whose rows are not whole blocks cannot be multiplied row by row.
        let row_bytes = located.format.row_bytes(cols).ok_or_else(ragged)?;
        let bytes = packed_bytes(located.kept_as, rows, cols).ok_or_else(ragged)?;
        let info = &self.checkpoint.tensors()[located.tensor];
        let order = info.order_bytes();
        let mut data = allocate(located, bytes + order)?;
        self.checkpoint.read_order(info, &mut data[bytes..])?;
        let piece_rows = (PIECE / row_bytes.max(1))
            .max(1)
            .next_multiple_of(TILE_ROWS);
        let mut file = allocate(located, piece_rows.min(rows) * row_bytes)?;
        let mut source = Ranges::new(located);
        let mut left = &mut data[..bytes];
        for start in (0..rows).step_by(piece_rows) {
            let count = piece_rows.min(rows - start);
            let file = &mut file[..count * row_bytes];
            self.fill(located, &mut source, file)?;
            let packed = packed_bytes(located.kept_as, count, cols).ok_or_else(ragged)?;
            let (out, rest) = left.split_at_mut(packed);
            arrange(located.format, located.kept_as, cols, file, out);
            left = rest;
        }
        Ok(Weight {
            format: located.kept_as,
            rows,
            cols,
            order,
            data: Arc::new(data),
        })
    }

    /// A vector, or a small matrix row after row, as f32.
    pub fn vector(&mut self, name: &str) -> Result<Vec<f32>> {
        let located = self.located(name)?;
        let len = located.shape.iter().product();
        let bytes: u64 = located.ranges.iter().map(|(_, len)| len).sum();
        let mut data = allocate(located, bytes as usize)?;
        self.fill(located, &mut Ranges::new(located), &mut data)?;
        if located.format.row_bytes(len) != Some(data.len()) {
            return Err(EngineError::RaggedRows {
                name: located.name.clone(),
                rows: 1,
                cols: len,
                format: located.format.name().to_string(),
            });
        }
        let mut values = vec![0.0; len];
        located.format.dequantize(&data, &mut values);
        match located.transform {
            Transform::None => {}
            Transform::AddOne => values.iter_mut().for_each(|v| *v += 1.0),
            Transform::LogOfNegated => values.iter_mut().for_each(|v| *v = (-*v).ln()),
        }
        Ok(values)
    }

    fn located(&self, name: &str) -> Result<&'a Located> {
        self.manifest
            .weights
            .get(name)
            .ok_or_else(|| EngineError::MissingTensor {
                name: name.to_string(),
            })
    }

    /// Fills `out` with the next bytes of a weight.
    fn fill(&mut self, located: &Located, source: &mut Ranges, mut out: &mut [u8]) -> Result<()> {
        let info: &TensorInfo = &self.checkpoint.tensors()[located.tensor];
        while !out.is_empty() {
            let (offset, len) = source.take(out.len().min(PIECE));
            let (now, rest) = out.split_at_mut(len);
            self.checkpoint.read(info, offset, now)?;
            (self.progress)(len as u64)?;
            out = rest;
        }
        Ok(())
    }
}

/// What is left of the byte ranges that hold a weight.
struct Ranges<'a> {
    ranges: std::slice::Iter<'a, (u64, u64)>,
    current: (u64, u64),
}

impl<'a> Ranges<'a> {
    fn new(located: &'a Located) -> Ranges<'a> {
        Ranges {
            ranges: located.ranges.iter(),
            current: (0, 0),
        }
    }

    /// Offset and length of the next bytes that lie together, at most `most`.
    fn take(&mut self, most: usize) -> (u64, usize) {
        while self.current.1 == 0 {
            let next = self.ranges.next();
            self.current = *next.expect("the ranges hold the shape that was checked");
        }
        let (offset, len) = self.current;
        let taken = len.min(most as u64);
        self.current = (offset + taken, len - taken);
        (offset, taken as usize)
    }
}

fn allocate(located: &Located, bytes: usize) -> Result<AlignedBytes> {
    AlignedBytes::try_new(bytes).ok_or_else(|| EngineError::OutOfMemory {
        what: located.name.clone(),
        bytes: bytes as u64,
    })
}
