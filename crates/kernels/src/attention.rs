//! Grouped-query attention over a KV cache, with the softmax computed on the way
//! (Milakov and Gimelshein, 2018; Dao et al., 2022), so that no matrix of
//! scores is held.
//!
//! Keys are taken in blocks, and blocks in segments of fixed size. A segment's
//! result is computed by itself and merged with those before it, in order. In
//! prefill a task takes some queries through all segments; in decode, where there
//! are few queries, the segments are tasks of their own. The arithmetic is the
//! same, so a query's result depends only on its keys.

use crate::aligned::Floats;
use crate::compute::Compute;
use crate::isa::vectorized;
use crate::math::{exp, map_in_place, sum_of};
use crate::matmul::pieces;
use crate::shared::SharedMut;
use crate::simd::{LANES, Simd};
use crate::tile::{Block, ROWS, add_product, dot_rows};
use half::f16;
use std::ops::Range;

/// Keys whose scores are computed together.
const KEYS: usize = 32;

/// Keys that are merged as one, a multiple of [`KEYS`].
const SEGMENT: usize = 1024;

/// Query rows (position and head) of a task.
const QUERIES: usize = 64;

/// Keys or values, `[len, heads, dim]`.
#[derive(Clone, Copy)]
pub enum KvSlice<'a> {
    /// Single precision.
    F32(&'a [f32]),
    /// Half precision.
    F16(&'a [f16]),
}

impl KvSlice<'_> {
    fn len(&self) -> usize {
        match self {
            KvSlice::F32(x) => x.len(),
            KvSlice::F16(x) => x.len(),
        }
    }
}

/// Causal attention of `q`, `[t, nq, d]`, over `k` and `v`, `[len, nkv, d]`, to
/// `out`, `[t, nq, d]`. Query `i` is at position `first_position + i` and sees the
/// keys up to and including its own; head `h` uses key head `h / (nq / nkv)`;
/// scores are scaled by `1 / sqrt(d)`.
///
/// # Panics
/// If the lengths do not fit, or there are fewer keys than the last query sees.
#[allow(clippy::too_many_arguments, reason = "the shape of the operation")]
pub fn attention(
    c: &Compute,
    q: &[f32],
    k: KvSlice,
    v: KvSlice,
    nq: usize,
    nkv: usize,
    d: usize,
    first_position: usize,
    out: &mut [f32],
) {
    assert!(nkv > 0 && d > 0, "attention: heads of {d} dimensions");
    assert!(
        nq > 0 && nq.is_multiple_of(nkv),
        "attention: {nq} heads share {nkv} key heads"
    );
    let t = crate::matmul::row_count("attention queries", q.len(), nq * d);
    assert_eq!(
        out.len(),
        q.len(),
        "attention: output is shaped as the queries"
    );
    assert_eq!(k.len(), v.len(), "attention: as many values as keys");
    if t == 0 {
        return;
    }
    let len = crate::matmul::row_count("attention keys", k.len(), nkv * d);
    let keys = first_position + t;
    assert!(
        len >= keys,
        "attention: {len} keys, the last query sees {keys}"
    );

    let shape = Shape { nq, nkv, d };
    let positions_per_task = (QUERIES / shape.group()).max(1);
    let tiles: Vec<Tile> = pieces(t, positions_per_task)
        .flat_map(|range| {
            (0..nkv).map(move |head| Tile {
                queries: range.clone(),
                head,
                first_position,
            })
        })
        .collect();
    let problem = Problem { shape, q, k, v };
    let out = SharedMut::new(out);
    let finish = |tile: &Tile, state: &State| {
        for (row, sum) in state.rows.iter().enumerate() {
            let (position, head) = tile.locate(row, shape);
            let at = (position * nq + head) * d;
            // SAFETY: a row belongs to one tile, and a tile is finished once.
            let out = unsafe { out.slice(at..at + d) };
            let values = &state.values[row * state.width..][..d];
            for (o, value) in out.iter_mut().zip(values) {
                *o = value / sum.total;
            }
        }
    };

    if tiles.len() >= 2 * c.threads() || keys <= SEGMENT {
        c.parallel(tiles.len(), &|task| {
            let tile = &tiles[task];
            let mut state = problem.segment(c, tile, 0..SEGMENT.min(tile.keys()));
            for keys in pieces(tile.keys(), SEGMENT).skip(1) {
                state.merge(&problem.segment(c, tile, keys));
            }
            finish(tile, &state);
        });
        return;
    }
    let work: Vec<(usize, Range<usize>)> = tiles
        .iter()
        .enumerate()
        .flat_map(|(i, tile)| pieces(tile.keys(), SEGMENT).map(move |keys| (i, keys)))
        .collect();
    let mut parts: Vec<Option<State>> = work.iter().map(|_| None).collect();
    let shared = SharedMut::new(&mut parts);
    c.parallel(work.len(), &|task| {
        let (tile, keys) = &work[task];
        let state = problem.segment(c, &tiles[*tile], keys.clone());
        // SAFETY: each task writes its own element.
        let part = unsafe { shared.slice(task..task + 1) };
        part[0] = Some(state);
    });
    let mut parts = work.iter().zip(parts).peekable();
    while let Some(((tile, _), Some(mut state))) = parts.next() {
        while let Some((_, Some(part))) = parts.next_if(|((i, _), _)| i == tile) {
            state.merge(&part);
        }
        finish(&tiles[*tile], &state);
    }
}

