//! A look at a checkpoint: what it is and what it would take, without its weights.

use std::path::Path;

use moestro_checkpoint::Checkpoint;

use crate::architectures;
use crate::blueprint::Blueprint;
use crate::error::Result;
use crate::placement::ModelSizes;
use crate::precision::Precision;
use crate::quantize::{self, Quantize, Store};
use crate::weights::{Manifest, columns};

/// A checkpoint that was looked at but not loaded.
pub struct Inspection {
    pub checkpoint: Checkpoint,
    pub blueprint: Blueprint,
    pub manifest: Manifest,
    pub sizes: ModelSizes,
}

/// Reads headers and checks that the checkpoint holds exactly what its
/// architecture needs; no weights are read. With `quantize` as it is, or will be, once
/// it has been quantized.
pub fn inspect(
    path: &Path,
    precision: Precision,
    quantize: Option<&(Quantize, Store)>,
) -> Result<Inspection> {
    let checkpoint = Checkpoint::open(path)?;
    let Some((target, store)) = quantize else {
        return examine(checkpoint, precision);
    };
    match quantize::kept(&checkpoint, *target, store) {
        Some(kept) => examine(kept, precision),
        None => examine(quantize::foretell(checkpoint, *target)?, precision),
    }
}

/// What [`inspect`] does with a checkpoint that is open.
pub(crate) fn examine(mut checkpoint: Checkpoint, precision: Precision) -> Result<Inspection> {
    let blueprint = architectures::read(&checkpoint)?;
    checkpoint.give_columns(&|tensor| columns(tensor, &blueprint))?;
    let manifest = Manifest::new(&checkpoint, &blueprint, precision)?;
    let sizes = ModelSizes::new(
        &blueprint,
        &manifest,
        precision.kv(),
        checkpoint.total_bytes(),
    );
    Ok(Inspection {
        checkpoint,
        blueprint,
        manifest,
        sizes,
    })
}
