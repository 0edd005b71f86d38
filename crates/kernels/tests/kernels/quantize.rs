//! Weights that are quantized here come back close to what they were.

use crate::common::Random;
use moestro_kernels::Format;

/// About normal.
fn weights(random: &mut Random, n: usize) -> Vec<f32> {
    let normal = |_| (0..6).map(|_| random.float()).sum::<f32>() * 0.02;
    (0..n).map(normal).collect()
}

/// Root of the mean square error, as a share of the weights'.
fn error(format: Format, weights: &[f32]) -> f64 {
    let mut bytes = vec![0xff; format.row_bytes(weights.len()).expect("whole blocks")];
    assert!(format.quantize(weights, &mut bytes));
    let mut back = vec![f32::NAN; weights.len()];
    format.dequantize(&bytes, &mut back);
    let square = |x: f32| f64::from(x).powi(2);
    let off: f64 = weights.iter().zip(&back).map(|(a, b)| square(a - b)).sum();
    let all: f64 = weights.iter().map(|x| square(*x)).sum();
    (off / all.max(1e-30)).sqrt()
}

#[test]
fn errors_are_those_of_the_bits() {
    // What llama.cpp's own quantization reaches on normal weights, to a tenth.
    let cases = [
        (Format::Q4K, 0.076),
        (Format::Q5K, 0.038),
        (Format::Q6K, 0.020),
        (Format::Q8_0, 0.006),
    ];
    let mut random = Random::new(21);
    let weights = weights(&mut random, 256 * 256);
    for (format, most) in cases {
        let error = error(format, &weights);
        println!("{format}: {error:.4}");
        assert!(error < most, "{format}: {error}");
    }
}

#[test]
fn what_is_extreme_stays_finite() {
    let mut random = Random::new(22);
    for format in [Format::Q4K, Format::Q5K, Format::Q6K, Format::Q8_0] {
        for fill in [0.0, 1.0, -3.0e-20, 5.0e-39, -2000.0] {
            assert!(
                error(format, &[fill; 256]) < 0.06 || fill.abs() < 1e-10,
                "{format} {fill}"
            );
        }
        let mut spike = weights(&mut random, 256);
        spike[100] = -7.0;
        assert!(error(format, &spike) < 0.06, "{format}");
    }
    assert!(!Format::Q4_0.quantize(&[0.0; 32], &mut [0; 18]));
}
