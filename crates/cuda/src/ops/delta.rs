//! The convolution and the gated delta rule of Gated DeltaNet layers.

use std::ops::Range;

use moestro_kernels::DeltaShape;

use crate::arguments::{Conv, Delta};
use crate::array::Array;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::{row_count, word};

/// Inputs that a convolution may look at.
const MOST_TAPS: usize = 8;

/// A causal depthwise convolution followed by SiLU, over the rows `rows` of `x`, to
/// those of `out`, both `[t, channels]`; `weight` is `[channels, kernel]`. Inputs
/// before the first row come from `state`, `[kernel - 1, channels]`, oldest first,
/// which then holds the last `kernel - 1` inputs.
///
/// # Panics
/// If the lengths do not fit, or `kernel` is not from 1 to 8.
pub fn causal_conv_silu(
    gpu: &Gpu,
    x: &Array,
    rows: Range<usize>,
    state: &mut Array,
    weight: &Array,
    kernel: usize,
    out: &mut Array,
) -> Result<()> {
    assert!(
        (1..=MOST_TAPS).contains(&kernel),
        "causal_conv_silu: a kernel of {kernel} taps"
    );
    let channels = row_count("causal_conv_silu weight", weight.len(), kernel);
    let t = row_count("causal_conv_silu input", x.len(), channels);
    assert_eq!(out.len(), x.len(), "causal_conv_silu: equal shapes");
    assert_eq!(
        state.len(),
        (kernel - 1) * channels,
        "causal_conv_silu: state is [kernel - 1, channels]"
    );
    inside("causal_conv_silu", &rows, t);
    let arguments = Conv {
        x: x.address(),
        weight: weight.address(),
        state: state.address_mut(),
        out: out.address_mut(),
        first_row: word(rows.start),
        rows: word(rows.len()),
        channels: word(channels),
        taps: word(kernel),
    };
    gpu.launch(
        "causal_conv_silu",
        [channels.div_ceil(128), 1, 1],
        128,
        &arguments,
    )
}

/// What decay and write strength of each head come from: `exp(-exp(a_log) *
/// softplus(a + dt_bias))` and `sigmoid(b)`.
#[derive(Clone, Copy)]
pub struct DeltaGates<'a> {
    /// `[t, value_heads]`
    pub a: &'a Array,
    /// `[t, value_heads]`
    pub b: &'a Array,
    /// `[value_heads]`
    pub a_log: &'a Array,
    /// `[value_heads]`
    pub dt_bias: &'a Array,
}

/// Runs the tokens `rows` through the gated delta rule.
///
/// `qkv` is `[t, queries | keys | values]`, not yet normalised, of `key_heads *
/// key_dim` twice and `value_heads * value_dim`; `state` is `[value_heads, key_dim,
/// value_dim]`, read and written; `out` is `[t, value_heads, value_dim]`, of which
/// `rows` are written.
///
/// # Panics
/// If the lengths do not fit, or keys have more than 256 dimensions.
#[allow(clippy::too_many_arguments, reason = "the shape of the operation")]
pub fn delta_rule(
    gpu: &Gpu,
    shape: DeltaShape,
    qkv: &Array,
    gates: DeltaGates,
    rows: Range<usize>,
    state: &mut Array,
    out: &mut Array,
) -> Result<()> {
    let DeltaShape {
        key_heads,
        value_heads,
        key_dim,
        value_dim,
    } = shape;
    assert!(
        key_heads > 0 && value_heads > 0 && value_heads.is_multiple_of(key_heads),
        "delta_rule: {shape:?}"
    );
    assert!(
        (1..=256).contains(&key_dim) && value_dim > 0,
        "delta_rule: {shape:?}"
    );
    let DeltaGates {
        a,
        b,
        a_log,
        dt_bias,
    } = gates;
    let t = row_count("delta_rule decay", a.len(), value_heads);
    let width = 2 * key_heads * key_dim + value_heads * value_dim;
    assert_eq!(qkv.len(), t * width, "delta_rule: qkv is [{t}, {width}]");
    assert_eq!(b.len(), a.len(), "delta_rule: a and b are [t, value_heads]");
    let per_head = a_log.len() == value_heads && dt_bias.len() == value_heads;
    assert!(per_head, "delta_rule: one decay and one bias per head");
    assert_eq!(
        state.len(),
        value_heads * key_dim * value_dim,
        "delta_rule: state is [value_heads, key_dim, value_dim]"
    );
    assert_eq!(
        out.len(),
        t * value_heads * value_dim,
        "delta_rule: output is [t, value_heads, value_dim]"
    );
    inside("delta_rule", &rows, t);
    if rows.is_empty() {
        return Ok(());
    }
    let arguments = Delta {
        qkv: qkv.address(),
        a: a.address(),
        b: b.address(),
        a_log: a_log.address(),
        dt_bias: dt_bias.address(),
        state: state.address_mut(),
        out: out.address_mut(),
        first_row: word(rows.start),
        rows: word(rows.len()),
        key_heads: word(key_heads),
        value_heads: word(value_heads),
        key_dim: word(key_dim),
        value_dim: word(value_dim),
    };
    let kernel = match key_dim {
        ..=128 => "delta_rule_32",
        _ => "delta_rule_64",
    };
    gpu.launch(
        kernel,
        [value_heads, value_dim.div_ceil(32), 1],
        128,
        &arguments,
    )
}

fn inside(what: &str, rows: &Range<usize>, t: usize) {
    assert!(
        rows.start <= rows.end && rows.end <= t,
        "{what}: rows {rows:?} of {t}"
    );
}
