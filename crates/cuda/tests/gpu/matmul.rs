//! Products with every format.

use crate::common::{Fixture, Random, Weights, assert_close, assert_same, fixture, put};
use moestro_cuda::{add, gated_rms_norm, matmul, matmul_many, rms_norm, rows};
use moestro_kernels::{self as cpu, Format};

/// Sums of some hundred products in another order.
const TOLERANCE: f32 = 2e-6;

fn on_cpu(f: &Fixture, w: &Weights, x: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / w.cols * w.rows];
    cpu::matmul(&f.c, w.on_cpu(), x, &mut out);
    out
}

#[test]
fn every_format_equals_the_cpu() {
    let f = fixture(1);
    let mut random = Random::new(1);
    for format in Format::all() {
        // More than one tile and block, the last tile not full.
        let w = Weights::new(&f, &mut random, *format, 37, 512);
        for tokens in [1, 2, 7, 33] {
            let x = random.floats(tokens * w.cols);
            let got = matmul(&f.gpu, w.on_gpu(), &put(&f, &x)).unwrap();
            let want = on_cpu(&f, &w, &x);
            let what = format!("{format}, {tokens} tokens");
            assert_close(&got.read().unwrap(), &want, TOLERANCE, &what);
        }
    }
}

#[test]
fn few_and_odd_columns() {
    let f = fixture(2);
    let mut random = Random::new(2);
    for format in Format::all() {
        let least = format.block_len();
        let widths = match least {
            1 => vec![1, 5, 30, 132],
            _ => vec![least, 3 * least],
        };
        for cols in widths {
            let w = Weights::new(&f, &mut random, *format, 16, cols);
            let x = random.floats(3 * cols);
            let got = matmul(&f.gpu, w.on_gpu(), &put(&f, &x)).unwrap();
            let what = format!("{format}, {cols} columns");
            assert_close(&got.read().unwrap(), &on_cpu(&f, &w, &x), TOLERANCE, &what);
        }
    }
}

#[test]
fn columns_in_another_order() {
    let f = fixture(3);
    let mut random = Random::new(3);
    for format in [Format::INT4_128, Format::F16, Format::INT8_32] {
        let cols = 256;
        let mut order: Vec<u32> = (0..cols as u32).collect();
        order.sort_by_key(|i| (i * 7919) % 256);
        // A column that does not exist counts nothing.
        order[9] = 1 << 30;
        let w = Weights::with_order(&f, &mut random, format, [20, cols], Some(order));
        let plain = Weights::new(&f, &mut random, Format::Q8_0, 5, cols);
        let x = random.floats(3 * cols);
        let ws = [w.on_gpu(), plain.on_gpu()];
        let got = matmul_many(&f.gpu, &ws, &put(&f, &x)).unwrap();
        for (got, w) in got.iter().zip([&w, &plain]) {
            let want = on_cpu(&f, w, &x);
            assert_close(&got.read().unwrap(), &want, TOLERANCE, "in order");
        }
    }
}

#[test]
fn one_or_many_tokens_give_the_same_bits() {
    let f = fixture(4);
    let mut random = Random::new(4);
    for format in [
        Format::Q4K,
        Format::Q6K,
        Format::FP8,
        Format::BF16,
        Format::NF4,
    ] {
        let w = Weights::new(&f, &mut random, format, 40, 768);
        let x = random.floats(20 * w.cols);
        let all = matmul(&f.gpu, w.on_gpu(), &put(&f, &x))
            .unwrap()
            .read()
            .unwrap();
        for tokens in [1, 3, 9] {
            let part = put(&f, &x[..tokens * w.cols]);
            let part = matmul(&f.gpu, w.on_gpu(), &part).unwrap().read().unwrap();
            assert_same(
                &part,
                &all[..part.len()],
                &format!("{format}, {tokens} tokens"),
            );
        }
    }
}

