//! The activations of a product, in whatever form its weights need.

use crate::activations::{Batches, GROUP, Group, Quantized};
use crate::compute::Compute;
use crate::formats::{Format, numbers};

/// Rows of activations.
pub(crate) struct Input<'a> {
    x: &'a [f32],
    cols: usize,
    quantized: Option<Quantized>,
}

impl<'a> Input<'a> {
    /// Rows of `cols` activations for weights of these formats.
    pub(crate) fn new(
        c: &Compute,
        x: &'a [f32],
        cols: usize,
        mut formats: impl Iterator<Item = Format>,
    ) -> Input<'a> {
        let integers = cols.is_multiple_of(GROUP) && formats.any(|f| numbers(f).is_some());
        Input {
            x,
            cols,
            quantized: integers.then(|| Quantized::new(c, x, cols)),
        }
    }

    /// Rows for integer weights only.
    pub(crate) fn of_groups(groups: Vec<Group>, shape: Batches) -> Input<'static> {
        Input {
            x: &[],
            cols: shape.per_row * GROUP,
            quantized: Some(Quantized::of_groups(groups, shape)),
        }
    }

    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &[f32] {
        &self.x[i * self.cols..(i + 1) * self.cols]
    }

    /// The activations for integer weights.
    #[inline(always)]
    pub(crate) fn quantized(&self) -> &Quantized {
        self.quantized.as_ref().expect("made for integer weights")
    }
}

/// Which rows of an input a product takes, in order.
#[derive(Clone, Copy)]
pub(crate) enum Tokens<'a> {
    /// The first so many.
    All(usize),
    These(&'a [u32]),
}

impl Tokens<'_> {
    #[inline(always)]
    pub(crate) fn len(self) -> usize {
        match self {
            Tokens::All(n) => n,
            Tokens::These(ids) => ids.len(),
        }
    }

    #[inline(always)]
    pub(crate) fn at(self, i: usize) -> usize {
        match self {
            Tokens::All(_) => i,
            Tokens::These(ids) => ids[i] as usize,
        }
    }
}
