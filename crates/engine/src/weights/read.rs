//! Reading located weights into memory that the kernels can use.

use std::sync::Arc;

use moestro_checkpoint::{Checkpoint, TensorInfo};
use moestro_kernels::{AlignedBytes, Format, Matrix};

use super::manifest::{Located, Manifest};
use super::names::Transform;
use crate::error::{EngineError, Result};

/// A matrix in memory, in the format of its file.
#[derive(Clone)]
pub struct Weight {
    pub format: Format,
    pub rows: usize,
    pub cols: usize,
    data: Arc<AlignedBytes>,
}

impl Weight {
    pub fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.format, self.rows, self.cols, &self.data)
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

    /// A matrix, kept in its format. `name` must be one of the blueprint's needs.
    pub fn matrix(&mut self, name: &str) -> Result<Weight> {
        let located = self.located(name)?;
        let data = self.bytes(located)?;
        let (rows, cols) = match located.shape[..] {
            [rows, cols] => (rows, cols),
            _ => (1, located.shape[0]),
        };
        // A format whose rows are not whole blocks cannot be multiplied row by row.
        if Matrix::new(located.format, rows, cols, &data).is_none() {
            return Err(EngineError::RaggedRows {
                name: located.name.clone(),
                rows,
                cols,
                format: located.format.name().to_string(),
            });
        }
        Ok(Weight {
            format: located.format,
            rows,
            cols,
            data: Arc::new(data),
        })
    }

    /// A vector, or a small matrix row after row, as f32.
    pub fn vector(&mut self, name: &str) -> Result<Vec<f32>> {
        let located = self.located(name)?;
        let data = self.bytes(located)?;
        let len = located.shape.iter().product();
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

    fn bytes(&mut self, located: &Located) -> Result<AlignedBytes> {
        let info: &TensorInfo = &self.checkpoint.tensors()[located.tensor];
        let mut data = AlignedBytes::try_new(located.bytes as usize).ok_or_else(|| {
            EngineError::OutOfMemory {
                what: located.name.clone(),
                bytes: located.bytes,
            }
        })?;
        let mut filled = 0;
        for (offset, len) in &located.ranges {
            let mut at = 0;
            while at < *len {
                let take = (*len - at).min(PIECE as u64);
                let out = &mut data[filled..filled + take as usize];
                self.checkpoint.read(info, offset + at, out)?;
                (self.progress)(take)?;
                filled += take as usize;
                at += take;
            }
        }
        Ok(data)
    }
}