#[test]
fn several_matrices_of_mixed_formats() {
    let f = fixture(5);
    let mut random = Random::new(5);
    let formats = [
        Format::Q4K,
        Format::Q6K,
        Format::Q4K,
        Format::F32,
        Format::FP8,
    ];
    let ws: Vec<Weights> = formats
        .iter()
        .enumerate()
        .map(|(i, format)| Weights::new(&f, &mut random, *format, 10 + 17 * i, 256))
        .collect();
    let matrices: Vec<_> = ws.iter().map(Weights::on_gpu).collect();
    let x = random.floats(2 * 256);
    let before = f.counts()[0];
    let got = matmul_many(&f.gpu, &matrices, &put(&f, &x)).unwrap();
    // Activations are rounded once, equal formats computed together.
    f.gpu.wait().unwrap();
    if f.emulator.is_some() {
        assert_eq!(f.counts()[0] - before, 5);
    }
    for (got, w) in got.iter().zip(&ws) {
        assert_close(&got.read().unwrap(), &on_cpu(&f, w, &x), TOLERANCE, "mixed");
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let f = fixture(6);
    let mut random = Random::new(6);
    for (bad, format) in [(f32::NAN, Format::Q4K), (f32::INFINITY, Format::Q8_0)] {
        let w = Weights::new(&f, &mut random, format, 16, 512);
        let mut x = random.floats(2 * 512);
        x[700] = bad;
        let got = matmul(&f.gpu, w.on_gpu(), &put(&f, &x))
            .unwrap()
            .read()
            .unwrap();
        assert!(
            got[16..].iter().all(|y| y.is_nan()),
            "{bad} in the second row"
        );
        assert!(got[..16].iter().all(|y| y.is_finite()), "not in the first");
    }
}

#[test]
fn extreme_activations_round_like_the_cpu() {
    let f = fixture(7);
    let mut random = Random::new(7);
    let w = Weights::new(&f, &mut random, Format::Q8_0, 16, 128);
    for scale in [0.0, 1e-42, 1e-38, 1e30] {
        let x: Vec<f32> = random.floats(128).iter().map(|x| x * scale).collect();
        let got = matmul(&f.gpu, w.on_gpu(), &put(&f, &x))
            .unwrap()
            .read()
            .unwrap();
        assert_close(
            &got,
            &on_cpu(&f, &w, &x),
            TOLERANCE,
            &format!("times {scale}"),
        );
    }
}

#[test]
fn rows_of_every_format_equal_the_cpu() {
    let f = fixture(8);
    let mut random = Random::new(8);
    for format in Format::all() {
        let w = Weights::new(&f, &mut random, *format, 35, 256);
        let ids = [34, 0, 17, 17];
        let got = rows(&f.gpu, w.on_gpu(), &ids).unwrap().read().unwrap();
        let mut want = vec![0.0; got.len()];
        cpu::rows(&f.c, w.on_cpu(), &ids, &mut want);
        assert_close(&got, &want, 1e-6, format.name());
    }
}

#[test]
fn a_large_product() {
    let f = fixture(9);
    let mut random = Random::new(9);
    let w = Weights::new(&f, &mut random, Format::Q4K, 512, 2048);
    let x = random.floats(2048);
    let got = matmul(&f.gpu, w.on_gpu(), &put(&f, &x))
        .unwrap()
        .read()
        .unwrap();
    assert_close(&got, &on_cpu(&f, &w, &x), 1e-5, "2048 columns");
}

/// Norms round their result on the way, and a rounded array that changes is rounded
/// anew.
#[test]
fn activations_are_rounded_once_and_never_stale() {
    let f = fixture(12);
    let mut random = Random::new(12);
    for cols in [128, 2048] {
        let w = Weights::new(&f, &mut random, Format::Q8_0, 16, cols);
        let product = |x: &moestro_cuda::Array| {
            let product = matmul(&f.gpu, w.on_gpu(), x).unwrap();
            product.read().unwrap()
        };
        let fresh = |x: &moestro_cuda::Array| product(&put(&f, &x.read().unwrap()));
        let mut x = random.floats(3 * cols);
        // Groups of nothing, and of what is no number.
        x[..32].fill(0.0);
        x[2 * cols + 40] = f32::NAN;
        let [x, gate] = [x, random.floats(3 * cols)].map(|values| put(&f, &values));
        let weight = put(&f, &random.floats(cols));
        let plain = rms_norm(&f.gpu, &x, &weight, 1e-6).unwrap();
        let mut gated = gated_rms_norm(&f.gpu, &x, &gate, &weight, 1e-6).unwrap();
        let finite = |mut values: Vec<f32>| {
            assert!(
                values
                    .split_off(2 * w.rows)
                    .iter()
                    .all(|value| value.is_nan())
            );
            values
        };
        assert_same(&finite(product(&plain)), &finite(fresh(&plain)), "norm");
        assert_same(
            &finite(product(&gated)),
            &finite(fresh(&gated)),
            "gated norm",
        );
        add(&f.gpu, &mut gated, &gate).unwrap();
        assert_same(&finite(product(&gated)), &finite(fresh(&gated)), "changed");
    }
}
