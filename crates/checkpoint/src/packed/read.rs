//! Reading matrices that several tensors hold.

use std::ops::Range;

use super::{Packed, Shape, Span};
use crate::error::{CheckpointError, SAVE_AGAIN, quoted};
use crate::source::SourceFile;
use crate::tensor::TensorInfo;

/// Bytes that are read before they are decoded.
const PIECE: usize = 4 << 20;
/// Stripes begin where words of codes of several rows do.
const ROWS: usize = 16;

/// Fills `out` with bytes of the matrix `t` from byte `from` on.
pub(crate) fn read(
    t: &TensorInfo,
    packed: &Packed,
    files: &[SourceFile],
    from: u64,
    mut out: &mut [u8],
) -> Result<(), CheckpointError> {
    let row_bytes = t.row_bytes();
    let (rows, mut skip) = rows(row_bytes, from, out.len());
    let stripe = (PIECE / row_bytes.max(1)).next_multiple_of(ROWS).max(ROWS);
    let mut raw = Vec::new();
    let mut start = rows.start;
    while start < rows.end {
        let rows = start..rows.end.min((start / stripe + 1) * stripe);
        start = rows.end;
        let spans = spans(t, packed, files, &rows)?;
        raw.resize(spans.iter().map(Span::bytes).sum(), 0);
        let mut left = raw.as_mut_slice();
        let mut pieces: Vec<&[u8]> = Vec::with_capacity(spans.len());
        for (part, span) in packed.parts.iter().zip(&spans) {
            let (now, rest) = left.split_at_mut(span.bytes());
            left = rest;
            let file = &files[part.file as usize];
            for (i, piece) in now.chunks_exact_mut(span.len.max(1)).enumerate() {
                let at = span.start + i * span.stride;
                file.read_at(part.offset + at as u64, piece)?;
            }
            pieces.push(now);
        }
        let bytes = (rows.len() * row_bytes - skip).min(out.len());
        let (now, rest) = out.split_at_mut(bytes);
        decode(t, packed, files, &rows, &pieces, skip, now)?;
        out = rest;
        skip = 0;
    }
    Ok(())
}

/// Fills `out` with the order of the columns of `t`, if it has one.
pub(crate) fn read_order(
    t: &TensorInfo,
    packed: &Packed,
    files: &[SourceFile],
    out: &mut [u8],
) -> Result<(), CheckpointError> {
    let cols = t.matrix().cols;
    let Some(part) = packed.order_part(cols) else {
        return Ok(());
    };
    let mut bytes = vec![0; 4 * cols];
    if part.bytes < bytes.len() as u64 {
        return Err(refused(t, packed, files, "its parts are too short"));
    }
    files[part.file as usize].read_at(part.offset, &mut bytes)?;
    let order = packed.order(&bytes, cols);
    let order = order.map_err(|problem| refused(t, packed, files, &problem))?;
    for (out, column) in out.as_chunks_mut::<4>().0.iter_mut().zip(order) {
        *out = column.to_le_bytes();
    }
    Ok(())
}

/// The rows in which `len` bytes from `from` on lie, and what of the first is not
/// among them.
pub(crate) fn rows(row_bytes: usize, from: u64, len: usize) -> (Range<usize>, usize) {
    let row_bytes = row_bytes.max(1) as u64;
    let (first, skip) = (from / row_bytes, from % row_bytes);
    let end = (from + len as u64).div_ceil(row_bytes);
    (first as usize..end as usize, skip as usize)
}

/// What to read of each part, in its bounds.
pub(crate) fn spans(
    t: &TensorInfo,
    packed: &Packed,
    files: &[SourceFile],
    rows: &Range<usize>,
) -> Result<Vec<Span>, CheckpointError> {
    let spans = packed.spans(t.matrix(), rows);
    let within = spans.iter().zip(&packed.parts);
    let within = within.map(|(span, part)| span.within(part.bytes));
    let found: Option<Vec<Span>> = within.collect();
    match found {
        Some(found) if found.len() == packed.parts.len() => Ok(found),
        _ => Err(refused(t, packed, files, "its parts are too short")),
    }
}

/// Decodes what was read, a piece for each part.
pub(crate) fn decode(
    t: &TensorInfo,
    packed: &Packed,
    files: &[SourceFile],
    rows: &Range<usize>,
    pieces: &[&[u8]],
    skip: usize,
    out: &mut [u8],
) -> Result<(), CheckpointError> {
    let shape: Shape = t.matrix();
    packed
        .decode(shape, rows, pieces, skip, out)
        .map_err(|problem| refused(t, packed, files, &problem))
}

fn refused(
    t: &TensorInfo,
    packed: &Packed,
    files: &[SourceFile],
    problem: &str,
) -> CheckpointError {
    CheckpointError::malformed(
        &files[packed.parts[0].file as usize].path,
        format!("{}, {}: {problem}", quoted(&t.name), packed.name),
        SAVE_AGAIN,
    )
}
