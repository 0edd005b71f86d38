//! The gated delta rule itself.
//!
//! The columns of the state are independent, so a task takes a panel of columns of
//! one head through all tokens. A pass over the panel writes the state of one
//! token and at once recalls what the next one asks of it; with `S` the state
//! before a token, its output is `exp(g) S^T q + (k . q) delta`, so that no further
//! pass is needed. Of several tokens a copy of the panel stays in the first-level
//! cache; a single one works on whole rows of the state where they lie.
//!
//! The chunked form of the paper turns this into products of matrices. It takes
//! half as many operations more, and measured no faster than this.

use super::{DeltaShape, check, normalise};
use crate::aligned::Floats;
use crate::compute::Compute;
use crate::isa::vectorized;
use crate::math::sum_of_products;
use crate::matrix::Rows;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd, padded};

/// Columns of a panel that is copied.
const PANEL: usize = 4 * LANES;

/// Columns of a panel that is not.
const WIDE: usize = 8 * LANES;

/// Runs `t` tokens through the gated delta rule.
///
/// `q` and `k` are `[t, key_heads * key_dim]`, not yet normalised: each head is
/// divided by `sqrt(sum of squares + 1e-6)`, and `q` by `sqrt(key_dim)`. `v` is
/// `[t, value_heads * value_dim]`; `g`, the logarithm of the decay, and `beta` are
/// `[t, value_heads]`; `state` is `[value_heads, key_dim, value_dim]`, read and
/// written; `out` is `[t, value_heads, value_dim]`.
///
/// # Panics
/// If the lengths do not fit.
#[allow(clippy::too_many_arguments, reason = "the shape of the operation")]
pub fn delta_rule(
    c: &Compute,
    shape: DeltaShape,
    q: Rows,
    k: Rows,
    v: Rows,
    g: &[f32],
    beta: &[f32],
    state: &mut [f32],
    out: &mut [f32],
) {
    let t = check(shape, q, k, v, g, beta, state, out);
    if t == 0 {
        return;
    }
    let tokens = Tokens::new(c, shape, [q, k, v], g, beta);
    let (nv, dk, dv) = (shape.value_heads, shape.key_dim, shape.value_dim);
    let in_place = t == 1 && dv == WIDE;
    let width = if in_place { WIDE } else { PANEL };
    let panels = dv.div_ceil(width);
    let state = SharedMut::new(state);
    let out = SharedMut::new(out);
    c.split(nv * panels, t * dk * width / 4, |range| {
        let mut copy = Floats::zeros(if in_place { 0 } else { dk * PANEL });
        for item in range {
            let (head, first) = (item / panels, item % panels * width);
            let len = width.min(dv - first);
            let column = Column { head, first };
            let write = |token: usize, from: usize, values: &[f32]| {
                let count = values.len().min(len.saturating_sub(from));
                if count == 0 {
                    return;
                }
                let at = (token * nv + head) * dv + first + from;
                // SAFETY: these columns of the head belong to this item alone.
                unsafe { out.slice(at..at + count) }.copy_from_slice(&values[..count]);
            };
            let row = |i: usize| {
                let at = (head * dk + i) * dv + first;
                // SAFETY: as above, of the state.
                unsafe { state.slice(at..at + len) }
            };
            if in_place {
                let at = head * dk * dv;
                // SAFETY: the panel is the whole head.
                let rows = unsafe { state.slice(at..at + dk * dv) };
                vectorized!(c.level(), |s| panel(s, &tokens, column, rows, dv, write));
                continue;
            }
            for (i, to) in copy.chunks_exact_mut(PANEL).enumerate() {
                to[..len].copy_from_slice(row(i));
            }
            let rows = &mut copy;
            vectorized!(c.level(), |s| panel(s, &tokens, column, rows, PANEL, write));
            for (i, from) in copy.chunks_exact(PANEL).enumerate() {
                row(i).copy_from_slice(&from[..len]);
            }
        }
    });
}

/// The first column of a panel.
#[derive(Clone, Copy)]
struct Column {
    head: usize,
    first: usize,
}

/// What the state is asked and told, token by token.
struct Tokens<'a> {
    shape: DeltaShape,
    /// Normalised, `[t, key_heads, key_dim]`.
    queries: Floats,
    keys: Floats,
    /// `k . q`, `[t, key_heads]`.
    products: Vec<f32>,
    values: Rows<'a>,
    /// `[t, value_heads]`.
    decay: Vec<f32>,
    beta: &'a [f32],
}

impl<'a> Tokens<'a> {
    fn new(
        c: &Compute,
        shape: DeltaShape,
        [q, k, values]: [Rows<'a>; 3],
        g: &[f32],
        beta: &'a [f32],
    ) -> Tokens<'a> {
        let t = g.len() / shape.value_heads;
        let (nk, dk) = (shape.key_heads, shape.key_dim);
        let mut queries = Floats::zeros(t * nk * dk);
        let mut keys = Floats::zeros(t * nk * dk);
        let mut products = vec![0.0; t * nk];
        let shared = [&mut *queries, &mut *keys, &mut products].map(SharedMut::new);
        c.split(t * nk, dk / 2, |range| {
            for item in range {
                let (token, head) = (item / nk, item % nk);
                let at = item * dk..(item + 1) * dk;
                // SAFETY: what belongs to this head of this token is of this item.
                let [query, key, product] = unsafe {
                    [
                        shared[0].slice(at.clone()),
                        shared[1].slice(at),
                        shared[2].slice(item..item + 1),
                    ]
                };
                vectorized!(c.level(), |s| {
                    let scale = 1.0 / (dk as f32).sqrt();
                    normalise(s, &q.row(token)[head * dk..][..dk], scale, query);
                    normalise(s, &k.row(token)[head * dk..][..dk], 1.0, key);
                    product[0] = sum_of_products(s, query, key);
                });
            }
        });
        Tokens {
            shape,
            queries,
            keys,
            products,
            values,
            decay: g.iter().map(|g| g.exp()).collect(),
            beta,
        }
    }

