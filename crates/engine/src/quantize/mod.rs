//! Quantizing a model when it is first loaded: its weights are converted once, a
//! few rows at a time, into a GGUF file in the cache, and read from there from then
//! on. Configuration and tokenizer stay those of the source.

mod cache;
mod convert;
mod mix;

use moestro_checkpoint::Checkpoint;

pub use self::cache::{Cached, Store, folder};
pub use self::mix::Quantize;

use crate::architectures;
use crate::cancel::Cancel;
use crate::error::{EngineError, Result};
use crate::weights::columns;

/// The model at `source` with its quantized weights, if `store` has them.
pub fn kept(source: &Checkpoint, target: Quantize, store: &Store) -> Option<Checkpoint> {
    store.place(source, target).open(source)
}

/// The model at `source` as it will be when it is quantized: to plan with.
///
/// Errors: weights that are quantized already.
pub fn foretell(mut source: Checkpoint, target: Quantize) -> Result<Checkpoint> {
    let blueprint = architectures::read(&source)?;
    source.give_columns(&|tensor| columns(tensor, &blueprint))?;
    convert::plan(&source, &blueprint, target)?;
    Ok(source.foretold(&|tensor| target.format(tensor, &blueprint)))
}

/// Quantizes the model at `source` into `store` and returns it with those weights.
/// `progress` gets bytes written and to write.
///
/// What was written before a cancel or a crash is not written again.
///
/// Errors: weights that are quantized already, too little space, `Cancelled`.
pub fn prepare(
    mut source: Checkpoint,
    target: Quantize,
    store: &Store,
    threads: usize,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Checkpoint> {
    let place = store.place(&source, target);
    let blueprint = architectures::read(&source)?;
    source.give_columns(&|tensor| columns(tensor, &blueprint))?;
    let plan = convert::plan(&source, &blueprint, target)?;
    convert::run(&source, plan, &place, threads, cancel, progress)?;
    place.open(&source).ok_or_else(|| {
        EngineError::Cache(format!(
            "{}: does not read back what was written; check the disk, then try again",
            place.weights.display()
        ))
    })
}
