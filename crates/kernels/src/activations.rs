//! Activations as signed bytes, for products with integer weights.
//!
//! Every 32 values share a scale: the largest magnitude becomes 127. The sums of
//! the integers are kept beside them, because a weight format that counts from an
//! offset or has a minimum needs them.

use crate::compute::Compute;
use crate::isa::vectorized;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd};

/// Values that share a scale.
pub(crate) const GROUP: usize = 32;

/// 32 neighbouring activations; value `i` is about `scale * q[i]`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Group {
    pub(crate) q: [i8; GROUP],
    pub(crate) scale: f32,
    /// `scale` times the sum of all integers.
    pub(crate) total: f32,
    /// The negated sums of the first and the last sixteen integers.
    pub(crate) minus_sums: [i32; 2],
    /// The same times 32.
    pub(crate) minus_32: [i32; 2],
    /// The negated sum of all integers times 128.
    pub(crate) minus_128: i32,
}

impl Group {
    pub(crate) const ZERO: Group = Group {
        q: [0; GROUP],
        scale: 0.0,
        total: 0.0,
        minus_sums: [0; 2],
        minus_32: [0; 2],
        minus_128: 0,
    };
}

/// Rows that lie together.
pub(crate) const BATCH: usize = 64;

/// Rows of groups. Of up to [`BATCH`] rows, the first groups lie together, then the
/// second ones, and so on, as the product of a tile reads them.
pub(crate) struct Quantized {
    groups: Vec<Group>,
    shape: Batches,
}

/// Where groups lie.
#[derive(Clone, Copy)]
pub(crate) struct Batches {
    pub(crate) rows: usize,
    pub(crate) per_row: usize,
}

impl Batches {
    #[inline(always)]
    pub(crate) fn at(self, row: usize, group: usize) -> usize {
        let first = row / BATCH * BATCH;
        let len = BATCH.min(self.rows - first);
        first * self.per_row + group * len + row - first
    }
}

impl Quantized {
    /// Rows of `cols` activations, a multiple of 32.
    pub(crate) fn new(c: &Compute, x: &[f32], cols: usize) -> Quantized {
        let mut groups = vec![Group::ZERO; x.len() / GROUP];
        let (values, _) = x.as_chunks::<GROUP>();
        let per_row = cols / GROUP;
        let rows = values.len().checked_div(per_row).unwrap_or(0);
        let shape = Batches { rows, per_row };
        let shared = SharedMut::new(&mut groups);
        c.split(values.len(), 32, |range| {
            vectorized!(c.level(), |s| {
                for i in range {
                    let at = shape.at(i / per_row, i % per_row);
                    // SAFETY: each group has a place of its own.
                    let group = unsafe { shared.slice(at..at + 1) };
                    group[0] = quantize(s, &values[i]);
                }
            });
        });
        Quantized { groups, shape }
    }

    pub(crate) fn of_groups(groups: Vec<Group>, shape: Batches) -> Quantized {
        Quantized { groups, shape }
    }

    /// The activations of a row as the integers say.
    pub(crate) fn values(&self, row: usize) -> Vec<f32> {
        let groups = (0..self.shape.per_row).map(|g| &self.groups[self.shape.at(row, g)]);
        groups
            .flat_map(|g| g.q.iter().map(|q| g.scale * f32::from(*q)))
            .collect()
    }

    pub(crate) fn rows(&self) -> usize {
        self.shape.rows
    }

    /// The groups of the rows from `first` on, a multiple of [`BATCH`].
    #[inline(always)]
    pub(crate) fn batch(&self, first: usize) -> &[Group] {
        let len = BATCH.min(self.shape.rows - first);
        &self.groups[first * self.shape.per_row..][..len * self.shape.per_row]
    }

    /// Up to [`BATCH`] rows as a batch of their own.
    pub(crate) fn gather(&self, rows: &[u32], to: &mut Vec<Group>) {
        to.clear();
        for group in 0..self.shape.per_row {
            let of = |row: &u32| self.groups[self.shape.at(*row as usize, group)];
            to.extend(rows.iter().map(of));
        }
    }
}

/// A scale that is not a number if a value is not, or is infinite.
#[inline(always)]
pub(crate) fn quantize<S: Simd>(s: S, values: &[f32; GROUP]) -> Group {
    let (halves, _) = values.as_chunks::<LANES>();
    let halves = [s.load(&halves[0]), s.load(&halves[1])];
    let magnitude = |v| s.max(v, s.sub(s.zero(), v));
    let mut lanes = [0.0; LANES];
    s.store(
        s.max(magnitude(halves[0]), magnitude(halves[1])),
        &mut lanes,
    );
    let largest = lanes.into_iter().fold(0.0f32, f32::max);
    let poison = s.sum(s.mul(s.add(halves[0], halves[1]), s.zero()));
    let scale = largest / 127.0 + poison;
    // Of a denormal scale the inverse would be infinite.
    let inverse = if scale > f32::MIN_POSITIVE {
        1.0 / scale
    } else {
        0.0
    };
    let mut group = Group::ZERO;
    let (q, _) = group.q.as_chunks_mut::<LANES>();
    let mut sums = [0.0; 2];
    for i in 0..2 {
        let rounded = s.round(s.mul(halves[i], s.splat(inverse)));
        s.narrow(rounded, &mut q[i]);
        sums[i] = s.sum(rounded);
    }
    group.minus_sums = [-(sums[0] as i32), -(sums[1] as i32)];
    group.minus_32 = [32 * group.minus_sums[0], 32 * group.minus_sums[1]];
    group.minus_128 = 128 * (group.minus_sums[0] + group.minus_sums[1]);
    group.scale = scale;
    group.total = scale * (sums[0] + sums[1]);
    group
}
