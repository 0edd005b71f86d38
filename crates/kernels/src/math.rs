//! Functions of vectors that several kernels need.

use crate::simd::{LANES, Simd, padded};

/// `e^x`, with a relative error below 2^-22. The argument is limited to ±87, so
/// the result is finite and normal; NaN stays NaN.
///
/// Range reduction and polynomial as in Cephes' `expf`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    const LN2_HIGH: f32 = 355.0 / 512.0;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const P: [f32; 6] = [
        1.987_569_1e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ];
    let x = s.min(s.splat(87.0), s.max(s.splat(-87.0), x));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2_HIGH), x);
    let r = s.fma(n, s.splat(-LN2_LOW), r);
    let mut p = s.splat(P[0]);
    for c in &P[1..] {
        p = s.fma(p, r, s.splat(*c));
    }
    let p = s.add(s.fma(p, s.mul(r, r), r), s.splat(1.0));
    s.mul(p, s.pow2(n))
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.zero(), x))))
}

/// `x * sigmoid(x)`
#[inline(always)]
pub(crate) fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(x, s.add(one, exp(s, s.sub(s.zero(), x))))
}

/// `a = f(a, b)` for equally long slices.
#[inline(always)]
pub(crate) fn zip_into<S: Simd>(s: S, a: &mut [f32], b: &[f32], f: impl Fn(S::V, S::V) -> S::V) {
    let (heads, tail) = a.as_chunks_mut::<LANES>();
    let (b_heads, b_tail) = b.as_chunks::<LANES>();
    for (a, b) in heads.iter_mut().zip(b_heads) {
        s.store(f(s.load(a), s.load(b)), a);
    }
    if !tail.is_empty() {
        let mut lanes = padded(tail);
        s.store(f(s.load(&lanes), s.load(&padded(b_tail))), &mut lanes);
        tail.copy_from_slice(&lanes[..tail.len()]);
    }
}

/// The sum of `f(x)` over the lanes of `x`; lanes beyond its end count as `f(0)`.
#[inline(always)]
pub(crate) fn sum_of<S: Simd>(s: S, x: &[f32], f: impl Fn(S::V, S::V) -> S::V) -> f32 {
    let (heads, tail) = x.as_chunks::<LANES>();
    let mut sum = s.zero();
    for x in heads {
        sum = f(s.load(x), sum);
    }
    if !tail.is_empty() {
        sum = f(s.load(&padded(tail)), sum);
    }
    s.sum(sum)
}

/// The sum of squares.
#[inline(always)]
pub(crate) fn sum_of_squares<S: Simd>(s: S, x: &[f32]) -> f32 {
    sum_of(s, x, |x, sum| s.fma(x, x, sum))
}

/// The sum of products of equally long slices.
#[inline(always)]
pub(crate) fn sum_of_products<S: Simd>(s: S, a: &[f32], b: &[f32]) -> f32 {
    let (a_heads, a_tail) = a.as_chunks::<LANES>();
    let (b_heads, b_tail) = b.as_chunks::<LANES>();
    let mut sum = s.zero();
    for (a, b) in a_heads.iter().zip(b_heads) {
        sum = s.fma(s.load(a), s.load(b), sum);
    }
    if !a_tail.is_empty() {
        sum = s.fma(s.load(&padded(a_tail)), s.load(&padded(b_tail)), sum);
    }
    s.sum(sum)
}

/// `x = f(x)`
#[inline(always)]
pub(crate) fn map_in_place<S: Simd>(s: S, x: &mut [f32], f: impl Fn(S::V) -> S::V) {
    let (heads, tail) = x.as_chunks_mut::<LANES>();
    for x in heads {
        s.store(f(s.load(x)), x);
    }
    if !tail.is_empty() {
        let mut lanes = padded(tail);
        s.store(f(s.load(&lanes)), &mut lanes);
        tail.copy_from_slice(&lanes[..tail.len()]);
    }
}
