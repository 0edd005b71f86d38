//! The gated delta rule in chunks of tokens, as matrix products.
//!
//! With `G` the cumulative decay within a chunk, `D[i, j] = exp(G_i - G_j)` for
//! `i >= j`, and `S` the state before the chunk:
//!
//! 1. `A = strictly lower (beta K K^T D)`
//! 2. solve `(I + A) X = beta (V - exp(G) K S)` for the writes `X`
//! 3. `out = exp(G) Q S + lower (Q K^T D) X`
//! 4. `S = exp(G_last) S + (exp(G_last - G) K)^T X`
//!
//! This is the WY form of Yang et al. (2024) with the solve applied to one right
//! side instead of inverting `I + A`.

use super::{DeltaShape, check, normalise};
use crate::aligned::Floats;
use crate::compute::Compute;
use crate::isa::vectorized;
use crate::matrix::Rows;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd};
use crate::tile::{Block, add_product};

/// Tokens per chunk.
const CHUNK: usize = 64;

/// [`super::delta_rule`] in chunks of 64 tokens.
///
/// # Panics
/// If the lengths do not fit.
#[allow(clippy::too_many_arguments, reason = "the shape of the operation")]
pub fn delta_rule_chunked(
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
    let DeltaShape {
        key_heads: nk,
        value_heads: nv,
        key_dim: dk,
        value_dim: dv,
    } = shape;
    let state = SharedMut::new(state);
    let out = SharedMut::new(out);
    c.parallel(nv, &|h| {
        let kh = h / (nv / nk);
        // SAFETY: the state of head `h` belongs to this task alone.
        let s_head = unsafe { state.slice(h * dk * dv..(h + 1) * dk * dv) };
        let mut room = Room::new(dk, dv);
        room.load_state(s_head);
        for first in (0..t).step_by(CHUNK) {
            let n = CHUNK.min(t - first);
            vectorized!(c.level(), |s| {
                for i in 0..n {
                    let heads = kh * dk..(kh + 1) * dk;
                    let (q, k) = (&q.row(first + i)[heads.clone()], &k.row(first + i)[heads]);
                    let v = &v.row(first + i)[h * dv..(h + 1) * dv];
                    let at = (first + i) * nv + h;
                    room.load_token(s, i, q, k, v, g[at], beta[at]);
                }
                room.run(s, n);
            });
            for i in 0..n {
                let at = ((first + i) * nv + h) * dv;
                // SAFETY: this row of the output belongs to this task alone.
                unsafe { out.slice(at..at + dv) }.copy_from_slice(&room.out[i * room.dv..][..dv]);
            }
        }
        room.store_state(s_head);
    });
}

/// What a chunk of one head needs; rows are padded to whole vectors.
struct Room {
    dk: usize,
    /// Key dimension, padded.
    dk_wide: usize,
    /// Value dimension, padded.
    dv: usize,
    dv_used: usize,
    /// `[CHUNK, dk]`, normalised.
    q: Floats,
    k: Floats,
    /// `[dk, CHUNK]`
    k_columns: Floats,
    /// `[CHUNK, dv]`: values, then the writes.
    x: Floats,
    /// `[CHUNK, dv]`
    out: Floats,
    /// Cumulative decay, and write strength.
    decay: [f32; CHUNK],
    beta: [f32; CHUNK],
    /// `[CHUNK, CHUNK]`
    keys_keys: Floats,
    queries_keys: Floats,
    /// `[dk, dv]`
    state: Floats,
}

impl Room {
    fn new(dk: usize, dv: usize) -> Room {
        let (dk_wide, dv_wide) = (dk.next_multiple_of(LANES), dv.next_multiple_of(LANES));
        Room {
            dk,
            dk_wide,
            dv: dv_wide,
            dv_used: dv,
            q: Floats::zeros(CHUNK * dk_wide),
            k: Floats::zeros(CHUNK * dk_wide),
            k_columns: Floats::zeros(dk * CHUNK),
            x: Floats::zeros(CHUNK * dv_wide),
            out: Floats::zeros(CHUNK * dv_wide),
            decay: [0.0; CHUNK],
            beta: [0.0; CHUNK],
            keys_keys: Floats::zeros(CHUNK * CHUNK),
            queries_keys: Floats::zeros(CHUNK * CHUNK),
            state: Floats::zeros(dk * dv_wide),
        }
    }

    fn load_state(&mut self, from: &[f32]) {
        let rows = self.state.chunks_exact_mut(self.dv);
        for (to, from) in rows.zip(from.chunks_exact(self.dv_used)) {
            to[..self.dv_used].copy_from_slice(from);
        }
    }

