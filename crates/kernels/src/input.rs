//! The activations of a product, in whatever form its weights need.

use crate::activations::{Batches, GROUP, Group, Quantized};
use crate::compute::Compute;
use crate::formats::{Format, is_integer};
use crate::matrix::Matrix;
use std::borrow::Cow;

/// Rows of activations.
pub(crate) struct Input<'a> {
    x: Cow<'a, [f32]>,
    cols: usize,
    /// Which rows of `x`, in order; without it, all.
    chosen: Option<&'a [u32]>,
    quantized: Option<Cow<'a, Quantized>>,
}

impl<'a> Input<'a> {
    /// Rows of `cols` activations for weights of these formats.
    pub(crate) fn new(
        c: &Compute,
        x: &'a [f32],
        cols: usize,
        mut formats: impl Iterator<Item = Format>,
    ) -> Input<'a> {
        let integers = cols.is_multiple_of(GROUP) && formats.any(is_integer);
        Input {
            x: Cow::Borrowed(x),
            cols,
            chosen: None,
            quantized: integers.then(|| Cow::Owned(Quantized::new(c, x, cols))),
        }
    }

    /// Rows for integer weights only.
    pub(crate) fn of_groups(groups: Vec<Group>, shape: Batches) -> Input<'static> {
        Input {
            x: Cow::Borrowed(&[]),
            cols: shape.per_row * GROUP,
            chosen: None,
            quantized: Some(Cow::Owned(Quantized::of_groups(groups, shape))),
        }
    }

    /// Some rows of all, in this order.
    pub(crate) fn select<'b>(&'b self, rows: &'b [u32]) -> Input<'b> {
        let all = rows.len() == self.rows() && rows.iter().copied().eq(0..rows.len() as u32);
        let quantized = self.quantized.as_deref();
        Input {
            x: Cow::Borrowed(&self.x),
            cols: self.cols,
            chosen: Some(rows),
            quantized: quantized.map(|q| match all {
                true => Cow::Borrowed(q),
                false => Cow::Owned(q.select(rows)),
            }),
        }
    }

    /// The activations in the order in which the columns of `w` are, if it has one of
    /// its own. Once for all its rows: it takes as long as a few of them.
    pub(crate) fn in_order_of(&self, c: &Compute, w: &Matrix) -> Option<Input<'static>> {
        let order = w.order()?;
        let mut x = Vec::with_capacity(self.rows() * self.cols);
        for i in 0..self.rows() {
            let row = self.row(i);
            // Of a column that does not exist there is nothing.
            let value = |at: &[u8; 4]| row.get(u32::from_le_bytes(*at) as usize);
            x.extend(order.iter().map(|at| value(at).copied().unwrap_or(0.0)));
        }
        let quantized = is_integer(w.format()).then(|| Quantized::new(c, &x, self.cols));
        Some(Input {
            x: Cow::Owned(x),
            cols: self.cols,
            chosen: None,
            quantized: quantized.map(Cow::Owned),
        })
    }

    /// How many rows there are.
    #[inline(always)]
    pub(crate) fn rows(&self) -> usize {
        match (self.chosen, &self.quantized) {
            (Some(rows), _) => rows.len(),
            (None, Some(q)) => q.rows(),
            (None, None) => self.x.len() / self.cols.max(1),
        }
    }

    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &[f32] {
        let i = self.chosen.map_or(i, |rows| rows[i] as usize);
        &self.x[i * self.cols..(i + 1) * self.cols]
    }

    /// The activations for integer weights.
    #[inline(always)]
    pub(crate) fn quantized(&self) -> &Quantized {
        self.quantized.as_deref().expect("made for integer weights")
    }
}
