//! Activations as signed bytes, for products with integer weights.
//!
//! Every 32 values share a scale: the largest magnitude becomes 127. The sums of
//! the integers are kept beside them, because a weight format that counts from an
//! offset or has a minimum needs them.

use crate::compute::Compute;
use crate::isa::vectorized;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd};
use std::ops::Range;

/// Values that share a scale.
pub(crate) const GROUP: usize = 32;

/// 32 neighbouring activations; value `i` is about `scale * q[i]`. All of it lies in
/// pieces of sixteen bytes, so that few loads fetch what a product needs.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Group {
    pub(crate) q: [[i8; GROUP / 2]; 2],
    /// The bits of the scale; those of the scale times the sum of all integers; the
    /// negated sums of the first and of the last sixteen integers.
    pub(crate) sums: [u32; 4],
    /// The bits of the scale; the negated sum of all integers; the negated sums of
    /// the first and of the last sixteen integers, times 32.
    pub(crate) offsets: [u32; 4],
}

impl Group {
    pub(crate) const ZERO: Group = Group {
        q: [[0; GROUP / 2]; 2],
        sums: [0; 4],
        offsets: [0; 4],
    };

    pub(crate) fn value(&self, i: usize) -> f32 {
        f32::from_bits(self.sums[0]) * f32::from(self.q.as_flattened()[i])
    }
}

/// Rows that lie together.
pub(crate) const BATCH: usize = 64;

/// Rows of groups. Of up to [`BATCH`] rows, the first groups lie together, then the
/// second ones, and so on, as the product of a tile reads them.
#[derive(Clone)]
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

    /// The rows and groups at a range of places, in order.
    #[inline(always)]
    fn what(self, places: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
        let first = places.start / (BATCH * self.per_row) * BATCH;
        let mut batch = first..self.rows.min(first + BATCH);
        let within = places.start - first * self.per_row;
        let (mut row, mut group) = (first + within % batch.len(), within / batch.len());
        // Counted on: three divisions for each place would take as long as its values.
        places.map(move |_| {
            let here = (row, group);
            row += 1;
            if row == batch.end {
                group += 1;
                if group == self.per_row {
                    group = 0;
                    batch = batch.end..self.rows.min(batch.end + BATCH);
                }
                row = batch.start;
            }
            here
        })
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
            // SAFETY: ranges do not overlap.
            let groups = unsafe { shared.slice(range.clone()) };
            vectorized!(c.level(), |s| {
                // In the order of writing: reading may jump, writing may not, or every
                // row's line would fall into the same set of the cache.
                for ((row, i), group) in shape.what(range).zip(groups) {
                    *group = quantize(s, &values[row * per_row + i]);
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
            .flat_map(|g| (0..GROUP).map(|i| g.value(i)))
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

    /// Some of the rows.
    pub(crate) fn select(&self, rows: &[u32]) -> Quantized {
        let per_row = self.shape.per_row;
        let mut groups = Vec::with_capacity(rows.len() * per_row);
        for batch in rows.chunks(BATCH) {
            for group in 0..per_row {
                for row in batch {
                    groups.push(self.groups[self.shape.at(*row as usize, group)]);
                }
            }
        }
        let rows = rows.len();
        Quantized {
            groups,
            shape: Batches { rows, per_row },
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
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            lanes[i] = if lanes[i] > lanes[i + width] {
                lanes[i]
            } else {
                lanes[i + width]
            };
        }
        width /= 2;
    }
    let largest = lanes[0];
    let poison = s.sum(s.mul(s.add(halves[0], halves[1]), s.zero()));
    let scale = largest / 127.0 + poison;
    // Of a denormal scale the inverse would be infinite.
    let inverse = if scale > f32::MIN_POSITIVE {
        1.0 / scale
    } else {
        0.0
    };
    let mut group = Group::ZERO;
    let mut sums = [0.0; 2];
    for i in 0..2 {
        let rounded = s.round(s.mul(halves[i], s.splat(inverse)));
        s.narrow(rounded, &mut group.q[i]);
        sums[i] = s.sum(rounded);
    }
    let [a, b] = sums.map(|sum| -(sum as i32));
    let total = scale * (sums[0] + sums[1]);
    let words = [a, b, a + b, 32 * a, 32 * b].map(i32::cast_unsigned);
    group.sums = [scale.to_bits(), total.to_bits(), words[0], words[1]];
    group.offsets = [scale.to_bits(), words[2], words[3], words[4]];
    group
}
