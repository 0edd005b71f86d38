//! A borrowed weight matrix in its stored format, and strided activation rows.

use crate::formats::Format;
use crate::packed::{TILE, packed_bytes};

/// A `[rows, cols]` weight matrix in the order of memory, which
/// [`pack`](crate::pack) makes from that of a file.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    format: Format,
    rows: usize,
    cols: usize,
    row_bytes: usize,
    data: &'a [u8],
    order: Option<&'a [[u8; 4]]>,
}

impl<'a> Matrix<'a> {
    /// `None` unless `data` is exactly `rows` packed rows of `cols` values.
    pub fn new(format: Format, rows: usize, cols: usize, data: &'a [u8]) -> Option<Matrix<'a>> {
        let row_bytes = format.row_bytes(cols)?;
        (packed_bytes(format, rows, cols)? == data.len()).then_some(Matrix {
            format,
            rows,
            cols,
            row_bytes,
            data,
            order: None,
        })
    }

    /// The same with its columns in another order: column `i` is to be multiplied
    /// with activation `order[i]`, numbers of four bytes, little-endian. GPTQ sorts
    /// columns that way. `None` unless there is one for each column.
    pub fn ordered(self, order: &'a [u8]) -> Option<Matrix<'a>> {
        let (order, rest) = order.as_chunks();
        (order.len() == self.cols && rest.is_empty()).then_some(Matrix {
            order: Some(order),
            ..self
        })
    }

    /// See [`Matrix::ordered`].
    pub(crate) fn order(&self) -> Option<&'a [[u8; 4]]> {
        self.order
    }

    /// The format of the weights.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Output width.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Input width.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// All bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// The bytes of row `i` of a format kept as in the file.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &'a [u8] {
        &self.data[i * self.row_bytes..][..self.row_bytes]
    }

    /// The bytes of tile `i`, sixteen rows, of a format kept in tiles.
    #[inline(always)]
    pub(crate) fn tile(&self, i: usize) -> &'a [u8] {
        let bytes = TILE * self.row_bytes;
        &self.data[i * bytes..][..bytes]
    }
}

impl std::fmt::Debug for Matrix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}, {}]", self.format, self.rows, self.cols)
    }
}

/// Rows of `width` floats that may be parts of wider rows.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    data: &'a [f32],
    width: usize,
    stride: usize,
    offset: usize,
}

impl<'a> Rows<'a> {
    /// Row `t` is `data[t * width..][..width]`.
    pub fn dense(data: &'a [f32], width: usize) -> Rows<'a> {
        Rows::strided(data, width, width, 0)
    }

    /// Row `t` is `data[t * stride + offset..][..width]`.
    ///
    /// # Panics
    /// If a row would not fit in its stride.
    pub fn strided(data: &'a [f32], width: usize, stride: usize, offset: usize) -> Rows<'a> {
        assert!(
            offset + width <= stride,
            "rows of {width} from {offset} on do not fit in a stride of {stride}"
        );
        Rows {
            data,
            width,
            stride,
            offset,
        }
    }

    /// Floats per row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row `t`.
    ///
    /// # Panics
    /// If there is no row `t`.
    #[inline(always)]
    pub fn row(&self, t: usize) -> &'a [f32] {
        &self.data[t * self.stride + self.offset..][..self.width]
    }

    /// Panics unless there are `t` rows of `width`.
    pub(crate) fn check(&self, what: &str, t: usize, width: usize) {
        assert_eq!(self.width, width, "{what}: row width");
        let needed = match t {
            0 => 0,
            _ => (t - 1) * self.stride + self.offset + self.width,
        };
        assert!(
            self.data.len() >= needed,
            "{what}: {} floats do not hold {t} rows",
            self.data.len()
        );
    }
}
