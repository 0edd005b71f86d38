//! Norms, gates and the convolution against double precision.

use crate::common::{Random, assert_close, assert_same, every_compute};
use moestro_kernels::{
    add_scaled_sigmoid, causal_conv_silu, gated_rms_norm, rms_norm, sigmoid_gate,
};

const SHAPES: [(usize, usize); 7] = [
    (1, 1),
    (3, 16),
    (1, 2048),
    (5, 7),
    (300, 33),
    (64, 128),
    (2, 1000),
];

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn double(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// Values from small to large, of both signs.
fn wide(random: &mut Random, n: usize) -> Vec<f32> {
    (0..n)
        .map(|_| random.float() * 2f32.powi((random.next() % 8) as i32))
        .collect()
}

#[test]
fn norms_equal_their_formulas() {
    let mut random = Random::new(1);
    for (t, n) in SHAPES {
        let (x, gate, weight) = (
            wide(&mut random, t * n),
            wide(&mut random, t * n),
            random.floats(n),
        );
        let mut want = Vec::new();
        for x in double(&x).chunks_exact(n) {
            let mean = x.iter().map(|x| x * x).sum::<f64>() / n as f64;
            let factor = 1.0 / (mean + 1e-6f32 as f64).sqrt();
            want.extend(x.iter().zip(double(&weight)).map(|(x, w)| x * factor * w));
        }
        let gated: Vec<f64> = want
            .iter()
            .zip(double(&gate))
            .map(|(y, z)| y * z * sigmoid(z))
            .collect();
        for c in every_compute() {
            let mut out = vec![f32::NAN; t * n];
            rms_norm(&c, &x, &weight, 1e-6, &mut out);
            assert_close(&out, &want, 1e-6, &format!("norm [{t}, {n}], {c:?}"));
            out.fill(f32::NAN);
            gated_rms_norm(&c, &x, &gate, &weight, 1e-6, &mut out);
            assert_close(&out, &gated, 1e-6, &format!("gated norm [{t}, {n}], {c:?}"));
        }
    }
}

#[test]
fn a_zero_row_is_normalised_to_zero() {
    for c in every_compute() {
        let mut out = [f32::NAN; 20];
        rms_norm(&c, &[0.0; 20], &[1.0; 20], 1e-6, &mut out);
        assert_eq!(out, [0.0; 20]);
    }
}

#[test]
fn gates_equal_their_formulas() {
    let mut random = Random::new(2);
    for (t, n) in SHAPES {
        let (x, y, gate) = (
            wide(&mut random, t * n),
            wide(&mut random, t * n),
            wide(&mut random, t * n),
        );
        let products = double(&x).into_iter().zip(double(&gate));
        let want: Vec<f64> = products.map(|(x, g)| x * sigmoid(g)).collect();
        let scalars = &gate[..t];
        let sums: Vec<f64> = (0..t * n)
            .map(|i| f64::from(x[i]) + sigmoid(f64::from(scalars[i / n])) * f64::from(y[i]))
            .collect();
        for c in every_compute() {
            let mut out = x.clone();
            sigmoid_gate(&c, &mut out, &gate);
            assert_close(&out, &want, 1e-6, &format!("sigmoid [{t}, {n}], {c:?}"));
            let mut out = x.clone();
            add_scaled_sigmoid(&c, &mut out, &y, scalars);
            // Terms of up to 128 may cancel.
            assert_close(&out, &sums, 2e-5, &format!("sum [{t}, {n}], {c:?}"));
        }
    }
}

#[test]
fn extreme_gates_saturate() {
    let gate = [
        f32::NEG_INFINITY,
        f32::MIN,
        -200.0,
        0.0,
        200.0,
        f32::MAX,
        f32::INFINITY,
    ];
    for c in every_compute() {
        let mut x = [1.0; 7];
        sigmoid_gate(&c, &mut x, &gate);
        assert_close(
            &x,
            &[0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0],
            1e-6,
            &format!("{c:?}"),
        );
        let mut x = [1.0];
        sigmoid_gate(&c, &mut x, &[f32::NAN]);
        assert!(x[0].is_nan(), "not a number stays so, {c:?}");
    }
}

#[test]
fn the_convolution_carries_its_state() {
    let mut random = Random::new(3);
    for (channels, kernel) in [(1, 4), (40, 4), (33, 1), (16, 2), (700, 3)] {
        let t = 23;
        let (x, weight) = (
            random.floats(t * channels),
            random.floats(channels * kernel),
        );
        let past = random.floats((kernel - 1) * channels);
        let inputs: Vec<f64> = double(&past).into_iter().chain(double(&x)).collect();
        let want: Vec<f64> = (0..t * channels)
            .map(|at| {
                let (i, c) = (at / channels, at % channels);
                let taps = (0..kernel)
                    .map(|j| f64::from(weight[c * kernel + j]) * inputs[(i + j) * channels + c]);
                let sum: f64 = taps.sum();
                sum * sigmoid(sum)
            })
            .collect();
        let last: Vec<f32> = past.iter().chain(&x).copied().skip(t * channels).collect();
        for c in every_compute() {
            // At once, and in parts shorter and longer than the kernel.
            for parts in [vec![t], vec![1, 1, 2, 10, 9], vec![1; t]] {
                let mut state = past.clone();
                let mut out = Vec::new();
                let mut rest = &x[..];
                for part in &parts {
                    let (x, after) = rest.split_at(part * channels);
                    rest = after;
                    let mut piece = vec![f32::NAN; x.len()];
                    causal_conv_silu(&c, x, &mut state, &weight, kernel, &mut piece);
                    out.extend(piece);
                }
                let what = format!("{channels} channels, kernel {kernel}, {parts:?}, {c:?}");
                assert_close(&out, &want, 1e-6, &what);
                assert_same(&state, &last, &what);
            }
        }
    }
}
