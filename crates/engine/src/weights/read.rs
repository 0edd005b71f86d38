//! Reading located weights into memory that the kernels can use.

use std::sync::Arc;

use moestro_checkpoint::{Checkpoint, TensorInfo};
use moestro_cuda as cuda;
use moestro_kernels::{AlignedBytes, Format, Matrix, packed_bytes};

use super::arrange::arrange;
use super::manifest::{Located, Manifest, matrix};
use super::names::Transform;
use crate::error::{EngineError, Result};
use crate::ops::{Array, Place};

/// A matrix in the order of memory.
#[derive(Clone)]
pub struct Weight {
    pub format: Format,
    pub rows: usize,
    pub cols: usize,
    /// Bytes of the order of its columns, behind the others.
    order: usize,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Host(Arc<AlignedBytes>),
    Gpu(Arc<cuda::Bytes>),
}

impl Weight {
    pub fn place(&self) -> Place {
        match self.data {
            Data::Host(_) => Place::Host,
            Data::Gpu(_) => Place::Gpu,
        }
    }

    /// # Panics
    /// If it is on the GPU.
    pub fn matrix(&self) -> Matrix<'_> {
        let Data::Host(data) = &self.data else {
            unreachable!("this weight is on the GPU");
        };
        matrix(self.format, self.rows, self.cols, self.order, data)
            .expect("the length was checked when the weight was read")
    }

    /// # Panics
    /// If it is not on the GPU.
    pub fn on_gpu(&self) -> cuda::Matrix<'_> {
        let Data::Gpu(data) = &self.data else {
            unreachable!("this weight is in RAM");
        };
        cuda::Matrix::new(self.format, self.rows, self.cols, data, 0)
            .and_then(|matrix| match self.order {
                0 => Some(matrix),
                order => matrix.ordered(data.len() - order),
            })
            .expect("the length was checked when the weight was read")
    }
}

/// Where the bytes of a matrix go as they are read.
enum Target {
    Host(AlignedBytes),
    /// Packed first in `piece`.
    Gpu {
        bytes: cuda::Bytes,
        piece: AlignedBytes,
    },
}

/// Reads weights by name and reports the bytes as they come in.
pub struct Loader<'a> {
    checkpoint: &'a Checkpoint,
    manifest: &'a Manifest,
    /// Called with the bytes of each piece read; an error stops the load.
    progress: &'a mut dyn FnMut(u64) -> Result<()>,
    /// Where the next weights go.
    gpu: Option<cuda::Gpu>,
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
            gpu: None,
        }
    }

    /// The weights read from now on go to this GPU, or into RAM.
    pub fn put_on(&mut self, gpu: Option<&cuda::Gpu>) {
        self.gpu = gpu.cloned();
    }

    /// Where weights go now, if that is a GPU.
    pub fn gpu(&self) -> Option<&cuda::Gpu> {
        self.gpu.as_ref()
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
        let piece_rows = (PIECE / row_bytes.max(1))
            .max(1)
            .next_multiple_of(TILE_ROWS)
            .min(rows.next_multiple_of(TILE_ROWS));
        let mut target = match &self.gpu {
            None => Target::Host(allocate(located, bytes + order)?),
            Some(gpu) => Target::Gpu {
                bytes: gpu.bytes(bytes + order)?,
                piece: allocate(
                    located,
                    packed_bytes(located.kept_as, piece_rows, cols).ok_or_else(ragged)?,
                )?,
            },
        };
        let mut file = allocate(located, piece_rows.min(rows) * row_bytes)?;
        let mut source = Ranges::new(located);
        let mut done = 0;
        for start in (0..rows).step_by(piece_rows) {
            let count = piece_rows.min(rows - start);
            let file = &mut file[..count * row_bytes];
            self.fill(located, &mut source, file)?;
            let packed = packed_bytes(located.kept_as, count, cols).ok_or_else(ragged)?;
            let out = match &mut target {
                Target::Host(data) => &mut data[done..done + packed],
                Target::Gpu { piece, .. } => &mut piece[..packed],
            };
            arrange(located.format, located.kept_as, cols, file, out);
            if let Target::Gpu { bytes, piece } = &mut target {
                bytes.write(done, &piece[..packed])?;
            }
            done += packed;
        }
        let mut order_of_columns = vec![0; order];
        self.checkpoint.read_order(info, &mut order_of_columns)?;
        let data = match target {
            Target::Host(mut data) => {
                data[bytes..].copy_from_slice(&order_of_columns);
                Data::Host(Arc::new(data))
            }
            Target::Gpu {
                bytes: mut data, ..
            } => {
                data.write(bytes, &order_of_columns)?;
                Data::Gpu(Arc::new(data))
            }
        };
        Ok(Weight {
            format: located.kept_as,
            rows,
            cols,
            order,
            data,
        })
    }

    /// A vector, or a small matrix row after row, as f32.
    pub fn vector(&mut self, name: &str) -> Result<Array> {
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
        Ok(match &self.gpu {
            None => Array::Host(values),
            Some(gpu) => Array::Gpu(gpu.array(&values)?),
        })
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
