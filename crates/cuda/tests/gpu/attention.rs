//! Attention over the KV cache, and the cache itself.

use crate::common::{Fixture, Random, assert_close, assert_same, fixture, put};
use half::f16;
use moestro_cuda::{Array, KvCache, KvFormat, attention};
use moestro_kernels::{self as cpu, KvSlice};

/// Softmax sums over some hundred keys in another order.
const TOLERANCE: f32 = 2e-5;

struct Shape {
    nq: usize,
    nkv: usize,
    d: usize,
}

struct Case {
    shape: Shape,
    format: KvFormat,
    keys: usize,
    k: Vec<f32>,
    v: Vec<f32>,
}

impl Case {
    fn new(random: &mut Random, shape: Shape, format: KvFormat, keys: usize) -> Case {
        let width = shape.nkv * shape.d;
        Case {
            k: random.floats(keys * width),
            v: random.floats(keys * width),
            shape,
            format,
            keys,
        }
    }

    fn cache(&self, f: &Fixture) -> KvCache {
        let mut cache = KvCache::new(&f.gpu, self.shape.nkv * self.shape.d, self.format);
        let (k, v) = (put(f, &self.k), put(f, &self.v));
        cache.append(&k, &v, 0..self.keys).unwrap();
        cache
    }

    fn on_gpu(&self, f: &Fixture, cache: &KvCache, q: &[f32], first: usize) -> Vec<f32> {
        let Shape { nq, nkv, d } = self.shape;
        let q = put(f, q);
        let rows = 0..q.len() / (nq * d);
        let mut out = f.gpu.zeros(q.len()).unwrap();
        attention(&f.gpu, &q, rows, cache, nq, nkv, d, first, &mut out).unwrap();
        out.read().unwrap()
    }

    fn on_cpu(&self, f: &Fixture, q: &[f32], first: usize) -> Vec<f32> {
        let Shape { nq, nkv, d } = self.shape;
        let mut out = vec![0.0; q.len()];
        match self.format {
            KvFormat::F32 => {
                let (k, v) = (KvSlice::F32(&self.k), KvSlice::F32(&self.v));
                cpu::attention(&f.c, q, k, v, nq, nkv, d, first, &mut out);
            }
            KvFormat::F16 => {
                let halves =
                    |x: &[f32]| -> Vec<f16> { x.iter().map(|x| f16::from_f32(*x)).collect() };
                let (k, v) = (halves(&self.k), halves(&self.v));
                let (k, v) = (KvSlice::F16(&k), KvSlice::F16(&v));
                cpu::attention(&f.c, q, k, v, nq, nkv, d, first, &mut out);
            }
        }
        out
    }
}

#[test]
fn equals_the_cpu() {
    let f = fixture(1);
    let mut random = Random::new(1);
    // Query heads, key heads, dimensions, keys, queries: ragged ones and those of models.
    for (nq, nkv, d, keys, queries) in [
        (1, 1, 1, 1, 1),
        (3, 1, 20, 40, 40),
        (4, 2, 128, 70, 3),
        (2, 2, 100, 300, 12),
        (16, 2, 256, 300, 1),
        (8, 1, 64, 600, 2),
        (12, 1, 16, 33, 9),
        (8, 1, 160, 257, 1),
    ] {
        for format in [KvFormat::F16, KvFormat::F32] {
            let case = Case::new(&mut random, Shape { nq, nkv, d }, format, keys);
            let q = random.floats(queries * nq * d);
            let cache = case.cache(&f);
            let first = keys - queries;
            let (got, want) = (
                case.on_gpu(&f, &cache, &q, first),
                case.on_cpu(&f, &q, first),
            );
            let what = format!("{nq} heads of {d} over {nkv}, {keys} keys, {queries} queries");
            assert_close(&got, &want, TOLERANCE, &what);
        }
    }
}

#[test]
fn a_token_alone_gives_the_same_bits_as_in_a_prompt() {
    let f = fixture(2);
    let mut random = Random::new(2);
    let shape = Shape {
        nq: 4,
        nkv: 2,
        d: 24,
    };
    let case = Case::new(&mut random, shape, KvFormat::F16, 530);
    let cache = case.cache(&f);
    // Twelve go block by block, one spreads over the GPU.
    let q = random.floats(12 * 4 * 24);
    let all = case.on_gpu(&f, &cache, &q, 518);
    for row in [0, 11] {
        let at = row * 4 * 24..(row + 1) * 4 * 24;
        let alone = case.on_gpu(&f, &cache, &q[at.clone()], 518 + row);
        assert_same(&alone, &all[at], "a token alone");
    }
}

