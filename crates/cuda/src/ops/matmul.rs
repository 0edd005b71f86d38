//! Products of weight matrices with activation rows.

use moestro_kernels::Format;

use crate::arguments::{FEW, Piece, Quantize, Rows, Work};
use crate::array::Array;
use crate::driver::Address;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::matrix::{Matrix, reading};
use crate::names::{self, Kind, TOGETHER};
use crate::ops::elements::order_columns;
use crate::ops::{row_count, word};
use crate::pinned::bytes_of;

/// Activations that share a scale.
pub(crate) const GROUP: usize = 32;

/// Bytes that are kept about each group.
const ABOUT: usize = 16;

/// Pieces of one launch; a grid's height is limited.
const MOST_PIECES: usize = 32768;

/// `x * w^T`: `[t, rows]` for `x` of `[t, cols]`.
///
/// # Panics
/// If `x` does not fit `w`.
pub fn matmul(gpu: &Gpu, w: Matrix, x: &Array) -> Result<Array> {
    let mut outs = matmul_many(gpu, &[w], x)?;
    Ok(outs.pop().expect("one matrix, one output"))
}

/// `x * w^T` for each of several matrices of equal width; those of one format in one
/// launch. Activations are rounded once.
///
/// # Panics
/// If the widths differ or `x` does not fit.
pub fn matmul_many(gpu: &Gpu, ws: &[Matrix], x: &Array) -> Result<Vec<Array>> {
    let Some(first) = ws.first() else {
        return Ok(Vec::new());
    };
    let cols = first.cols();
    let t = row_count("matmul input", x.len(), cols);
    let same = ws.iter().all(|w| w.cols() == cols);
    assert!(same, "matmul: matrices of equal width");
    let outs = ws.iter().map(|w| gpu.empty(t * w.rows()));
    let outs = outs.collect::<Result<Vec<_>>>()?;
    reading(gpu, ws, || {
        let mut input = Input::of(gpu, x, t, cols);
        let mut products = Vec::with_capacity(ws.len());
        for (w, out) in ws.iter().zip(&outs) {
            let (x, about) = input.for_matrix(w)?;
            products.push(Product {
                format: w.format(),
                cols,
                piece: Piece {
                    weights: w.address(),
                    x,
                    about,
                    out: out.address(),
                    rows: word(w.rows()),
                    count: word(t),
                    ..Piece::default()
                },
            });
        }
        multiply(gpu, &products)
    })?;
    Ok(outs)
}

/// `out[i] = w[ids[i]]`, dequantized: the rows of an embedding.
///
/// # Panics
/// If an id is not a row of `w`.
pub fn rows(gpu: &Gpu, w: Matrix, ids: &[u32]) -> Result<Array> {
    let all_there = ids.iter().all(|id| (*id as usize) < w.rows());
    assert!(all_there, "rows: an id is beyond the {} rows", w.rows());
    let out = gpu.empty(ids.len() * w.cols())?;
    let list = gpu.indices(ids)?;
    reading(gpu, &[w], || {
        let arguments = Rows {
            weights: w.address(),
            ids: list.address(),
            out: out.address(),
            rows: word(w.rows()),
            cols: word(w.cols()),
        };
        let kernel = names::of(w.format()).rows;
        gpu.launch(kernel, [ids.len(), 1, 1], 256, &arguments)
    })?;
    Ok(out)
}

/// The activations of a product in every form that its matrices need; each is made
/// when it is first asked for.
pub(crate) struct Input<'a> {
    gpu: &'a Gpu,
    /// If it is all of it, which then keeps its rounded form.
    array: Option<&'a Array>,
    x: Address,
    rows: usize,
    cols: usize,
    rounded: Option<Rounded>,
    /// In the orders of single matrices, held until the products are queued.
    ordered: Vec<Rounded>,
    ordered_floats: Vec<Array>,
}

/// Activations as signed bytes.
pub(crate) struct Rounded {
    q: Array,
    about: Array,
}

impl<'a> Input<'a> {
    /// All rows of an array.
    pub(crate) fn of(gpu: &'a Gpu, x: &'a Array, rows: usize, cols: usize) -> Input<'a> {
        Input {
            array: Some(x),
            ..Input::at(gpu, x.address(), rows, cols)
        }
    }

    /// Rows that begin at an address.
    pub(crate) fn at(gpu: &'a Gpu, x: Address, rows: usize, cols: usize) -> Input<'a> {
        Input {
            gpu,
            array: None,
            x,
            rows,
            cols,
            rounded: None,
            ordered: Vec::new(),
            ordered_floats: Vec::new(),
        }
    }

    /// Addresses of the activations for `w`, and of what is known about their groups.
    pub(crate) fn for_matrix(&mut self, w: &Matrix) -> Result<(Address, Address)> {
        let integers = names::of(w.format()).kind == Kind::Integers;
        match (w.order(), integers) {
            (None, false) => Ok((self.x, 0)),
            (None, true) => {
                if let Some(array) = self.array {
                    return Ok(array.rounded()?.from(0));
                }
                let rounded = match self.rounded.take() {
                    Some(rounded) => rounded,
                    None => self.round(0)?,
                };
                Ok(self.rounded.insert(rounded).from(0))
            }
            (Some(order), true) => {
                let rounded = self.round(order)?;
                let addresses = rounded.from(0);
                self.ordered.push(rounded);
                Ok(addresses)
            }
            (Some(order), false) => {
                let x = order_columns(self.gpu, self.x, self.rows, self.cols, order)?;
                let address = x.address();
                self.ordered_floats.push(x);
                Ok((address, 0))
            }
        }
    }

    fn round(&self, order: Address) -> Result<Rounded> {
        let rounded = Rounded::empty(self.gpu, self.rows * self.cols)?;
        rounded.fill(
            self.gpu,
            Quantize {
                x: self.x,
                order,
                rows: word(self.rows),
                cols: word(self.cols),
                ..Quantize::default()
            },
        )?;
        Ok(rounded)
    }
}

