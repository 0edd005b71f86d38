//! Element-wise operations and those that move rows.

use crate::arguments::{Elements, FEW, Mix};
use crate::array::{Array, Indices};
use crate::driver::Address;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::{row_count, word};

/// Queues a kernel with a thread for each of `len` elements.
pub(crate) fn each(gpu: &Gpu, kernel: &'static str, len: usize, arguments: Elements) -> Result<()> {
    let arguments = Elements {
        len: word(len),
        ..arguments
    };
    gpu.launch(kernel, [len.div_ceil(256), 1, 1], 256, &arguments)
}

/// `acc += y`.
///
/// # Panics
/// If the lengths differ.
pub fn add(gpu: &Gpu, acc: &mut Array, y: &Array) -> Result<()> {
    assert_eq!(acc.len(), y.len(), "add: equal lengths");
    let arguments = Elements {
        a: acc.address_mut(),
        b: y.address(),
        ..Elements::default()
    };
    each(gpu, "add", acc.len(), arguments)
}

/// `x *= sigmoid(gate)`.
///
/// # Panics
/// If the lengths differ.
pub fn sigmoid_gate(gpu: &Gpu, x: &mut Array, gate: &Array) -> Result<()> {
    assert_eq!(x.len(), gate.len(), "sigmoid_gate: one gate per value");
    let arguments = Elements {
        a: x.address_mut(),
        b: gate.address(),
        ..Elements::default()
    };
    each(gpu, "sigmoid_gate", x.len(), arguments)
}

/// `gate = silu(gate) * up`.
///
/// # Panics
/// If the lengths differ.
pub fn silu_mul(gpu: &Gpu, gate: &mut Array, up: &Array) -> Result<()> {
    assert_eq!(gate.len(), up.len(), "silu_mul: equal lengths");
    let arguments = Elements {
        a: gate.address_mut(),
        b: up.address(),
        ..Elements::default()
    };
    each(gpu, "silu_mul", gate.len(), arguments)
}

/// Queries and gates of heads of `dim` that lie one behind the other, `[t, heads,
/// query | gate]`: two arrays of `[t, heads, dim]`.
///
/// # Panics
/// If the length does not fit.
pub fn split_gate(gpu: &Gpu, projected: &Array, dim: usize) -> Result<(Array, Array)> {
    row_count("split_gate", projected.len(), 2 * dim);
    let len = projected.len() / 2;
    let (query, gate) = (gpu.empty(len)?, gpu.empty(len)?);
    let arguments = Elements {
        a: query.address(),
        b: projected.address(),
        out: gate.address(),
        width: word(dim),
        ..Elements::default()
    };
    each(gpu, "split_gate", len, arguments)?;
    Ok((query, gate))
}

/// `x[t] += sum over j of weights[t, j] * outputs[rows[t, j]]` in the order of `j`, for
/// `weights` and `rows` of `[t, k]`, with `sigmoid(gate[t]) * shared[t]` in the sum if
/// there is a `shared` expert and its gate. A row beyond `outputs`, such as `u32::MAX`,
/// counts nothing.
///
/// # Panics
/// If the lengths do not fit.
pub fn add_experts(
    gpu: &Gpu,
    x: &mut Array,
    outputs: &Array,
    rows: &[u32],
    weights: &Array,
    shared: Option<(&Array, &Array)>,
    k: usize,
) -> Result<()> {
    assert_eq!(rows.len(), weights.len(), "add_experts: a weight per row");
    let t = row_count("add_experts", rows.len(), k);
    if t == 0 {
        return Ok(());
    }
    let width = row_count("add_experts", x.len(), t);
    let limit = row_count("add_experts outputs", outputs.len(), width);
    if let Some((shared, gate)) = shared {
        assert_eq!(shared.len(), x.len(), "add_experts: equal shapes");
        assert_eq!(gate.len(), t, "add_experts: a gate per token");
    }
    let mut few = [0; FEW];
    let list = match few.get_mut(..k) {
        Some(few) if t == 1 => {
            few.copy_from_slice(rows);
            None
        }
        _ => Some(gpu.indices(rows)?),
    };
    let arguments = Mix {
        x: x.address_mut(),
        outputs: outputs.address(),
        weights: weights.address(),
        shared: shared.map_or(0, |(shared, _)| shared.address()),
        gate: shared.map_or(0, |(_, gate)| gate.address()),
        rows: list.as_ref().map_or(0, Indices::address),
        len: word(x.len()),
        width: word(width),
        each: word(k),
        limit: word(limit),
        few,
    };
    gpu.launch(
        "add_experts",
        [x.len().div_ceil(256), 1, 1],
        256,
        &arguments,
    )
}

/// Some rows of `x`, rows of `width`, in this order.
///
/// # Panics
/// If there is no such row.
pub fn select_rows(gpu: &Gpu, x: &Array, width: usize, rows: &[u32]) -> Result<Array> {
    let limit = row_count("select_rows", x.len(), width);
    let all_there = rows.iter().all(|row| (*row as usize) < limit);
    assert!(all_there, "select_rows: one is beyond the {limit} rows");
    let out = gpu.empty(rows.len() * width)?;
    let rows = gpu.indices(rows)?;
    let arguments = Elements {
        b: x.address(),
        out: out.address(),
        rows: rows.address(),
        width: word(width),
        limit: word(limit),
        ..Elements::default()
    };
    each(gpu, "select_rows", out.len(), arguments)?;
    Ok(out)
}

/// The columns of `[rows, cols]` floats at `x` in another order, `cols` numbers.
pub(crate) fn order_columns(
    gpu: &Gpu,
    x: Address,
    rows: usize,
    cols: usize,
    order: Address,
) -> Result<Array> {
    let out = gpu.empty(rows * cols)?;
    let arguments = Elements {
        b: x,
        out: out.address(),
        rows: order,
        width: word(cols),
        ..Elements::default()
    };
    each(gpu, "order_columns", out.len(), arguments)?;
    Ok(out)
}