    /// Query and key of value head `head`, and their product.
    #[inline(always)]
    fn asked(&self, token: usize, head: usize) -> (&[f32], &[f32], f32) {
        let (nk, dk) = (self.shape.key_heads, self.shape.key_dim);
        let item = token * nk + head / (self.shape.value_heads / nk);
        let at = item * dk..(item + 1) * dk;
        (
            &self.queries[at.clone()],
            &self.keys[at],
            self.products[item],
        )
    }
}

/// Takes the columns of a panel, rows of `width` floats, through all tokens;
/// `write(token, from, values)` gets the results from column `from` on.
#[inline(always)]
fn panel<S: Simd>(
    s: S,
    tokens: &Tokens,
    column: Column,
    rows: &mut [f32],
    width: usize,
    write: impl Fn(usize, usize, &[f32]),
) {
    let mut from = 0;
    while from < width {
        let vectors = (width - from) / LANES;
        from += if S::ACCUMULATORS >= 16 && vectors >= 8 {
            strip::<S, 8>(s, tokens, column, rows, width, from, &write)
        } else if S::ACCUMULATORS >= 8 && vectors >= 4 {
            strip::<S, 4>(s, tokens, column, rows, width, from, &write)
        } else {
            strip::<S, 1>(s, tokens, column, rows, width, from, &write)
        };
    }
}

/// `N` vectors of each row of a panel, from column `from` on; returns their width.
#[inline(always)]
fn strip<S: Simd, const N: usize>(
    s: S,
    tokens: &Tokens,
    column: Column,
    rows: &mut [f32],
    width: usize,
    from: usize,
    write: &impl Fn(usize, usize, &[f32]),
) -> usize {
    let (head, heads) = (column.head, tokens.shape.value_heads);
    let (query, key, _) = tokens.asked(0, head);
    let zeros = [s.zero(); N];
    // S^T k and S^T q of the token to come.
    let mut recalled = [zeros; 2];
    for ((row, k), q) in rows.chunks_exact(width).zip(key).zip(query) {
        let asked = [s.splat(*k), s.splat(*q)];
        for (j, x) in vectors::<N>(row, from).iter().enumerate() {
            let x = s.load(x);
            for (recalled, asked) in recalled.iter_mut().zip(asked) {
                recalled[j] = s.fma(x, asked, recalled[j]);
            }
        }
    }
    let last = tokens.decay.len() / heads - 1;
    for token in 0..=last {
        let (_, key, product) = tokens.asked(token, head);
        let decay = s.splat(tokens.decay[token * heads + head]);
        let beta = s.splat(tokens.beta[token * heads + head]);
        let product = s.splat(product);
        let end = (head + 1) * tokens.shape.value_dim;
        let values = &tokens.values.row(token)[..end];
        let values = &values[(end - tokens.shape.value_dim + column.first + from).min(end)..];
        let mut delta = zeros;
        let mut results = [[0.0; LANES]; N];
        for j in 0..N {
            let v = &values[values.len().min(j * LANES)..];
            let v = s.load(&padded(&v[..v.len().min(LANES)]));
            delta[j] = s.mul(s.sub(v, s.mul(recalled[0][j], decay)), beta);
            let result = s.fma(delta[j], product, s.mul(recalled[1][j], decay));
            s.store(result, &mut results[j]);
        }
        write(token, from, results.as_flattened());
        if token == last {
            for (row, k) in rows.chunks_exact_mut(width).zip(key) {
                let k = s.splat(*k);
                for (j, x) in vectors_mut::<N>(row, from).iter_mut().enumerate() {
                    s.store(s.fma(delta[j], k, s.mul(s.load(x), decay)), x);
                }
            }
            break;
        }
        let (next_query, next_key, _) = tokens.asked(token + 1, head);
        recalled = [zeros; 2];
        let asked = key.iter().zip(next_key).zip(next_query);
        for (row, ((k, next_k), next_q)) in rows.chunks_exact_mut(width).zip(asked) {
            let k = s.splat(*k);
            let asked = [s.splat(*next_k), s.splat(*next_q)];
            for (j, x) in vectors_mut::<N>(row, from).iter_mut().enumerate() {
                let new = s.fma(delta[j], k, s.mul(s.load(x), decay));
                s.store(new, x);
                for (recalled, asked) in recalled.iter_mut().zip(asked) {
                    recalled[j] = s.fma(new, asked, recalled[j]);
                }
            }
        }
    }
    N * LANES
}

#[inline(always)]
fn vectors<const N: usize>(row: &[f32], from: usize) -> &[[f32; LANES]; N] {
    let (vectors, _) = row[from..].as_chunks::<LANES>();
    vectors.first_chunk().expect("a strip lies in its panel")
}

#[inline(always)]
fn vectors_mut<const N: usize>(row: &mut [f32], from: usize) -> &mut [[f32; LANES]; N] {
    let (vectors, _) = row[from..].as_chunks_mut::<LANES>();
    vectors
        .first_chunk_mut()
        .expect("a strip lies in its panel")
}
