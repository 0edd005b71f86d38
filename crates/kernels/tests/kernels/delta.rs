//! The delta rule against the recurrence in double precision and against
//! Transformers.

use crate::common::{Random, assert_close, assert_same, every_compute};
use moestro_kernels::{Compute, DeltaShape, Isa, Rows, delta_gates, delta_rule};
use safetensors::SafeTensors;

struct Inputs {
    shape: DeltaShape,
    t: usize,
    /// `[t, 2 * key heads * key_dim + value heads * value_dim]`
    qkv: Vec<f32>,
    g: Vec<f32>,
    beta: Vec<f32>,
    state: Vec<f32>,
}

impl Inputs {
    fn random(random: &mut Random, shape: DeltaShape, t: usize) -> Inputs {
        let DeltaShape {
            key_heads: nk,
            value_heads: nv,
            key_dim: dk,
            value_dim: dv,
        } = shape;
        Inputs {
            shape,
            t,
            qkv: random.floats(t * (2 * nk * dk + nv * dv)),
            // From hardly any decay to forgetting nearly everything.
            g: random
                .floats(t * nv)
                .iter()
                .map(|x| -3.0 * x.abs().powi(4))
                .collect(),
            beta: random.floats(t * nv).iter().map(|x| x.abs()).collect(),
            state: random.floats(nv * dk * dv),
        }
    }

    fn widths(&self) -> (usize, usize) {
        let s = self.shape;
        (s.key_heads * s.key_dim, s.value_heads * s.value_dim)
    }

    fn q(&self) -> Rows<'_> {
        let (key, value) = self.widths();
        Rows::strided(&self.qkv, key, 2 * key + value, 0)
    }

    fn k(&self) -> Rows<'_> {
        let (key, value) = self.widths();
        Rows::strided(&self.qkv, key, 2 * key + value, key)
    }

    fn v(&self) -> Rows<'_> {
        let (key, value) = self.widths();
        Rows::strided(&self.qkv, value, 2 * key + value, 2 * key)
    }

    /// Output and final state of the recurrence.
    fn reference(&self) -> (Vec<f64>, Vec<f64>) {
        let DeltaShape {
            key_heads: nk,
            value_heads: nv,
            key_dim: dk,
            value_dim: dv,
        } = self.shape;
        let mut state: Vec<f64> = self.state.iter().map(|x| f64::from(*x)).collect();
        let mut out = Vec::new();
        let unit = |x: &[f32]| -> Vec<f64> {
            let sum: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            x.iter()
                .map(|x| f64::from(*x) / (sum + 1e-6).sqrt())
                .collect()
        };
        for i in 0..self.t {
            for h in 0..nv {
                let kh = h / (nv / nk);
                let q = unit(&self.q().row(i)[kh * dk..][..dk]);
                let k = unit(&self.k().row(i)[kh * dk..][..dk]);
                let v = &self.v().row(i)[h * dv..][..dv];
                let s = &mut state[h * dk * dv..][..dk * dv];
                let (g, beta) = (self.g[i * nv + h], self.beta[i * nv + h]);
                s.iter_mut().for_each(|s| *s *= f64::from(g).exp());
                for j in 0..dv {
                    let recalled: f64 = (0..dk).map(|a| s[a * dv + j] * k[a]).sum();
                    let delta = (f64::from(v[j]) - recalled) * f64::from(beta);
                    (0..dk).for_each(|a| s[a * dv + j] += k[a] * delta);
                    let o: f64 = (0..dk).map(|a| s[a * dv + j] * q[a]).sum();
                    out.push(o / (dk as f64).sqrt());
                }
            }
        }
        (out, state)
    }
}

fn run(c: &Compute, x: &Inputs) -> (Vec<f32>, Vec<f32>) {
    let mut state = x.state.clone();
    let mut out = vec![f32::NAN; x.t * x.shape.value_heads * x.shape.value_dim];
    delta_rule(
        c,
        x.shape,
        x.q(),
        x.k(),
        x.v(),
        &x.g,
        &x.beta,
        &mut state,
        &mut out,
    );
    (out, state)
}

const SHAPES: [DeltaShape; 4] = [
    DeltaShape {
        key_heads: 2,
        value_heads: 4,
        key_dim: 16,
        value_dim: 16,
    },
    DeltaShape {
        key_heads: 1,
        value_heads: 3,
        key_dim: 7,
        value_dim: 5,
    },
    DeltaShape {
        key_heads: 2,
        value_heads: 2,
        key_dim: 32,
        value_dim: 80,
    },
    DeltaShape {
        key_heads: 1,
        value_heads: 2,
        key_dim: 128,
        value_dim: 128,
    },
];

