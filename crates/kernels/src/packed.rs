//! The order in which integer weights lie in memory: tiles of sixteen rows, in
//! which the bytes of the file are permuted and none is added, so that a vector
//! of sixteen words holds the same word of sixteen rows.
//!
//! A block of a format is a sequence of numbers of one, two or four bytes. Where
//! a file has, row after row, number after number, a tile has, number after
//! number, row after row: the number at byte `o` of the block of row `r`, of `n`
//! bytes, is at `16 o + r n` of the tile's block. The last tile is filled up with
//! rows of zeros. Float formats stay as they are.

use crate::formats::{Format, dequantize, numbers};
use crate::isa::Level;
use crate::matrix::Matrix;

/// Rows of a tile.
pub(crate) const TILE: usize = crate::simd::LANES;

/// The largest block of any format kept in tiles, in bytes.
const LARGEST_BLOCK: usize = 256;

/// Bytes that `rows` rows of `cols` values take in memory; `None` if a row is not
/// made of whole blocks or the size is beyond `usize`.
pub fn packed_bytes(format: Format, rows: usize, cols: usize) -> Option<usize> {
    let rows = match numbers(format) {
        Some(_) => rows.checked_next_multiple_of(TILE)?,
        None => rows,
    };
    rows.checked_mul(format.row_bytes(cols)?)
}

/// Brings whole rows of `cols` values from the order of a file into that of
/// memory. A matrix can be packed in pieces, if each but the last is a multiple of
/// 16 rows.
///
/// # Panics
/// If `file` is not whole rows, or `out` is not their size in memory.
pub fn pack(format: Format, cols: usize, file: &[u8], out: &mut [u8]) {
    let row_bytes = format.row_bytes(cols).expect("rows of whole blocks");
    let rows = file.len().checked_div(row_bytes).unwrap_or(0);
    assert_eq!(file.len(), rows * row_bytes, "pack: whole rows");
    assert_eq!(
        Some(out.len()),
        packed_bytes(format, rows, cols),
        "pack: the output holds {rows} rows"
    );
    let Some(numbers) = numbers(format) else {
        out.copy_from_slice(file);
        return;
    };
    if row_bytes == 0 {
        return;
    }
    let tiles = out.chunks_exact_mut(TILE * row_bytes);
    for (tile, rows) in tiles.zip(file.chunks(TILE * row_bytes)) {
        pack_tile(numbers, format.block_bytes(), row_bytes, rows, tile);
    }
}

fn pack_tile(
    numbers: &[(usize, usize)],
    block_bytes: usize,
    row_bytes: usize,
    rows: &[u8],
    tile: &mut [u8],
) {
    if rows.len() < tile.len() {
        tile.fill(0);
    }
    for (r, row) in rows.chunks_exact(row_bytes).enumerate() {
        let blocks = row.chunks_exact(block_bytes);
        for (block, packed) in blocks.zip(tile.chunks_exact_mut(TILE * block_bytes)) {
            let mut at = 0;
            for (bytes, count) in numbers {
                let from = &block[at..at + bytes * count];
                let to = &mut packed[TILE * at..][..TILE * from.len()];
                match bytes {
                    4 => scatter::<4>(from, to, r),
                    2 => scatter::<2>(from, to, r),
                    _ => scatter::<1>(from, to, r),
                }
                at += from.len();
            }
        }
    }
}

/// Writes the numbers of `N` bytes as column `r` of rows of sixteen.
#[inline(always)]
fn scatter<const N: usize>(from: &[u8], to: &mut [u8], r: usize) {
    let (from, _) = from.as_chunks::<N>();
    let (to, _) = to.as_chunks_mut::<N>();
    for (from, to) in from.iter().zip(to.chunks_exact_mut(TILE)) {
        to[r] = *from;
    }
}

/// Writes the values of row `row` of `w` to `out`.
pub(crate) fn unpack_row(level: Level, w: Matrix, row: usize, out: &mut [f32]) {
    let format = w.format();
    let Some(numbers) = numbers(format) else {
        return dequantize(level, format, w.row(row), out);
    };
    let (len, bytes) = (format.block_len(), format.block_bytes());
    let r = row % TILE;
    let mut block = [0; LARGEST_BLOCK];
    let block = &mut block[..bytes];
    let packed = w.tile(row / TILE).chunks_exact(TILE * bytes);
    for (packed, out) in packed.zip(out.chunks_exact_mut(len)) {
        let mut at = 0;
        for (size, count) in numbers {
            for _ in 0..*count {
                block[at..at + size].copy_from_slice(&packed[TILE * at + r * size..][..*size]);
                at += size;
            }
        }
        dequantize(level, format, block, out);
    }
}