impl Rounded {
    /// Queues the rounding of whole groups.
    pub(crate) fn of(gpu: &Gpu, x: &Array) -> Result<Rounded> {
        let rounded = Rounded::empty(gpu, x.len())?;
        rounded.fill(
            gpu,
            Quantize {
                x: x.address(),
                rows: word(x.len() / GROUP),
                cols: word(GROUP),
                ..Quantize::default()
            },
        )?;
        Ok(rounded)
    }

    /// Room for `len` activations, whole groups.
    pub(crate) fn empty(gpu: &Gpu, len: usize) -> Result<Rounded> {
        Ok(Rounded {
            q: gpu.empty(len / size_of::<f32>())?,
            about: gpu.empty(len / GROUP * ABOUT / size_of::<f32>())?,
        })
    }

    /// Queues the rounding of `from`.
    pub(crate) fn fill(&self, gpu: &Gpu, from: Quantize) -> Result<()> {
        let arguments = Quantize {
            q: self.q.address(),
            about: self.about.address(),
            ..from
        };
        let groups = from.rows as usize * (from.cols as usize / GROUP);
        gpu.launch("quantize", [groups.div_ceil(4), 1, 1], 128, &arguments)
    }

    /// Addresses from activation `at`, the first of a group, on.
    pub(crate) fn from(&self, at: usize) -> (Address, Address) {
        (
            self.q.address() + at as Address,
            self.about.address() + (at / GROUP * ABOUT) as Address,
        )
    }
}

/// A product of any number of rows.
pub(crate) struct Product {
    pub(crate) format: Format,
    pub(crate) cols: usize,
    pub(crate) piece: Piece,
}

impl Product {
    /// Its rows in pieces that are computed together.
    fn pieces(&self) -> impl Iterator<Item = Piece> {
        let whole = self.piece;
        let most = TOGETHER[TOGETHER.len() - 1] as u32;
        (0..whole.count)
            .step_by(most as usize)
            .map(move |first| Piece {
                tokens: match whole.tokens {
                    0 => 0,
                    tokens => tokens + 4 * Address::from(first),
                },
                out: whole.out + 4 * Address::from(first) * Address::from(whole.rows),
                first: whole.first + first,
                count: most.min(whole.count - first),
                ..whole
            })
    }
}

/// Queues all products; those of one format and width, and of about as many rows, in
/// one launch.
pub(crate) fn multiply(gpu: &Gpu, products: &[Product]) -> Result<()> {
    type Key = (&'static str, usize, usize);
    let mut launches: Vec<(Key, Vec<Piece>)> = Vec::new();
    for product in products {
        let kernels = names::of(product.format);
        for piece in product.pieces() {
            let fits = |n: &usize| piece.count as usize <= *n;
            let size = TOGETHER.iter().position(fits).expect("pieces are small");
            // Weight rows of a block of threads, see the kernels.
            let tile = match (kernels.kind, size) {
                (Kind::Floats, 0) => 4,
                _ => 16,
            };
            let key = (kernels.matmul[size], product.cols, tile);
            match launches.iter_mut().find(|(other, _)| *other == key) {
                Some((_, pieces)) => pieces.push(piece),
                None => launches.push((key, vec![piece])),
            }
        }
    }
    for ((kernel, cols, tile), pieces) in &launches {
        for pieces in pieces.chunks(MOST_PIECES) {
            let rows = pieces.iter().map(|p| p.rows as usize).max().unwrap_or(0);
            let grid = [rows.div_ceil(*tile), pieces.len(), 1];
            let mut work = Work {
                cols: word(*cols),
                ..Work::default()
            };
            if pieces.len() <= FEW {
                work.few[..pieces.len()].copy_from_slice(pieces);
                gpu.launch(kernel, grid, 128, &work)?;
            } else {
                let bytes = bytes_of(pieces);
                let table = gpu.empty(bytes.len().div_ceil(size_of::<f32>()))?;
                gpu.send(bytes, table.address())?;
                work.table = table.address();
                gpu.launch(kernel, grid, 128, &work)?;
            }
        }
    }
    Ok(())
}
