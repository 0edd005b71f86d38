//! Reading memory as fast as the threads can, to know the limit of everything else.

use crate::compute::Compute;
use crate::isa::vectorized;
use crate::simd::{LANES, Simd, prefetch_behind};

/// Reads all of `memory` once, in contiguous pieces on all threads.
pub fn read_all(c: &Compute, memory: &[f32]) {
    const PIECE: usize = 1 << 18;
    let pieces = memory.len().div_ceil(PIECE);
    c.parallel(pieces, &|i| {
        let piece = &memory[i * PIECE..memory.len().min((i + 1) * PIECE)];
        vectorized!(c.level(), |s| largest(s, piece));
    });
}

#[inline(always)]
fn largest<S: Simd>(s: S, memory: &[f32]) {
    // Independent chains, so that the loads do not wait for each other.
    let mut largest = [s.zero(); 4];
    for four in memory.as_chunks::<{ 4 * LANES }>().0 {
        let bytes = std::mem::size_of_val(four);
        prefetch_behind(four.as_ptr().cast(), 2048, bytes / 64);
        for (largest, x) in largest.iter_mut().zip(four.as_chunks::<LANES>().0) {
            *largest = s.max(*largest, s.load(x));
        }
    }
    for v in largest {
        std::hint::black_box(s.sum(v));
    }
}