    fn store_state(&self, to: &mut [f32]) {
        let rows = self.state.chunks_exact(self.dv);
        for (from, to) in rows.zip(to.chunks_exact_mut(self.dv_used)) {
            to.copy_from_slice(&from[..self.dv_used]);
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a token's inputs")]
    #[inline(always)]
    fn load_token<S: Simd>(
        &mut self,
        s: S,
        i: usize,
        q: &[f32],
        k: &[f32],
        v: &[f32],
        g: f32,
        beta: f32,
    ) {
        let row = i * self.dk_wide..i * self.dk_wide + self.dk;
        let scale = 1.0 / (self.dk as f32).sqrt();
        normalise(s, q, scale, &mut self.q[row.clone()]);
        normalise(s, k, 1.0, &mut self.k[row]);
        self.x[i * self.dv..][..v.len()].copy_from_slice(v);
        self.decay[i] = g + if i == 0 { 0.0 } else { self.decay[i - 1] };
        self.beta[i] = beta;
    }

    #[inline(always)]
    fn run<S: Simd>(&mut self, s: S, n: usize) {
        let (dk, dk_wide, dv) = (self.dk, self.dk_wide, self.dv);
        let wide = n.next_multiple_of(LANES);
        let columns = &mut self.k_columns[..dk * CHUNK];
        for (d, column) in columns.chunks_exact_mut(CHUNK).enumerate() {
            column[n..wide].fill(0.0);
            for (x, row) in column[..n].iter_mut().zip(self.k.chunks_exact(dk_wide)) {
                *x = row[d];
            }
        }
        // Products of keys and queries with keys, of which only the lower
        // triangle is needed: rows in groups, columns up to the group's last.
        self.keys_keys.fill(0.0);
        self.queries_keys.fill(0.0);
        let columns = Block {
            data: &self.k_columns,
            stride: CHUNK,
        };
        for first in (0..n).step_by(LANES) {
            let size = [LANES.min(n - first), dk, first + LANES];
            for (rows, to) in [
                (&self.k, &mut self.keys_keys),
                (&self.q, &mut self.queries_keys),
            ] {
                let rows = Block {
                    data: &rows[first * dk_wide..],
                    stride: dk_wide,
                };
                add_product(s, size, rows, columns, &mut to[first * CHUNK..], CHUNK);
            }
        }
        let queries = self.queries_keys.chunks_exact_mut(CHUNK);
        let rows = queries.zip(self.keys_keys.chunks_exact_mut(CHUNK));
        for (i, (queries, keys)) in rows.take(n).enumerate() {
            for (j, (query, key)) in queries.iter_mut().zip(keys).take(wide).enumerate() {
                let d = if j <= i {
                    (self.decay[i] - self.decay[j]).exp()
                } else {
                    0.0
                };
                *query *= d;
                // Negative, as it is subtracted from the right side.
                *key *= if j < i { -self.beta[i] * d } else { 0.0 };
            }
        }

        // out = exp(G) Q S, and the right side beta (V - exp(G) K S).
        for i in 0..n {
            let decay = self.decay[i].exp();
            let row = i * dk_wide..i * dk_wide + dk;
            self.q[row.clone()].iter_mut().for_each(|x| *x *= decay);
            let beta = self.beta[i];
            self.x[i * dv..][..dv].iter_mut().for_each(|x| *x *= beta);
            self.k[row].iter_mut().for_each(|x| *x *= -beta * decay);
        }
        self.out[..n * dv].fill(0.0);
        let state = Block {
            data: &self.state,
            stride: dv,
        };
        let rows = |data| Block {
            data,
            stride: dk_wide,
        };
        add_product(s, [n, dk, dv], rows(&self.q), state, &mut self.out, dv);
        add_product(s, [n, dk, dv], rows(&self.k), state, &mut self.x, dv);

        // Forward substitution in groups of rows: first what earlier groups
        // contribute, then row by row.
        for first in (0..n).step_by(LANES) {
            let (solved, rest) = self.x.split_at_mut(first * dv);
            let size = [LANES.min(n - first), first, dv];
            let factors = Block {
                data: &self.keys_keys[first * CHUNK..],
                stride: CHUNK,
            };
            let solved = Block {
                data: solved,
                stride: dv,
            };
            add_product(s, size, factors, solved, rest, dv);
            for i in 1..size[0] {
                let (solved, rest) = rest.split_at_mut(i * dv);
                let factors = Block {
                    data: &self.keys_keys[(first + i) * CHUNK + first..],
                    stride: CHUNK,
                };
                let solved = Block {
                    data: solved,
                    stride: dv,
                };
                add_product(s, [1, i, dv], factors, solved, rest, dv);
            }
        }

        let writes = Block {
            data: &self.x,
            stride: dv,
        };
        for first in (0..n).step_by(LANES) {
            let last = n.min(first + LANES);
            let factors = Block {
                data: &self.queries_keys[first * CHUNK..],
                stride: CHUNK,
            };
            let size = [last - first, last, dv];
            add_product(s, size, factors, writes, &mut self.out[first * dv..], dv);
        }

        let last = self.decay[n - 1];
        let mut factors = self.decay;
        factors[..n].iter_mut().for_each(|g| *g = (last - *g).exp());
        for column in self.k_columns.chunks_exact_mut(CHUNK) {
            for (x, factor) in column[..n].iter_mut().zip(&factors) {
                *x *= factor;
            }
        }
        let factor = last.exp();
        self.state.iter_mut().for_each(|x| *x *= factor);
        let columns = Block {
            data: &self.k_columns,
            stride: CHUNK,
        };
        add_product(s, [dk, n, dv], columns, writes, &mut self.state, dv);
    }
}
