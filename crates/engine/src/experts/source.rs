//! From the file into a slot.

use std::sync::Arc;

use moestro_checkpoint::{Checkpoint, CheckpointError, DirectFiles};

use crate::weights::{ExpertLayout, ExpertPart, LayerExperts, arrange};

/// Where the reading threads get the matrices of experts from.
pub trait Source: Send + Sync {
    /// Reads one matrix (0 gate, 1 up, 2 down) of an expert into `out`, which is as
    /// long as it is in a slot. `scratch` holds the bytes as they are in the file.
    fn read(
        &self,
        layer: &LayerExperts,
        expert: u32,
        part: usize,
        scratch: &mut [u8],
        out: &mut [u8],
    ) -> Result<(), CheckpointError>;
}

/// A checkpoint whose experts are read past the page cache.
pub struct Files {
    checkpoint: Arc<Checkpoint>,
    direct: DirectFiles,
}

impl Files {
    pub fn new(checkpoint: Arc<Checkpoint>) -> Files {
        let direct = DirectFiles::open(&checkpoint);
        Files { checkpoint, direct }
    }

    /// Does every read bypass the page cache?
    pub fn direct(&self) -> bool {
        self.direct.all_direct()
    }
}

impl Source for Files {
    fn read(
        &self,
        layer: &LayerExperts,
        expert: u32,
        part: usize,
        scratch: &mut [u8],
        out: &mut [u8],
    ) -> Result<(), CheckpointError> {
        let segment = &layer.experts[expert as usize][part];
        let tensor = &self.checkpoint.tensors()[segment.tensor];
        let part = parts(&layer.layout)[part];
        let reader = self.direct.reader(&self.checkpoint);
        let file = reader.read(tensor, segment.offset, part.file_bytes, scratch)?;
        let (weights, order) = out.split_at_mut(part.bytes - part.order);
        fill(part, file, weights);
        self.checkpoint.read_order(tensor, order)
    }
}

/// The one place where a matrix changes from its order in the file to that in a
/// slot.
fn fill(part: &ExpertPart, file: &[u8], out: &mut [u8]) {
    arrange(part.format, part.kept_as, part.cols, file, out);
}

pub fn parts(layout: &ExpertLayout) -> [&ExpertPart; 3] {
    [&layout.gate, &layout.up, &layout.down]
}

/// Bytes of each matrix in a slot.
pub fn sizes(layout: &ExpertLayout) -> [usize; 3] {
    parts(layout).map(|p| p.bytes)
}

/// Scratch memory that one reading thread needs for any of these layers.
pub fn scratch_for(layers: &[LayerExperts]) -> usize {
    let of = |l: &LayerExperts| parts(&l.layout).map(|p| p.scratch);
    layers.iter().flat_map(of).max().unwrap_or(0)
}
