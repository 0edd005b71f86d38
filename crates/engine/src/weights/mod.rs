//! From a checkpoint's tensors to the weights a blueprint asks for: every tensor
//! is found, of the right shape and used, before a single weight is read.

mod arrange;
mod manifest;
mod names;
mod needs;
mod read;

pub use arrange::arrange;
pub use manifest::{ExpertLayout, ExpertPart, ExpertSegment, LayerExperts, Located, Manifest};
pub use names::{columns, skipped};
pub use needs::{Need, needs};
pub use read::{Loader, Weight};
