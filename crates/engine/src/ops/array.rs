//! Floats where they are computed: in RAM or on a GPU.

use std::borrow::Cow;
use std::ops::Range;

use moestro_cuda as cuda;

use crate::error::Result;
use crate::layers::Context;

/// Where something is kept and computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    #[default]
    Host,
    Gpu,
}

/// Activations, small weights or state.
pub enum Array {
    Host(Vec<f32>),
    Gpu(cuda::Array),
}

impl Array {
    pub fn len(&self) -> usize {
        match self {
            Array::Host(x) => x.len(),
            Array::Gpu(x) => x.len(),
        }
    }

    pub fn place(&self) -> Place {
        match self {
            Array::Host(_) => Place::Host,
            Array::Gpu(_) => Place::Gpu,
        }
    }

    /// `gpu` is where to put it; `None` puts it into RAM.
    pub fn zeros(gpu: Option<&cuda::Gpu>, len: usize) -> Result<Array> {
        Ok(match gpu {
            None => Array::Host(vec![0.0; len]),
            Some(gpu) => Array::Gpu(gpu.zeros(len)?),
        })
    }

    /// Room for as many floats in the same place, all to be written before they are
    /// read.
    pub fn room_like(cx: Context, x: &Array) -> Result<Array> {
        Ok(match x {
            Array::Host(x) => Array::Host(vec![0.0; x.len()]),
            Array::Gpu(x) => Array::Gpu(cx.gpu().empty(x.len())?),
        })
    }

    pub fn copy(&self) -> Result<Array> {
        Ok(match self {
            Array::Host(x) => Array::Host(x.clone()),
            Array::Gpu(x) => Array::Gpu(x.duplicate()?),
        })
    }

    /// Takes over the values of an array of the same length and place.
    pub fn set(&mut self, other: &Array) -> Result<()> {
        match (self, other) {
            (Array::Host(x), Array::Host(y)) => x.copy_from_slice(y),
            (Array::Gpu(x), Array::Gpu(y)) => x.copy_from(0, y, 0..y.len())?,
            _ => apart(),
        }
        Ok(())
    }

    /// Zeros from now on.
    pub fn clear(&mut self) -> Result<()> {
        match self {
            Array::Host(x) => x.fill(0.0),
            Array::Gpu(x) => x.clear()?,
        }
        Ok(())
    }

    /// The same values in another place.
    pub fn moved(self, cx: Context, to: Place) -> Result<Array> {
        Ok(match (self, to) {
            (Array::Gpu(x), Place::Host) => Array::Host(x.read()?),
            (Array::Host(x), Place::Gpu) => Array::Gpu(cx.gpu().array(&x)?),
            (x, _) => x,
        })
    }

    /// The floats, wherever they are.
    pub fn to_host(&self) -> Result<Cow<'_, [f32]>> {
        Ok(match self {
            Array::Host(x) => x.into(),
            Array::Gpu(x) => x.read()?.into(),
        })
    }

    /// A copy of the rows of `width` that `of` names, one after the other.
    pub fn select(&self, cx: Context, width: usize, of: &[u32]) -> Result<Array> {
        Ok(match self {
            Array::Host(x) => {
                let rows = of.iter().map(|row| &x[*row as usize * width..][..width]);
                Array::Host(rows.flatten().copied().collect())
            }
            Array::Gpu(x) => Array::Gpu(cuda::select_rows(cx.gpu(), x, width, of)?),
        })
    }
}

/// Operands of one operation in two places.
pub(super) fn apart() -> ! {
    unreachable!("a layer moves its input to where its weights and its state are")
}

/// Where the tokens `tokens` are in rows of `width`.
pub fn span(tokens: &Range<usize>, width: usize) -> Range<usize> {
    tokens.start * width..tokens.end * width
}