#[test]
fn equals_the_recurrence_in_double_precision() {
    let mut random = Random::new(1);
    for shape in SHAPES {
        for t in [1, 2, 15, 16, 17, 63, 64, 65, 130, 300] {
            let x = Inputs::random(&mut random, shape, t);
            let (want, want_state) = x.reference();
            for c in every_compute() {
                let what = format!("{t} tokens, {shape:?}, {c:?}");
                let (out, state) = run(&c, &x);
                assert_close(&out, &want, 1e-5, &what);
                assert_close(&state, &want_state, 1e-5, &format!("state, {what}"));
            }
        }
    }
}

#[test]
fn equals_transformers_over_300_tokens() {
    let file = include_bytes!("../fixtures/delta_p300.safetensors");
    let tensors = SafeTensors::deserialize(file).expect("a safetensors file");
    let read = |name: &str| -> Vec<f32> {
        let data = tensors.tensor(name).expect(name).data().chunks_exact(4);
        data.map(|b| f32::from_le_bytes(b.try_into().expect("four bytes")))
            .collect()
    };
    let shape = SHAPES[0];
    let (q, k, v) = (read("q"), read("k"), read("v"));
    let want: Vec<f64> = read("out").iter().map(|x| f64::from(*x)).collect();
    let want_state: Vec<f64> = read("state").iter().map(|x| f64::from(*x)).collect();
    let (g, beta) = (read("g"), read("beta"));
    for c in every_compute() {
        let mut state = vec![0.0; want_state.len()];
        let mut out = vec![f32::NAN; want.len()];
        let (q, k, v) = (
            Rows::dense(&q, 32),
            Rows::dense(&k, 32),
            Rows::dense(&v, 64),
        );
        delta_rule(&c, shape, q, k, v, &g, &beta, &mut state, &mut out);
        assert_close(&out, &want, 2e-6, &format!("{c:?}"));
        assert_close(&state, &want_state, 2e-6, &format!("state, {c:?}"));
    }
}

#[test]
fn a_prompt_in_parts_gives_what_it_gives_at_once() {
    let mut random = Random::new(3);
    let x = Inputs::random(&mut random, SHAPES[0], 200);
    let c = Compute::new(2);
    let (want, want_state) = x.reference();
    let (key, value) = x.widths();
    let mut state = x.state.clone();
    let mut out = Vec::new();
    for part in [0..1, 1..90, 90..91, 91..200] {
        let row = 2 * key + value;
        let qkv = &x.qkv[part.start * row..part.end * row];
        let gates = part.start * 4..part.end * 4;
        let mut piece = vec![f32::NAN; part.len() * value];
        delta_rule(
            &c,
            x.shape,
            Rows::strided(qkv, key, row, 0),
            Rows::strided(qkv, key, row, key),
            Rows::strided(qkv, value, row, 2 * key),
            &x.g[gates.clone()],
            &x.beta[gates],
            &mut state,
            &mut piece,
        );
        out.extend(piece);
    }
    assert_close(&out, &want, 1e-5, "output");
    assert_close(&state, &want_state, 1e-5, "state");
}

#[test]
fn results_do_not_depend_on_threads() {
    let mut random = Random::new(4);
    let x = Inputs::random(&mut random, SHAPES[3], 100);
    for isa in Isa::ALL {
        let Some(one) = Compute::with_isa(1, isa) else {
            continue;
        };
        let want = run(&one, &x);
        for threads in 2..=4 {
            let c = Compute::with_isa(threads, isa).expect("it was there before");
            let got = run(&c, &x);
            assert_same(&got.0, &want.0, &format!("{c:?}"));
            assert_same(&got.1, &want.1, &format!("state, {c:?}"));
        }
    }
}

#[test]
fn gates_follow_their_formulas() {
    let mut random = Random::new(5);
    let (t, n) = (5, 3);
    let mut a: Vec<f32> = random.floats(t * n).iter().map(|x| 10.0 * x).collect();
    (a[0], a[4]) = (100.0, -100.0);
    let b = a.clone();
    let (a_log, dt_bias) = (random.floats(n), random.floats(n));
    let (mut g, mut beta) = (vec![f32::NAN; t * n], vec![f32::NAN; t * n]);
    delta_gates(&a, &b, &a_log, &dt_bias, &mut g, &mut beta);
    let double = |x: f32| f64::from(x);
    let want: Vec<f64> = (0..t * n)
        .map(|i| {
            let x = double(a[i]) + double(dt_bias[i % n]);
            -double(a_log[i % n]).exp() * if x > 30.0 { x } else { x.exp().ln_1p() }
        })
        .collect();
    assert_close(&g, &want, 1e-6, "g");
    let want: Vec<f64> = b
        .iter()
        .map(|b| 1.0 / (1.0 + (-double(*b)).exp()))
        .collect();
    assert_close(&beta, &want, 1e-6, "beta");
}
