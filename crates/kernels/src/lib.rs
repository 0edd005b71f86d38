//! Numeric kernels on the CPU. They know no model: slices of floats in row-major
//! order go in and out, weights stay in the format they are stored in.
//!
//! - [`Compute`] holds the threads and the instruction set, chosen at run time.
//! - [`Format`] and [`Matrix`] describe stored weights; one file per format in
//!   `formats/`.
//! - Everything else is an operation of a transformer or a gated delta network.
//!
//! Operations panic on wrong lengths, which are programming errors, and on
//! nothing else.

mod activations;
mod aligned;
mod attention;
mod compute;
mod conv;
mod delta;
mod dot;
mod formats;
mod gates;
mod input;
mod isa;
mod math;
mod matmul;
mod matrix;
mod multiply;
mod norm;
mod packed;
mod pool;
mod rope;
mod scaled;
mod shared;
mod simd;
mod stream;
mod swiglu;
mod tile;
mod topk;

pub use aligned::AlignedBytes;
pub use attention::{KvSlice, attention};
pub use compute::Compute;
pub use conv::causal_conv_silu;
pub use delta::{DeltaShape, delta_gates, delta_rule};
pub use formats::{Format, e4m3};
pub use gates::{add_scaled_sigmoid, sigmoid_gate, weighted_rows};
pub use isa::Isa;
pub use matmul::{matmul, matmul_many, rows};
pub use matrix::{Matrix, Rows};
pub use norm::{gated_rms_norm, rms_norm};
pub use packed::{pack, packed_bytes};
pub use rope::{RopeTable, rope};
pub use stream::read_all;
pub use swiglu::{ExpertTask, swiglu};
pub use topk::router_topk;