#[test]
fn a_few_tokens_with_more_unfinished_results_than_are_kept_at_once() {
    let f = fixture(7);
    let mut random = Random::new(7);
    let shape = Shape {
        nq: 64,
        nkv: 8,
        d: 200,
    };
    let case = Case::new(&mut random, shape, KvFormat::F16, 520);
    let cache = case.cache(&f);
    let q = random.floats(8 * 64 * 200);
    let got = case.on_gpu(&f, &cache, &q, 510);
    assert_close(&got, &case.on_cpu(&f, &q, 510), TOLERANCE, "in turns");
}

#[test]
fn large_scores_neither_overflow_nor_vanish() {
    let f = fixture(3);
    let mut random = Random::new(3);
    let shape = Shape {
        nq: 2,
        nkv: 1,
        d: 32,
    };
    let mut case = Case::new(&mut random, shape, KvFormat::F32, 300);
    case.k.iter_mut().for_each(|k| *k *= 100.0);
    let q: Vec<f32> = random.floats(2 * 32).iter().map(|q| q * 100.0).collect();
    let cache = case.cache(&f);
    let got = case.on_gpu(&f, &cache, &q, 299);
    assert_close(&got, &case.on_cpu(&f, &q, 299), 1e-3, "large scores");
}

#[test]
fn only_the_rows_of_a_session_are_touched() {
    let f = fixture(4);
    let mut random = Random::new(4);
    let shape = Shape {
        nq: 2,
        nkv: 1,
        d: 8,
    };
    let case = Case::new(&mut random, shape, KvFormat::F32, 20);
    let q = random.floats(5 * 16);
    let mut out = put(&f, &[9.0; 5 * 16]);
    attention(
        &f.gpu,
        &put(&f, &q),
        1..3,
        &case.cache(&f),
        2,
        1,
        8,
        18,
        &mut out,
    )
    .unwrap();
    let got = out.read().unwrap();
    let want = case.on_cpu(&f, &q[16..48], 18);
    assert_close(&got[16..48], &want, TOLERANCE, "its rows");
    assert!(
        got[..16].iter().chain(&got[48..]).all(|x| *x == 9.0),
        "others"
    );
}

#[test]
fn the_cache_grows_in_blocks_and_forgets() {
    let f = fixture(5);
    let mut random = Random::new(5);
    let shape = Shape {
        nq: 2,
        nkv: 1,
        d: 16,
    };
    let case = Case::new(&mut random, shape, KvFormat::F16, 700);
    let mut cache = KvCache::new(&f.gpu, 16, KvFormat::F16);
    assert_eq!(cache.bytes(), 0, "no memory before the first token");
    let (k, v) = (put(&f, &case.k), put(&f, &case.v));
    let block = 2 * 256 * 16 * 2;
    for (rows, blocks) in [(0..1, 1), (1..256, 1), (256..257, 2), (257..700, 3)] {
        cache.append(&k, &v, rows).unwrap();
        assert!(cache.bytes() >= blocks * block && cache.bytes() < (blocks + 1) * block);
    }
    let q = random.floats(2 * 16);
    let want = case.on_cpu(&f, &q, 699);
    assert_close(
        &case.on_gpu(&f, &cache, &q, 699),
        &want,
        TOLERANCE,
        "in parts",
    );

    // A copy is independent of what happens to the first one.
    let copy = cache.prefix(300).unwrap();
    assert_eq!(copy.positions(), 300);
    cache.truncate(256);
    assert_eq!(cache.positions(), 256);
    assert!(cache.bytes() < 2 * block, "two blocks are free again");
    let other = random.floats(50 * 16);
    let other = put(&f, &other);
    cache.append(&other, &other, 0..50).unwrap();
    let want = case.on_cpu(&f, &q, 299);
    assert_close(
        &case.on_gpu(&f, &copy, &q, 299),
        &want,
        TOLERANCE,
        "the copy",
    );
    let want = case.on_cpu(&f, &q, 255);
    assert_close(
        &case.on_gpu(&f, &cache, &q, 255),
        &want,
        TOLERANCE,
        "the rest",
    );
}

#[test]
fn growing_after_warming_up_allocates_nothing() {
    let f = fixture(6);
    let rows: Array = f.gpu.zeros(600 * 8).unwrap();
    drop({
        let mut first = KvCache::new(&f.gpu, 8, KvFormat::F16);
        first.append(&rows, &rows, 0..600).unwrap();
        first
    });
    let before = f.counts();
    let mut second = KvCache::new(&f.gpu, 8, KvFormat::F16);
    second.append(&rows, &rows, 0..600).unwrap();
    assert_eq!(f.counts()[2], before[2]);
}
