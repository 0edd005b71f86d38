//! A causal depthwise convolution followed by SiLU.

use crate::compute::Compute;
use crate::isa::vectorized;
use crate::math::{map_in_place, silu};
use crate::matmul::row_count;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd, padded};

/// `out[t, c] = silu(sum_j weight[c, j] * input[t + j - (kernel - 1), c])` for `x`
/// and `out` of `[t, channels]` and `weight` of `[channels, kernel]`; inputs
/// before the first row come from `state`, `[kernel - 1, channels]`, oldest first,
/// which then holds the last `kernel - 1` inputs.
///
/// # Panics
/// If the lengths do not fit or `kernel` is 0.
pub fn causal_conv_silu(
    c: &Compute,
    x: &[f32],
    state: &mut [f32],
    weight: &[f32],
    kernel: usize,
    out: &mut [f32],
) {
    assert!(kernel > 0, "causal_conv_silu: kernel of no taps");
    let channels = row_count("causal_conv_silu weight", weight.len(), kernel);
    let t = row_count("causal_conv_silu input", x.len(), channels);
    let past = kernel - 1;
    assert_eq!(
        out.len(),
        x.len(),
        "causal_conv_silu: output is shaped as the input"
    );
    assert_eq!(
        state.len(),
        past * channels,
        "causal_conv_silu: state is [kernel - 1, channels]"
    );
    let out = SharedMut::new(out);
    let state = SharedMut::new(state);
    c.split(channels, t * (kernel + 8) / LANES, |cols| {
        let width = cols.len();
        let part = |row: usize| row * channels + cols.start..row * channels + cols.end;
        let taps: Vec<f32> = (0..kernel)
            .flat_map(|j| cols.clone().map(move |col| weight[col * kernel + j]))
            .collect();
        let mut before = vec![0.0; past * width];
        for (j, row) in before.chunks_exact_mut(width).enumerate() {
            // SAFETY: these channels belong to this range alone, and the part is
            // dropped before another is taken.
            row.copy_from_slice(unsafe { state.slice(part(j)) });
        }
        let input = |row: usize| match row.checked_sub(past) {
            Some(i) => &x[part(i)],
            None => &before[row * width..][..width],
        };
        for j in 0..past {
            // SAFETY: as above.
            unsafe { state.slice(part(j)) }.copy_from_slice(input(t + j));
        }
        vectorized!(c.level(), |s| {
            for i in 0..t {
                // SAFETY: as above.
                let out = unsafe { out.slice(part(i)) };
                out.fill(0.0);
                for (j, taps) in taps.chunks_exact(width).enumerate() {
                    add_products(s, out, taps, input(i + j));
                }
                map_in_place(s, out, |y| silu(s, y));
            }
        });
    });
}

/// `acc += a * b`
#[inline(always)]
fn add_products<S: Simd>(s: S, acc: &mut [f32], a: &[f32], b: &[f32]) {
    let (accs, acc_tail) = acc.as_chunks_mut::<LANES>();
    let (a, a_tail) = a.as_chunks::<LANES>();
    let (b, b_tail) = b.as_chunks::<LANES>();
    for ((acc, a), b) in accs.iter_mut().zip(a).zip(b) {
        s.store(s.fma(s.load(a), s.load(b), s.load(acc)), acc);
    }
    if !acc_tail.is_empty() {
        let mut lanes = padded(acc_tail);
        let sum = s.fma(
            s.load(&padded(a_tail)),
            s.load(&padded(b_tail)),
            s.load(&lanes),
        );
        s.store(sum, &mut lanes);
        acc_tail.copy_from_slice(&lanes[..acc_tail.len()]);
    }
}
