//! The vector of sixteen floats every kernel is written in.
//!
//! All instruction sets use the same sixteen lanes and the same order of
//! additions, so AVX2 and AVX-512 give the same bits; the portable form differs
//! only in that it rounds between multiplication and addition.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
pub(crate) mod portable;

/// Floats in a vector.
pub(crate) const LANES: usize = 16;

/// Operations on vectors of [`LANES`] floats. A value of an implementing type
/// exists only where the CPU can execute them, so holding one is the proof.
///
/// Implementations are `#[inline(always)]`: they take on the target features of
/// the function they end up in, which [`crate::isa::vectorized`] provides.
pub(crate) trait Simd: Copy + Send + Sync {
    type V: Copy;
    /// [`LANES`] bytes.
    type B: Copy;

    /// Vectors that fit in registers beside the operands of a product.
    const ACCUMULATORS: usize;

    fn splat(self, x: f32) -> Self::V;
    fn load(self, x: &[f32; LANES]) -> Self::V;
    fn load_f16(self, x: &[half::f16; LANES]) -> Self::V;
    fn store(self, v: Self::V, to: &mut [f32; LANES]);
    fn bytes(self, x: &[u8; LANES]) -> Self::B;
    fn and(self, x: Self::B, mask: u8) -> Self::B;
    fn or(self, a: Self::B, b: Self::B) -> Self::B;
    /// Each byte shifted right by `n` bits.
    fn shr(self, x: Self::B, n: u32) -> Self::B;
    /// Each byte shifted left by `n` bits.
    fn shl(self, x: Self::B, n: u32) -> Self::B;
    /// Bit `i` of `bits` as byte `i`, 0 or 1.
    fn spread(self, bits: u16) -> Self::B;
    /// The bytes as unsigned numbers.
    fn unsigned(self, x: Self::B) -> Self::V;
    /// The bytes as signed numbers.
    fn signed(self, x: Self::B) -> Self::V;
    /// The bytes as FP8 E4M3 numbers divided by 256, taking the one that is none for
    /// 480.
    fn e4m3(self, x: &[u8; LANES]) -> Self::V;
    /// `table[x & 15]` in each lane.
    fn lookup(self, table: Self::V, x: Self::B) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each pair; `b` where either is not a number.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of each pair; `b` where either is not a number.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the CPU can.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// To the nearest integer, for magnitudes below 2^22.
    fn round(self, v: Self::V) -> Self::V;
    /// `2^v` for integers `v` from -126 to 127.
    fn pow2(self, v: Self::V) -> Self::V;
    /// Sums of four vectors, each added in halves: lanes 0-7 to 8-15, then 0-3
    /// to 4-7, then (0 + 1) + (2 + 3).
    fn sum4(self, v: [Self::V; 4]) -> [f32; 4];

    /// Rounds to the nearest integers, which are from -127 to 127.
    fn narrow(self, v: Self::V, to: &mut [i8; LANES]);

    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// The sum of the lanes, in the order of [`Simd::sum4`].
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let z = self.zero();
        self.sum4([v, z, z, z])[0]
    }
}

/// What products with integer weights need; the portable form has none of it.
pub(crate) trait Words: Simd {
    /// [`LANES`] words of 32 bits, each also four bytes.
    type W: Copy;

    /// Half-precision numbers, little-endian.
    fn halves(self, x: &[u8; 2 * LANES]) -> Self::V;
    fn words(self, x: &[u8; 4 * LANES]) -> Self::W;
    /// Each byte as a word.
    fn byte_words(self, x: &[u8; LANES]) -> Self::W;
    /// Each pair of bytes, little-endian, as a word.
    fn short_words(self, x: &[u8; 2 * LANES]) -> Self::W;
    fn word_splat(self, x: i32) -> Self::W;
    fn word_and(self, x: Self::W, mask: u32) -> Self::W;
    fn word_or(self, a: Self::W, b: Self::W) -> Self::W;
    fn word_add(self, a: Self::W, b: Self::W) -> Self::W;
    fn word_shr(self, x: Self::W, n: u32) -> Self::W;
    fn word_shl(self, x: Self::W, n: u32) -> Self::W;
    /// Shifted right, the sign filling up.
    fn word_sar(self, x: Self::W, n: u32) -> Self::W;
    /// `table[b]` for each byte `b`, all below 16.
    fn byte_lookup(self, table: &[i8; 16], x: Self::W) -> Self::W;
    /// The words as signed numbers.
    fn integers(self, x: Self::W) -> Self::V;
    /// The words as the bits of floats.
    fn float_bits(self, x: Self::W) -> Self::V;
    /// Sixteen bytes as four words, over and over.
    fn bytes_in_four(self, x: &[i8; 16]) -> Self::W;
    /// Four words, over and over.
    fn four(self, x: &[u32; 4]) -> Self::W;
    /// Word `i` of every four in place of all of them.
    fn word_of_four(self, x: Self::W, i: usize) -> Self::W;
    /// `acc + sum of the four products` in each word, of bytes from 0 to 127 with
    /// bytes from -127 to 127.
    fn dot(self, acc: Self::W, q: Self::W, x: Self::W) -> Self::W;
    /// Signed bytes made ready for [`Words::dot_signed`].
    fn signed_quads(self, q: Self::W) -> Self::W;
    /// Where a chain of [`Words::dot_signed`] starts, to end in the sum of products:
    /// `minus` are the negated sums of the second factors of the chain.
    fn signed_start(self, minus: Self::W) -> Self::W;
    /// Keeps the compiler from computing one of several sums to its end before it goes
    /// on with the others: a hint.
    #[inline(always)]
    fn in_order<const M: usize>(self, _sums: &mut [[Self::W; 2]; M], _at: usize) {}
    /// As [`Words::dot`] for any signed bytes, prepared by [`Words::signed_quads`].
    fn dot_signed(self, acc: Self::W, q: Self::W, x: Self::W) -> Self::W;
}

/// A slice of at most [`LANES`] floats as an array, filled up with zeros.
#[inline(always)]
pub(crate) fn padded(x: &[f32]) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    lanes[..x.len()].copy_from_slice(x);
    lanes
}

/// Asks for the `lines` cache lines `distance` bytes behind
/// `start`, whatever is there.
#[inline(always)]
pub(crate) fn prefetch_behind(start: *const u8, distance: usize, lines: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..lines {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = start.wrapping_add(distance + 64 * line);
        // SAFETY: a prefetch reads nothing that the program can observe and
        // cannot fault, wherever it points; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (start, distance, lines);
}

/// Asks for the cache lines of `bytes` ahead of their use.
#[inline(always)]
pub(crate) fn prefetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch reads nothing that the program can observe and
        // cannot fault; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = bytes;
}