#[derive(Clone, Copy)]
struct Shape {
    nq: usize,
    nkv: usize,
    d: usize,
}

impl Shape {
    /// Query heads per key head.
    fn group(self) -> usize {
        self.nq / self.nkv
    }
}

/// The query rows of a task: some positions, and the heads that share a key head.
struct Tile {
    /// Rows of `q`.
    queries: Range<usize>,
    /// Key head.
    head: usize,
    first_position: usize,
}

impl Tile {
    /// Keys that its last query sees.
    fn keys(&self) -> usize {
        self.first_position + self.queries.end
    }

    /// The row of `q` and the head of a row of this tile.
    fn locate(&self, row: usize, shape: Shape) -> (usize, usize) {
        let group = shape.group();
        (
            self.queries.start + row / group,
            self.head * group + row % group,
        )
    }
}

/// The softmax of a query row so far.
#[derive(Clone, Copy)]
struct RowSum {
    max: f32,
    total: f32,
}

/// Results of a tile over some keys.
struct State {
    rows: Vec<RowSum>,
    /// Sums of weighted values, `[rows, width]`.
    values: Floats,
    /// Head dimension, rounded up to whole vectors.
    width: usize,
}

impl State {
    fn merge(&mut self, other: &State) {
        let values = self.values.chunks_exact_mut(self.width);
        let rows = values.zip(other.values.chunks_exact(self.width));
        for ((a, b), (value, other)) in self.rows.iter_mut().zip(&other.rows).zip(rows) {
            if b.total == 0.0 {
                continue; // It saw none of these keys.
            }
            let max = a.max.max(b.max);
            let (fa, fb) = ((a.max - max).exp(), (b.max - max).exp());
            *a = RowSum {
                max,
                total: a.total * fa + b.total * fb,
            };
            for (x, y) in value.iter_mut().zip(other) {
                *x = *x * fa + y * fb;
            }
        }
    }
}

struct Problem<'a> {
    shape: Shape,
    q: &'a [f32],
    k: KvSlice<'a>,
    v: KvSlice<'a>,
}

