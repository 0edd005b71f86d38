//! A borrowed weight matrix in the GPU's memory, in the order of
//! [`moestro_kernels::pack`]. In a tile one lane is one row, and sixteen lanes read
//! sixteen neighbouring words: nothing needs to be packed anew.

use moestro_kernels::{Format, packed_bytes};

use crate::array::Bytes;
use crate::driver::Address;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::slots::Slots;

/// Where a matrix may begin.
const ALIGNMENT: usize = 16;

/// A `[rows, cols]` weight matrix.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    format: Format,
    rows: usize,
    cols: usize,
    address: Address,
    /// Bytes from the address on that belong to whatever it lies in.
    room: usize,
    order: Option<Address>,
    place: Place<'a>,
}

#[derive(Clone, Copy)]
enum Place<'a> {
    /// Held, so that it outlives the matrix.
    Bytes(#[allow(dead_code, reason = "a borrow")] &'a Bytes),
    Slot(&'a Slots, usize),
}

impl<'a> Matrix<'a> {
    /// The matrix whose packed bytes begin at `offset`, a multiple of 16. `None` if
    /// they do not lie in `data`, or a row is not made of whole blocks.
    pub fn new(
        format: Format,
        rows: usize,
        cols: usize,
        data: &'a Bytes,
        offset: usize,
    ) -> Option<Matrix<'a>> {
        let room = data.len().checked_sub(offset)?;
        if !offset.is_multiple_of(ALIGNMENT) {
            return None;
        }
        let address = data.address() + offset as Address;
        Matrix::at(format, rows, cols, address, room, Place::Bytes(data))
    }

    pub(crate) fn in_slot(
        format: Format,
        rows: usize,
        cols: usize,
        address: Address,
        room: usize,
        (slots, slot): (&'a Slots, usize),
    ) -> Option<Matrix<'a>> {
        Matrix::at(format, rows, cols, address, room, Place::Slot(slots, slot))
    }

    fn at(
        format: Format,
        rows: usize,
        cols: usize,
        address: Address,
        room: usize,
        place: Place<'a>,
    ) -> Option<Matrix<'a>> {
        (packed_bytes(format, rows, cols)? <= room).then_some(Matrix {
            format,
            rows,
            cols,
            address,
            room,
            order: None,
            place,
        })
    }

    /// The same with its columns in another order: column `i` is to be multiplied with
    /// activation `order[i]`, numbers of four bytes that begin `offset` bytes behind
    /// the begin of the matrix, a multiple of four. `None` unless they lie there.
    pub fn ordered(self, offset: usize) -> Option<Matrix<'a>> {
        let end = offset.checked_add(self.cols.checked_mul(4)?)?;
        (end <= self.room && offset.is_multiple_of(4)).then_some(Matrix {
            order: Some(self.address + offset as Address),
            ..self
        })
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

    pub(crate) fn address(&self) -> Address {
        self.address
    }

    pub(crate) fn order(&self) -> Option<Address> {
        self.order
    }
}

impl std::fmt::Debug for Matrix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [{}, {}]", self.format, self.rows, self.cols)
    }
}

/// Runs `f`, which queues operations that read `matrices`, between the waits and the
/// marks that slots need.
pub(crate) fn reading<R>(
    gpu: &Gpu,
    matrices: &[Matrix],
    f: impl FnOnce() -> Result<R>,
) -> Result<R> {
    let slots = || {
        matrices.iter().filter_map(|m| match m.place {
            Place::Slot(slots, slot) => Some((slots, slot)),
            Place::Bytes(_) => None,
        })
    };
    for (slots, slot) in slots() {
        slots.begin_use(slot)?;
    }
    let result = f();
    if slots().next().is_some() {
        // Also after an error: some of it may be in the queue.
        let mark = gpu.uploads().mark(gpu.main())?;
        slots().for_each(|(slots, slot)| slots.end_use(slot, mark));
    }
    result
}
