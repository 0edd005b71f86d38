//! Rotary position embedding with angles from a table: sines and cosines are those
//! of the CPU to the last bit, and consumer GPUs, which are slow in double precision,
//! need not compute them.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use moestro_kernels::{self as kernels, Compute};

use crate::arguments::Rope;
use crate::array::Array;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops::{row_count, word};

/// Positions that a table begins with; it doubles when it is too short.
const FIRST: usize = 1024;

/// Angles of the positions so far needed, on the GPU.
pub struct RopeTable {
    angles: kernels::RopeTable,
    /// `[positions, cosines | sines]`.
    table: Mutex<Array>,
}

impl RopeTable {
    /// For the angles of `table`. One serves all layers of a model.
    pub fn new(gpu: &Gpu, table: &kernels::RopeTable) -> Result<RopeTable> {
        let angles = rows(table, 0..FIRST);
        Ok(RopeTable {
            angles: table.clone(),
            table: Mutex::new(gpu.array(&angles)?),
        })
    }

    /// Makes the table long enough, and hands it to `f`.
    fn with<R>(
        &self,
        gpu: &Gpu,
        positions: usize,
        f: impl FnOnce(&Array) -> Result<R>,
    ) -> Result<R> {
        let width = self.angles.rotary_dims();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let before = table.len() / width.max(1);
        if positions > before && width > 0 {
            let now = positions.next_power_of_two();
            let mut longer = gpu.empty(now * width)?;
            longer.copy_from(0, &table, 0..table.len())?;
            longer.write(table.len(), &rows(&self.angles, before..now))?;
            *table = longer;
        }
        f(&table)
    }
}

/// The angles of some positions: what the CPU makes of ones and zeros.
fn rows(table: &kernels::RopeTable, positions: Range<usize>) -> Vec<f32> {
    let width = table.rotary_dims();
    let mut rows = vec![0.0; positions.len() * width];
    for row in rows.chunks_exact_mut(width.max(1)) {
        row[..width / 2].fill(1.0);
    }
    if width > 0 {
        let alone = Compute::new(1);
        kernels::rope(&alone, table, &mut rows, 1, width, positions.start);
    }
    rows
}

/// Rotates the first dimensions of each head of the rows `rows` of `x`, `[t, heads,
/// dim]`, by the angles of positions `first_position` and following.
///
/// # Panics
/// If the lengths do not fit.
pub fn rope(
    gpu: &Gpu,
    table: &RopeTable,
    x: &mut Array,
    rows: Range<usize>,
    heads: usize,
    dim: usize,
    first_position: usize,
) -> Result<()> {
    let half = table.angles.rotary_dims() / 2;
    assert!(2 * half <= dim, "rope: {} of {dim} dimensions", 2 * half);
    let t = row_count("rope", x.len(), heads * dim);
    assert!(
        rows.start <= rows.end && rows.end <= t,
        "rope: {rows:?} of {t}"
    );
    let x = x.address_mut();
    table.with(gpu, first_position + rows.len(), |table| {
        let arguments = Rope {
            x,
            table: table.address(),
            first_row: word(rows.start),
            rows: word(rows.len()),
            heads: word(heads),
            dim: word(dim),
            half: word(half),
            first_position: word(first_position),
        };
        let pairs = rows.len() * heads * half;
        gpu.launch("rope", [pairs.div_ceil(256), 1, 1], 256, &arguments)
    })
}
