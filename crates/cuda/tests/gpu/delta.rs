//! The recurrent layers.

use crate::common::{Fixture, Random, assert_close, assert_same, fixture, put};
use moestro_cuda::{DeltaGates, causal_conv_silu, delta_rule};
use moestro_kernels::{self as cpu, DeltaShape, Rows};

#[test]
fn the_convolution_carries_its_state() {
    let f = fixture(1);
    let mut random = Random::new(1);
    for (channels, taps) in [(5, 1), (40, 2), (129, 8), (8192, 4)] {
        let tokens = 9;
        let x = random.floats(tokens * channels);
        let weight = random.floats(channels * taps);
        let mut state = random.floats((taps - 1) * channels);
        let mut on_state = put(&f, &state);
        let (on_x, on_weight) = (put(&f, &x), put(&f, &weight));
        let mut out = f.gpu.zeros(x.len()).unwrap();
        // In two parts, the second a token alone.
        for rows in [0..tokens - 1, tokens - 1..tokens] {
            causal_conv_silu(
                &f.gpu,
                &on_x,
                rows,
                &mut on_state,
                &on_weight,
                taps,
                &mut out,
            )
            .unwrap();
        }
        let mut want = vec![0.0; x.len()];
        cpu::causal_conv_silu(&f.c, &x, &mut state, &weight, taps, &mut want);
        assert_close(&out.read().unwrap(), &want, 2e-6, "convolution");
        assert_same(&on_state.read().unwrap(), &state, "its state");
    }
}

struct Inputs {
    shape: DeltaShape,
    tokens: usize,
    qkv: Vec<f32>,
    a: Vec<f32>,
    b: Vec<f32>,
    a_log: Vec<f32>,
    dt_bias: Vec<f32>,
    state: Vec<f32>,
}

impl Inputs {
    fn new(random: &mut Random, shape: DeltaShape, tokens: usize) -> Inputs {
        let heads = shape.value_heads;
        let keys = shape.key_heads * shape.key_dim;
        let mut a: Vec<f32> = random.floats(tokens * heads);
        a.iter_mut().for_each(|a| *a *= 10.0);
        // Where the softplus is all of its argument, or next to nothing.
        a[0] = 50.0;
        a[tokens * heads / 2] = -50.0;
        Inputs {
            qkv: random.floats(tokens * (2 * keys + heads * shape.value_dim)),
            a,
            b: random.floats(tokens * heads),
            a_log: random.floats(heads),
            dt_bias: random.floats(heads),
            state: random.floats(heads * shape.key_dim * shape.value_dim),
            shape,
            tokens,
        }
    }

    /// Outputs and state, in parts of so many tokens.
    fn on_gpu(&self, f: &Fixture, part: usize) -> (Vec<f32>, Vec<f32>) {
        let qkv = put(f, &self.qkv);
        let [a, b, a_log, dt_bias] =
            [&self.a, &self.b, &self.a_log, &self.dt_bias].map(|values| put(f, values));
        let gates = DeltaGates {
            a: &a,
            b: &b,
            a_log: &a_log,
            dt_bias: &dt_bias,
        };
        let mut state = put(f, &self.state);
        let width = self.shape.value_heads * self.shape.value_dim;
        let mut out = f.gpu.zeros(self.tokens * width).unwrap();
        for first in (0..self.tokens).step_by(part) {
            let rows = first..self.tokens.min(first + part);
            delta_rule(&f.gpu, self.shape, &qkv, gates, rows, &mut state, &mut out).unwrap();
        }
        (out.read().unwrap(), state.read().unwrap())
    }

    fn on_cpu(&self, f: &Fixture) -> (Vec<f32>, Vec<f32>) {
        let s = self.shape;
        let (keys, values) = (s.key_heads * s.key_dim, s.value_heads * s.value_dim);
        let part = |len, at| Rows::strided(&self.qkv, len, 2 * keys + values, at);
        let (q, k, v) = (part(keys, 0), part(keys, keys), part(values, 2 * keys));
        let (mut state, mut out) = (self.state.clone(), vec![0.0; self.tokens * values]);
        let (mut g, mut beta) = (self.a.clone(), self.a.clone());
        let (a_log, dt_bias) = (&self.a_log, &self.dt_bias);
        cpu::delta_gates(&self.a, &self.b, a_log, dt_bias, &mut g, &mut beta);
        cpu::delta_rule(&f.c, s, q, k, v, &g, &beta, &mut state, &mut out);
        (out, state)
    }
}

#[test]
fn the_rule_equals_the_cpu() {
    let f = fixture(3);
    let mut random = Random::new(3);
    for (key_heads, value_heads, key_dim, value_dim, tokens) in [
        (1, 1, 1, 1, 1),
        (2, 4, 20, 24, 7),
        (1, 2, 128, 128, 5),
        (1, 1, 200, 40, 3),
        (2, 2, 16, 33, 20),
        // Qwen3-Next-80B-A3B
        (16, 32, 128, 128, 2),
    ] {
        let shape = DeltaShape {
            key_heads,
            value_heads,
            key_dim,
            value_dim,
        };
        let inputs = Inputs::new(&mut random, shape, tokens);
        let (out, state) = inputs.on_gpu(&f, tokens);
        let (want, want_state) = inputs.on_cpu(&f);
        assert_close(&out, &want, 5e-6, &format!("{shape:?}"));
        assert_close(&state, &want_state, 5e-6, &format!("state of {shape:?}"));
    }
}

#[test]
fn a_prompt_in_parts_gives_the_same_bits() {
    let f = fixture(4);
    let mut random = Random::new(4);
    let shape = DeltaShape {
        key_heads: 1,
        value_heads: 2,
        key_dim: 32,
        value_dim: 32,
    };
    let inputs = Inputs::new(&mut random, shape, 12);
    let (out, state) = inputs.on_gpu(&f, 12);
    for part in [1, 5] {
        let (parts, part_state) = inputs.on_gpu(&f, part);
        assert_same(&parts, &out, "outputs");
        assert_same(&part_state, &state, "state");
    }
}
