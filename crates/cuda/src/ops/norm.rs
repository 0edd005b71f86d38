//! Root-mean-square normalisation (Zhang and Sennrich, 2019).

use crate::arguments::Norm;
use crate::array::Array;
use crate::driver::Address;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::matmul::{GROUP, Rounded};
use crate::ops::{row_count, word};

/// Rows up to this width are a warp's work.
const NARROW: usize = 512;

/// `x / sqrt(mean(x^2) + eps) * weight` for each row of the length of `weight`.
///
/// # Panics
/// If the lengths do not fit.
pub fn rms_norm(gpu: &Gpu, x: &Array, weight: &Array, eps: f32) -> Result<Array> {
    norm(gpu, (x.address(), x.len()), [0, 0], weight, eps)
}

/// Adds `y` to `x`, then normalises `x` as [`rms_norm`].
///
/// # Panics
/// If the lengths do not fit.
pub fn add_rms_norm(
    gpu: &Gpu,
    x: &mut Array,
    y: &Array,
    weight: &Array,
    eps: f32,
) -> Result<Array> {
    assert_eq!(x.len(), y.len(), "add_rms_norm: equal lengths");
    norm(
        gpu,
        (x.address_mut(), x.len()),
        [y.address(), 0],
        weight,
        eps,
    )
}

/// `x / sqrt(mean(x^2) + eps) * weight * silu(gate)` for each row of the length of
/// `weight`.
///
/// # Panics
/// If the lengths do not fit.
pub fn gated_rms_norm(
    gpu: &Gpu,
    x: &Array,
    gate: &Array,
    weight: &Array,
    eps: f32,
) -> Result<Array> {
    assert_eq!(x.len(), gate.len(), "gated_rms_norm: equal lengths");
    norm(
        gpu,
        (x.address(), x.len()),
        [0, gate.address()],
        weight,
        eps,
    )
}

fn norm(
    gpu: &Gpu,
    (x, len): (Address, usize),
    [plus, gate]: [Address; 2],
    weight: &Array,
    eps: f32,
) -> Result<Array> {
    let width = weight.len();
    let rows = row_count("rms_norm", len, width);
    let mut out = gpu.empty(len)?;
    // For the products that read it, nearly always the next operation.
    let rounded = match width.is_multiple_of(GROUP) {
        true => Some(Rounded::empty(gpu, len)?),
        false => None,
    };
    let (q, about) = rounded.as_ref().map_or((0, 0), |rounded| rounded.from(0));
    let arguments = Norm {
        x,
        plus,
        gate,
        weight: weight.address(),
        out: out.address(),
        q,
        about,
        rows: word(rows),
        width: word(width),
        eps,
        unused: 0,
    };
    if width <= NARROW {
        gpu.launch("norm_narrow", [rows.div_ceil(4), 1, 1], 128, &arguments)?;
    } else {
        gpu.launch("norm_wide", [rows, 1, 1], 256, &arguments)?;
    }
    if let Some(rounded) = rounded {
        out.set_rounded(rounded);
    }
    Ok(out)
}
