//! What the kernel tests share: random numbers, every way to compute, and
//! comparison with a reference in double precision.

use moestro_kernels::{Compute, Isa};

/// A small reproducible generator (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From -1 to 1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    pub fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// Every instruction set of this CPU with one to four threads.
pub fn every_compute() -> Vec<Compute> {
    let mut all = Vec::new();
    for isa in Isa::ALL {
        all.extend((1..=4).filter_map(|threads| Compute::with_isa(threads, isa)));
    }
    all
}

/// Fails unless every value is within `tolerance` of `want`, absolutely for values
/// below 1 and relatively above.
#[track_caller]
pub fn assert_close(got: &[f32], want: &[f64], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(
            error <= tolerance * want.abs().max(1.0),
            "{what}: element {i} is {got}, not {want} (off by {error:.2e})"
        );
    }
}

/// Fails unless the bits are equal.
#[track_caller]
pub fn assert_same(got: &[f32], want: &[f32], what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert!(
            got.to_bits() == want.to_bits(),
            "{what}: element {i} is {got}, not exactly {want}"
        );
    }
}

/// Fails unless the error of every sum is at most `tolerance` times the sum of the
/// magnitudes of its terms; `want` holds both.
#[track_caller]
pub fn assert_sums(got: &[f32], want: &[(f64, f64)], tolerance: f64, what: &str) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    for (i, (got, (want, magnitude))) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(
            error <= tolerance * magnitude,
            "{what}: element {i} is {got}, not {want} (off by {error:.2e} of {magnitude:.2e})"
        );
    }
}
