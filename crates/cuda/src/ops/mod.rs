//! The operations of [`moestro_kernels`] on the GPU. Activations are `[tokens, width]`,
//! row after row. Each queues its kernels on the main stream and returns; operations
//! of single sessions take the range of their token rows.
//!
//! Wrong lengths panic, as they do there.

mod attention;
mod delta;
mod elements;
mod matmul;
mod norm;
mod rope;
mod router;
mod swiglu;

pub use attention::attention;
pub use delta::{DeltaGates, causal_conv_silu, delta_rule};
pub use elements::{add, add_experts, select_rows, sigmoid_gate, silu_mul, split_gate};
pub(crate) use matmul::Rounded;
pub use matmul::{matmul, matmul_many, rows};
pub use norm::{add_rms_norm, gated_rms_norm, rms_norm};
pub use rope::{RopeTable, rope};
pub use router::router_topk;
pub use swiglu::{ExpertTask, swiglu};

/// The number of rows of `width` in `len` floats.
fn row_count(what: &str, len: usize, width: usize) -> usize {
    assert!(
        width > 0 && len.is_multiple_of(width),
        "{what}: {len} floats are not rows of {width}"
    );
    len / width
}

/// A size as kernels take it.
fn word(n: usize) -> u32 {
    u32::try_from(n).expect("a size that fits in a word")
}
