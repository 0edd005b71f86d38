//! Computing on an NVIDIA GPU: the operations of [`moestro_kernels`] with own kernels,
//! memory under a budget, and slots for experts that are filled beside the
//! computation.
//!
//! Needs nothing but the driver, which is loaded when it is asked for. The kernels are
//! compiled when the program is built (feature `cuda`) and tested when a GPU is opened.
//!
//! - [`probe`] says which GPUs there are.
//! - [`Gpu`] is one in use; [`Array`], [`Indices`] and [`Bytes`] lie in its memory.
//! - [`Matrix`] describes stored weights, in [`Bytes`] or in [`Slots`].
//! - Everything else is an operation of a transformer or a gated delta network.
//!
//! Operations are queued in the order of the calls and not waited for; reading waits,
//! and shows the errors of what was queued before. They panic on wrong lengths, which
//! are programming errors, and on nothing else.

mod arguments;
mod array;
mod context;
mod driver;
mod error;
mod gpu;
mod images;
mod kv;
mod matrix;
mod measure;
mod memory;
mod names;
mod ops;
mod pinned;
mod probe;
mod self_test;
mod slots;
mod uploads;

pub use array::{Array, Bytes, Indices};
pub use error::{CudaError, Result};
pub use gpu::{Gpu, Kernels};
pub use kv::{KvCache, KvFormat};
pub use matrix::Matrix;
pub use measure::Rates;
pub use memory::granted;
pub use ops::*;
pub use probe::{GpuInfo, free_vram, probe};
pub use slots::Slots;
