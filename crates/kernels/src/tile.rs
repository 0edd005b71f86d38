//! Register-blocked products of small float matrices, the inner loops of
//! matmul, attention and the delta rule.
//!
//! Each result is one chain of multiply-adds in the order of its index, so it
//! does not depend on how results are grouped into tiles.

use crate::simd::{LANES, Simd, padded};

/// Weight rows that are multiplied together.
pub(crate) const ROWS: usize = 4;

/// `sums[x][w] += weights[w] * inputs[x]`, sixteen partial sums each: lane `l`
/// adds the products of columns `l`, `l + 16`, and so on.
///
/// All rows have the same length.
#[inline(always)]
pub(crate) fn dot_rows<'x, S: Simd>(
    s: S,
    weights: [&[f32]; ROWS],
    inputs: impl Fn(usize) -> &'x [f32],
    sums: &mut [[S::V; ROWS]],
) {
    let mut first = 0;
    if S::ACCUMULATORS >= 16 {
        while first + 4 <= sums.len() {
            let x = std::array::from_fn(|i| inputs(first + i));
            dot_tile::<S, ROWS, 4>(s, weights, x, &mut sums[first..], 0);
            first += 4;
        }
    } else if S::ACCUMULATORS >= 4 {
        let [a, b, c, d] = weights;
        while first + 2 <= sums.len() {
            let x = std::array::from_fn(|i| inputs(first + i));
            dot_tile::<S, 2, 2>(s, [a, b], x, &mut sums[first..], 0);
            dot_tile::<S, 2, 2>(s, [c, d], x, &mut sums[first..], 2);
            first += 2;
        }
    }
    while first < sums.len() {
        dot_tile::<S, ROWS, 1>(s, weights, [inputs(first)], &mut sums[first..], 0);
        first += 1;
    }
}

/// The part of [`dot_rows`] that fits in registers; the sums of `weights[w]`
/// are at `sums[..][at + w]`.
#[inline(always)]
fn dot_tile<S: Simd, const W: usize, const X: usize>(
    s: S,
    weights: [&[f32]; W],
    inputs: [&[f32]; X],
    sums: &mut [[S::V; ROWS]],
    at: usize,
) {
    let sums = &mut sums[..X];
    let mut acc: [[S::V; W]; X] = std::array::from_fn(|x| std::array::from_fn(|w| sums[x][at + w]));
    let len = inputs[0].as_chunks::<LANES>().0.len();
    let w_chunks = weights.map(|r| &r.as_chunks::<LANES>().0[..len]);
    let x_chunks = inputs.map(|r| &r.as_chunks::<LANES>().0[..len]);
    for i in 0..len {
        let w: [S::V; W] = std::array::from_fn(|w| s.load(&w_chunks[w][i]));
        for x in 0..X {
            let v = s.load(&x_chunks[x][i]);
            for k in 0..W {
                acc[x][k] = s.fma(w[k], v, acc[x][k]);
            }
        }
    }
    if !inputs[0].len().is_multiple_of(LANES) {
        let w: [S::V; W] =
            std::array::from_fn(|w| s.load(&padded(weights[w].as_chunks::<LANES>().1)));
        for x in 0..X {
            let v = s.load(&padded(inputs[x].as_chunks::<LANES>().1));
            for k in 0..W {
                acc[x][k] = s.fma(w[k], v, acc[x][k]);
            }
        }
    }
    for x in 0..X {
        for w in 0..W {
            sums[x][at + w] = acc[x][w];
        }
    }
}

/// A row-major float matrix that may be a part of a larger one.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) stride: usize,
}

/// `c[m, n] += a[m, k] * b[k, n]`; `n` is a multiple of sixteen. `c` has rows of
/// `stride` floats.
#[inline(always)]
pub(crate) fn add_product<S: Simd>(
    s: S,
    [m, k, n]: [usize; 3],
    a: Block,
    b: Block,
    c: &mut [f32],
    stride: usize,
) {
    debug_assert!(n.is_multiple_of(LANES));
    // Four rows by four vectors where there are registers, else two by two.
    let (most_rows, most_vectors) = if S::ACCUMULATORS >= 16 {
        (4, 4)
    } else {
        (2, 2)
    };
    let mut row = 0;
    while row < m {
        let rows = if row + most_rows <= m { most_rows } else { 1 };
        let a = Block {
            data: &a.data[row * a.stride..],
            stride: a.stride,
        };
        let c = &mut c[row * stride..];
        let mut col = 0;
        while col < n {
            let vectors = if col + most_vectors * LANES <= n {
                most_vectors
            } else {
                1
            };
            match (rows, vectors) {
                (4, 4) => product_tile::<S, 4, 4>(s, k, a, b, col, c, stride),
                (4, _) => product_tile::<S, 4, 1>(s, k, a, b, col, c, stride),
                (1, 4) => product_tile::<S, 1, 4>(s, k, a, b, col, c, stride),
                (2, 2) => product_tile::<S, 2, 2>(s, k, a, b, col, c, stride),
                (2, _) => product_tile::<S, 2, 1>(s, k, a, b, col, c, stride),
                (_, 2) => product_tile::<S, 1, 2>(s, k, a, b, col, c, stride),
                _ => product_tile::<S, 1, 1>(s, k, a, b, col, c, stride),
            }
            col += vectors * LANES;
        }
        row += rows;
    }
}

/// The part of [`add_product`] that fits in registers: `R` rows by `C` vectors.
#[inline(always)]
fn product_tile<S: Simd, const R: usize, const C: usize>(
    s: S,
    k: usize,
    a: Block,
    b: Block,
    col: usize,
    c: &mut [f32],
    stride: usize,
) {
    let at = |r: usize, v: usize| r * stride + col + v * LANES;
    let mut acc: [[S::V; C]; R] = std::array::from_fn(|r| {
        std::array::from_fn(|v| s.load(c[at(r, v)..].first_chunk().expect("n columns")))
    });
    let a_rows: [&[f32]; R] = std::array::from_fn(|r| &a.data[r * a.stride..][..k]);
    for (i, row) in b.data.chunks(b.stride).take(k).enumerate() {
        let (row, _) = row[col..][..C * LANES].as_chunks::<LANES>();
        let v: [S::V; C] = std::array::from_fn(|v| s.load(&row[v]));
        for r in 0..R {
            let factor = s.splat(a_rows[r][i]);
            for j in 0..C {
                acc[r][j] = s.fma(factor, v[j], acc[r][j]);
            }
        }
    }
    for (r, acc) in acc.iter().enumerate() {
        for (v, acc) in acc.iter().enumerate() {
            s.store(*acc, c[at(r, v)..].first_chunk_mut().expect("n columns"));
        }
    }
}
