//! Operations of the layers, computed where their operands are, on the processor or
//! on a GPU. Activations are `[tokens, width]`, row after row; the operands of an
//! operation are in one place.

mod array;
mod dense;
mod mixers;

pub use array::{Array, Place};
pub use dense::{
    Choice, add, add_experts, add_rms_norm, linear, linear_many, rms_norm, router_choice, rows,
    swiglu,
};
pub use mixers::{
    RopeTable, attention, causal_conv_silu, delta_rule, gated_rms_norm, rope, sigmoid_gate,
    split_gate,
};
