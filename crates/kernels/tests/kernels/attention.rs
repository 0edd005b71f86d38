//! Attention against the full softmax in double precision.

use crate::common::{Random, assert_close, assert_same, every_compute};
use half::f16;
use moestro_kernels::{Compute, Isa, KvSlice, attention};

struct Case {
    t: usize,
    nq: usize,
    nkv: usize,
    d: usize,
    first: usize,
}

impl Case {
    fn keys(&self) -> usize {
        self.first + self.t
    }

    fn reference(&self, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
        let Case {
            t,
            nq,
            nkv,
            d,
            first,
        } = *self;
        let head = |x: &[f32], at: usize| -> Vec<f64> {
            x[at * d..(at + 1) * d]
                .iter()
                .map(|x| f64::from(*x))
                .collect()
        };
        let mut out = Vec::new();
        for i in 0..t {
            for h in 0..nq {
                let kh = h / (nq / nkv);
                let q = head(q, i * nq + h);
                let weights: Vec<f64> = (0..=first + i)
                    .map(|j| {
                        let k = head(k, j * nkv + kh);
                        let dot: f64 = q.iter().zip(k).map(|(q, k)| q * k).sum();
                        (dot / (d as f64).sqrt()).exp()
                    })
                    .collect();
                let total: f64 = weights.iter().sum();
                let mut sum = vec![0.0; d];
                for (j, w) in weights.iter().enumerate() {
                    for (sum, v) in sum.iter_mut().zip(head(v, j * nkv + kh)) {
                        *sum += w / total * v;
                    }
                }
                out.extend(sum);
            }
        }
        out
    }
}

#[test]
fn equals_the_full_softmax() {
    let mut random = Random::new(1);
    let shapes = [(4, 2, 16), (3, 3, 7), (8, 1, 48), (16, 2, 64), (5, 1, 33)];
    // Around the block of 32 and the segment of 1,024 keys.
    let spans = [
        (1, 0),
        (5, 0),
        (1, 31),
        (2, 31),
        (70, 10),
        (1, 1023),
        (3, 1022),
        (1, 2500),
        (40, 1000),
    ];
    for (nq, nkv, d) in shapes {
        for (t, first) in spans {
            let case = Case {
                t,
                nq,
                nkv,
                d,
                first,
            };
            let q: Vec<f32> = random.floats(t * nq * d).iter().map(|x| 3.0 * x).collect();
            // More keys in the cache than anyone may see.
            let len = case.keys() + 2;
            let k = random.floats(len * nkv * d);
            let v = random.floats(len * nkv * d);
            let (k16, v16): (Vec<f16>, Vec<f16>) = k
                .iter()
                .zip(&v)
                .map(|(k, v)| (f16::from_f32(*k), f16::from_f32(*v)))
                .unzip();
            let rounded = |x: &[f16]| -> Vec<f32> { x.iter().map(|x| x.to_f32()).collect() };
            let want = case.reference(&q, &k, &v);
            let want16 = case.reference(&q, &rounded(&k16), &rounded(&v16));
            for c in every_compute() {
                let what = format!("t {t}, heads {nq}/{nkv}, d {d}, first {first}, {c:?}");
                let mut out = vec![f32::NAN; q.len()];
                attention(
                    &c,
                    &q,
                    KvSlice::F32(&k),
                    KvSlice::F32(&v),
                    nq,
                    nkv,
                    d,
                    first,
                    &mut out,
                );
                assert_close(&out, &want, 1e-5, &what);
                out.fill(f32::NAN);
                attention(
                    &c,
                    &q,
                    KvSlice::F16(&k16),
                    KvSlice::F16(&v16),
                    nq,
                    nkv,
                    d,
                    first,
                    &mut out,
                );
                assert_close(&out, &want16, 1e-5, &format!("half, {what}"));
            }
        }
    }
}

/// A query's result has the same bits in prefill and in decode, with any threads.
#[test]
fn a_query_alone_gives_the_same_bits_as_in_a_prompt() {
    let mut random = Random::new(2);
    let (t, nq, nkv, d, first) = (90, 8, 2, 32, 2000);
    let q = random.floats(t * nq * d);
    let k = random.floats((first + t) * nkv * d);
    let v = random.floats((first + t) * nkv * d);
    for isa in Isa::ALL {
        let Some(one) = Compute::with_isa(1, isa) else {
            continue;
        };
        let mut want = vec![0.0; q.len()];
        attention(
            &one,
            &q,
            KvSlice::F32(&k),
            KvSlice::F32(&v),
            nq,
            nkv,
            d,
            first,
            &mut want,
        );
        for threads in [1, 2, 4, 32] {
            let c = Compute::with_isa(threads, isa).expect("it was there before");
            let mut out = vec![f32::NAN; q.len()];
            attention(
                &c,
                &q,
                KvSlice::F32(&k),
                KvSlice::F32(&v),
                nq,
                nkv,
                d,
                first,
                &mut out,
            );
            assert_same(&out, &want, &format!("prefill, {c:?}"));
            for i in [0, 1, 45, 89] {
                let row = i * nq * d..(i + 1) * nq * d;
                let mut out = vec![f32::NAN; nq * d];
                let (q, at) = (&q[row.clone()], first + i);
                attention(
                    &c,
                    q,
                    KvSlice::F32(&k),
                    KvSlice::F32(&v),
                    nq,
                    nkv,
                    d,
                    at,
                    &mut out,
                );
                assert_same(&out, &want[row], &format!("query {i}, {c:?}"));
            }
        }
    }
}

#[test]
fn large_scores_neither_overflow_nor_vanish() {
    let (d, len) = (16, 3000);
    let q = vec![40.0; d];
    let mut k = vec![-40.0; len * d];
    let v: Vec<f32> = (0..len * d).map(|i| (i / d) as f32).collect();
    // One key, in a late segment, beats all others by far.
    k[2500 * d..2501 * d].fill(40.0);
    for c in every_compute() {
        let mut out = vec![f32::NAN; d];
        attention(
            &c,
            &q,
            KvSlice::F32(&k),
            KvSlice::F32(&v),
            1,
            1,
            d,
            len - 1,
            &mut out,
        );
        assert_close(&out, &vec![2500.0; d], 1e-6, &format!("{c:?}"));
    }
}

#[test]
#[should_panic(expected = "3 keys, the last query sees 4")]
fn too_few_keys_panic_with_the_numbers() {
    let (q, k) = ([0.0; 8], [0.0; 12]);
    attention(
        &Compute::new(1),
        &q,
        KvSlice::F32(&k),
        KvSlice::F32(&k),
        1,
        1,
        4,
        2,
        &mut [0.0; 8],
    );
}