impl Problem<'_> {
    /// A tile over one segment of keys.
    fn segment(&self, c: &Compute, tile: &Tile, keys: Range<usize>) -> State {
        vectorized!(c.level(), |s| self.segment_with(s, tile, keys))
    }

    #[inline(always)]
    fn segment_with<S: Simd>(&self, s: S, tile: &Tile, keys: Range<usize>) -> State {
        let Shape { nq, d, .. } = self.shape;
        let width = d.next_multiple_of(LANES);
        let rows = tile.queries.len() * self.shape.group();
        let scale = 1.0 / (d as f32).sqrt();
        let mut queries = Floats::zeros(rows * width);
        for (row, query) in queries.chunks_exact_mut(width).enumerate() {
            let (position, head) = tile.locate(row, self.shape);
            let q = &self.q[(position * nq + head) * d..][..d];
            for (x, q) in query.iter_mut().zip(q) {
                *x = q * scale;
            }
        }
        let mut state = State {
            rows: vec![
                RowSum {
                    max: f32::NEG_INFINITY,
                    total: 0.0
                };
                rows
            ],
            values: Floats::zeros(rows * width),
            width,
        };
        let mut block = Floats::zeros(KEYS * width);
        let mut scores = Floats::zeros(rows * KEYS);
        for keys in keys
            .clone()
            .step_by(KEYS)
            .map(|k| k..keys.end.min(k + KEYS))
        {
            self.load(s, self.k, tile.head, &keys, &mut block, width);
            score(s, &queries, &block, width, &mut scores);
            let mut first = rows;
            for row in 0..rows {
                let seen = tile.first_position + tile.locate(row, self.shape).0 + 1;
                let seen = keys.len().min(seen.saturating_sub(keys.start));
                if seen > 0 {
                    first = first.min(row);
                    let values = &mut state.values[row * width..][..width];
                    let scores = &mut scores[row * KEYS..][..KEYS];
                    accept(s, &mut state.rows[row], values, scores, seen);
                }
            }
            if first < rows {
                self.load(s, self.v, tile.head, &keys, &mut block, width);
                let weights = Block {
                    data: &scores[first * KEYS..],
                    stride: KEYS,
                };
                let values = Block {
                    data: &block,
                    stride: width,
                };
                let size = [rows - first, keys.len(), width];
                add_product(
                    s,
                    size,
                    weights,
                    values,
                    &mut state.values[first * width..],
                    width,
                );
            }
        }
        state
    }

    /// The rows `keys` of a head as floats, padded to `width`.
    #[inline(always)]
    fn load<S: Simd>(
        &self,
        s: S,
        from: KvSlice,
        head: usize,
        keys: &Range<usize>,
        to: &mut [f32],
        width: usize,
    ) {
        let Shape { nkv, d, .. } = self.shape;
        for (key, to) in keys.clone().zip(to.chunks_exact_mut(width)) {
            let at = (key * nkv + head) * d;
            match from {
                KvSlice::F32(x) => to[..d].copy_from_slice(&x[at..at + d]),
                KvSlice::F16(x) => {
                    let (heads, tail) = x[at..at + d].as_chunks::<LANES>();
                    let (outs, _) = to.as_chunks_mut::<LANES>();
                    for (x, to) in heads.iter().zip(&mut *outs) {
                        s.store(s.load_f16(x), to);
                    }
                    if !tail.is_empty() {
                        let mut lanes = [f16::ZERO; LANES];
                        lanes[..tail.len()].copy_from_slice(tail);
                        s.store(s.load_f16(&lanes), &mut outs[heads.len()]);
                    }
                }
            }
        }
    }
}

/// `scores[row, key] = queries[row] . block[key]`
#[inline(always)]
fn score<S: Simd>(s: S, queries: &[f32], block: &[f32], width: usize, scores: &mut [f32]) {
    let mut sums = [[s.zero(); ROWS]; QUERIES];
    let rows = queries.len() / width;
    for rows in pieces(rows, QUERIES) {
        for key in (0..KEYS).step_by(ROWS) {
            let sums = &mut sums[..rows.len()];
            sums.fill([s.zero(); ROWS]);
            let keys = [0, 1, 2, 3].map(|i| &block[(key + i) * width..][..width]);
            dot_rows(
                s,
                keys,
                |i| &queries[(rows.start + i) * width..][..width],
                sums,
            );
            for (row, sums) in rows.clone().zip(&*sums) {
                scores[row * KEYS + key..][..ROWS].copy_from_slice(&s.sum4(*sums));
            }
        }
    }
}

/// Turns the first `seen` scores of a row into weights, the others into zeros,
/// and scales what the row has so far to the new maximum.
#[inline(always)]
fn accept<S: Simd>(s: S, row: &mut RowSum, values: &mut [f32], scores: &mut [f32], seen: usize) {
    let max = scores[..seen].iter().copied().fold(row.max, f32::max);
    if max > row.max && row.total > 0.0 {
        let factor = (row.max - max).exp();
        row.total *= factor;
        let factor = s.splat(factor);
        map_in_place(s, values, |v| s.mul(v, factor));
    }
    row.max = max;
    let shift = s.splat(max);
    map_in_place(s, scores, |x| exp(s, s.sub(x, shift)));
    scores[seen..].fill(0.0);
    row.total += sum_of(s, scores, |x, sum| s.add(x, sum));
}
