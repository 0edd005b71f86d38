//! Scales for weights that are to be quantized: of several candidates the one with
//! the least error, in which large weights count more.
//!
//! Sums are kept in eight lanes over slices of unknown length: unrolled whole, these
//! loops would take the compiler minutes.

/// What is added and subtracted to round to a whole number without a function call.
const MAGIC: f32 = 12_582_912.0;
const LANES: usize = 8;

#[inline(always)]
pub(super) fn round(x: f32) -> f32 {
    (x + MAGIC) - MAGIC
}

/// Sums of `terms(value, weight)`.
#[inline(always)]
fn sums<const N: usize>(
    x: &[f32],
    weights: &[f32],
    terms: impl Fn(f32, f32) -> [f32; N],
) -> [f32; N] {
    let mut lanes = [[0.0; LANES]; N];
    let (x, _) = x.as_chunks::<LANES>();
    let (weights, _) = weights.as_chunks::<LANES>();
    for (x, weights) in x.iter().zip(weights) {
        for l in 0..LANES {
            for (sum, term) in lanes.iter_mut().zip(terms(x[l], weights[l])) {
                sum[l] += term;
            }
        }
    }
    lanes.map(|lanes| lanes.iter().sum())
}

/// Weighted sums of 1, q, q², x and q x, for `q` of each `x`.
#[inline(never)]
fn moments(x: &[f32], weights: &[f32], low: f32, inverse: f32, [min, max]: [f32; 2]) -> [f32; 5] {
    sums(x, weights, |v, w| {
        let q = round(inverse * (v - low)).clamp(min, max);
        [w, w * q, w * q * q, w * v, w * q * v]
    })
}

#[inline(never)]
fn error(x: &[f32], weights: &[f32], low: f32, inverse: f32, most: f32, fit: [f32; 2]) -> f32 {
    let [scale, offset] = fit;
    let [error] = sums(x, weights, |v, w| {
        let q = round(inverse * (v - low)).clamp(0.0, most);
        let off = scale * q + offset - v;
        [w * off * off]
    });
    error
}

/// `(scale, minimum)`, neither below 0, with which `scale * q - minimum` comes
/// closest to `x` for whole numbers `q` from 0 to `most`.
#[inline(never)]
pub(super) fn affine(x: &[f32], most: f32) -> (f32, f32) {
    let (mut low, mut high, mut squares) = (0.0f32, 0.0f32, 0.0);
    for v in x {
        low = low.min(*v);
        high = high.max(*v);
        squares += v * v;
    }
    if high - low <= f32::MIN_POSITIVE {
        return (0.0, -low);
    }
    let usual = (squares / x.len() as f32).sqrt();
    let weights: Vec<f32> = x.iter().map(|v| usual + v.abs()).collect();
    let mut best = (f32::INFINITY, 0.0, 0.0);
    // Fewer and more steps than fill the range: clipping the ends can pay.
    for step in -8..=8 {
        let inverse = (most + 0.1 * step as f32) / (high - low);
        let [w, wq, wqq, wx, wqx] = moments(x, &weights, low, inverse, [0.0, most]);
        let determinant = w * wqq - wq * wq;
        let alike = determinant <= 1e-5 * w * wqq;
        // A scale alone, where all numbers are alike or a minimum would be below 0.
        let mut scale = if wqq > 0.0 { wqx / wqq } else { 0.0 };
        let mut offset = if wqq > 0.0 { 0.0 } else { wx / w };
        let both = (wqq * wx - wq * wqx) / determinant;
        if !alike && both <= 0.0 {
            (scale, offset) = ((w * wqx - wq * wx) / determinant, both);
        }
        let error = error(x, &weights, low, inverse, most, [scale, offset]);
        if error < best.0 && scale >= 0.0 {
            best = (error, scale, -offset);
        }
    }
    (best.1, best.2)
}

/// The scale with which `scale * q` comes closest to `x` for whole numbers `q` from
/// `-most - 1` to `most`; negative where the largest weight is positive.
#[inline(never)]
pub(super) fn symmetric(x: &[f32], most: f32) -> f32 {
    let magnitude = |a: f32, b: &f32| if b.abs() > a.abs() { *b } else { a };
    let largest = x.iter().fold(0.0f32, magnitude);
    if largest.abs() <= f32::MIN_POSITIVE {
        return 0.0;
    }
    let weights: Vec<f32> = x.iter().map(|v| v * v).collect();
    let mut best = (0.0, 0.0);
    for step in -6..=6 {
        let inverse = -(most + 1.0 + 0.1 * step as f32) / largest;
        let [_, _, wqq, _, wqx] = moments(x, &weights, 0.0, inverse, [-most - 1.0, most]);
        // The part of the weights' power that the scale explains.
        if wqq > 0.0 && wqx * wqx > best.0 * wqq {
            best = (wqx * wqx / wqq, wqx / wqq);
        }
    }
    best.1
}
