//! From the bytes of a file to those that the kernels work on.

use moestro_kernels::{Format, pack};

/// Brings whole rows of `cols` values of a file into the format and order of
/// memory. All pieces of a matrix but the last must be multiples of sixteen rows.
pub fn arrange(from: Format, to: Format, cols: usize, file: &[u8], out: &mut [u8]) {
    if from == to {
        pack(from, cols, file, out);
        return;
    }
    assert_eq!(to, Format::F32, "other conversions do not exist");
    let mut values = vec![0.0; cols];
    let row_bytes = from.row_bytes(cols).expect("rows of whole blocks");
    let rows = file.chunks_exact(row_bytes.max(1));
    for (row, out) in rows.zip(out.chunks_exact_mut(4 * cols.max(1))) {
        from.dequantize(row, &mut values);
        for (out, value) in out.as_chunks_mut::<4>().0.iter_mut().zip(&values) {
            *out = value.to_le_bytes();
        }
    }
}
