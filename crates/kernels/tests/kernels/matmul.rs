//! Matrix products and experts against sums in double precision, of the rounded
//! activations where the weights are integers.

use crate::common::{Random, assert_close, assert_same, assert_sums, every_compute};
use moestro_kernels::{
    Compute, ExpertTask, Format, Isa, Matrix, matmul, matmul_many, pack, packed_bytes, rows, swiglu,
};

/// A random matrix with values of about one, whatever the format.
struct Weights {
    format: Format,
    rows: usize,
    cols: usize,
    file: Vec<u8>,
    packed: Vec<u8>,
}

impl Weights {
    fn random(random: &mut Random, format: Format, rows: usize, cols: usize) -> Weights {
        let mut file = random.bytes(rows * format.row_bytes(cols).expect("whole blocks"));
        let half = |x: f32| half::f16::from_f32(x).to_le_bytes();
        for block in file.chunks_exact_mut(format.block_bytes()) {
            let mut set =
                |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
            let x = random.float();
            match format {
                Format::F32 => set(0, &x.to_le_bytes()),
                Format::F16 => set(0, &half(x)),
                Format::BF16 => set(0, &half::bf16::from_f32(x).to_le_bytes()),
                Format::Q4_0 | Format::Q5_0 | Format::IQ4NL => set(0, &half(x / 16.0)),
                Format::Q4_1 | Format::Q5_1 => set(0, &[half(x / 16.0), half(-x)].concat()),
                Format::Q8_0 => set(0, &half(x / 128.0)),
                Format::Q2K => set(80, &[half(x / 16.0), half(x / 16.0)].concat()),
                Format::Q3K => set(108, &half(x / 64.0)),
                Format::Q4K | Format::Q5K => set(0, &[half(x / 512.0), half(x / 64.0)].concat()),
                Format::Q6K => set(208, &half(x / 2048.0)),
                Format::IQ4XS => set(0, &half(x / 2048.0)),
                Format::MXFP4 => set(0, &[125]),
                Format::FP8 => set(0, &(x / 256.0).to_le_bytes()),
                Format::NF4 | Format::FP4 => set(0, &[half(x), half(-x)].concat()),
                Format::INT4_128 => set(0, &half(x / 16.0)),
                Format::INT4_64 => set(0, &[half(x / 16.0), half(x / 9.0)].concat()),
                Format::INT8_128 => set(0, &half(x / 128.0)),
                Format::INT4_32 | Format::INT8_32 => {
                    let scales = [2.0, 3.0, 4.0, 7.0].map(|n| half(x / n / 32.0));
                    set(0, &scales.concat());
                }
            }
        }
        let bytes = packed_bytes(format, rows, cols).expect("a small matrix");
        let mut packed = vec![0xff; bytes];
        pack(format, cols, &file, &mut packed);
        Weights {
            format,
            rows,
            cols,
            file,
            packed,
        }
    }

    fn matrix(&self) -> Matrix<'_> {
        Matrix::new(self.format, self.rows, self.cols, &self.packed).expect("fits by construction")
    }

    fn values(&self) -> Vec<f32> {
        let mut values = vec![0.0; self.rows * self.cols];
        self.format.dequantize(&self.file, &mut values);
        values
    }
}

/// The activations as integer weights see them: multiples of a 127th of the largest
/// of 32 neighbours.
fn rounded(x: &[f64]) -> Vec<f64> {
    let group = |x: &[f64]| {
        let largest = x.iter().fold(0.0, |max: f64, x| max.max(x.abs())) as f32;
        let scale = largest / 127.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let round = |x: &f64| f64::from((*x as f32 * inverse).round_ties_even() * scale);
        x.iter().map(round).collect::<Vec<_>>()
    };
    x.chunks(32).flat_map(group).collect()
}

/// Each product and the sum of the magnitudes of its terms.
fn reference(w: &Weights, x: &[f64]) -> Vec<(f64, f64)> {
    let values = w.values();
    let floats = [Format::F32, Format::F16, Format::BF16, Format::FP8].contains(&w.format);
    let x = &if floats { x.to_vec() } else { rounded(x) };
    let dot = |w: &[f32], x: &[f64]| {
        let terms = w.iter().zip(x).map(|(w, x)| f64::from(*w) * x);
        terms.fold((0.0, 0.0), |sum, term| (sum.0 + term, sum.1 + term.abs()))
    };
    x.chunks_exact(w.cols)
        .flat_map(|x| values.chunks_exact(w.cols).map(move |w| dot(w, x)))
        .collect()
}

fn double(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

#[test]
fn every_format_multiplies_as_in_double_precision() {
    let mut random = Random::new(1);
    for format in Format::all() {
        for (rows, cols, t) in [
            (1, 256, 1),
            (7, 512, 3),
            (33, 1280, 9),
            (4, 2048, 70),
            (50, 256, 15),
            (16, 768, 130),
        ] {
            let w = Weights::random(&mut random, *format, rows, cols);
            let x = random.floats(t * cols);
            let want = reference(&w, &double(&x));
            for c in every_compute() {
                let mut out = vec![f32::NAN; t * rows];
                matmul(&c, w.matrix(), &x, &mut out);
                // Its table is approximated by whole numbers of fourteen bits.
                let tolerance = if *format == Format::NF4 { 1e-4 } else { 1e-6 };
                assert_sums(
                    &out,
                    &want,
                    tolerance,
                    &format!("{format} [{rows}, {cols}] x {t}, {c:?}"),
                );
            }
        }
    }
}

/// A row of a packed matrix has the values that the file gives it.
#[test]
fn packing_moves_bytes_and_loses_none() {
    let mut random = Random::new(7);
    for format in Format::all() {
        for count in [1, 15, 16, 17, 40] {
            let w = Weights::random(&mut random, *format, count, 512);
            let ids: Vec<u32> = (0..count as u32).collect();
            let mut got = vec![f32::NAN; count * 512];
            rows(&Compute::new(2), w.matrix(), &ids, &mut got);
            assert_same(&got, &w.values(), &format!("{format}, {count} rows"));

            // In pieces of whole tiles.
            let row = format.row_bytes(512).expect("whole blocks");
            let mut packed = vec![0xff; w.packed.len()];
            let pieces = w.file.chunks(16 * row);
            for (file, out) in pieces.zip(packed.chunks_mut(16 * row)) {
                pack(*format, 512, file, out);
            }
            assert_eq!(packed, w.packed, "{format}, {count} rows in pieces");
        }
    }
}

#[test]
fn activations_that_are_no_numbers_are_not_hidden() {
    let mut random = Random::new(8);
    let w = Weights::random(&mut random, Format::Q4K, 20, 256);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = random.floats(256);
        x[77] = bad;
        for c in every_compute() {
            let mut out = vec![0.0; 20];
            matmul(&c, w.matrix(), &x, &mut out);
            assert!(out.iter().all(|y| !y.is_finite()), "{bad}, {c:?}: {out:?}");
        }
    }
    let mut out = vec![1.0; 20];
    matmul(&Compute::new(1), w.matrix(), &[0.0; 256], &mut out);
    assert_eq!(out, [0.0; 20]);
}

#[test]
fn ragged_widths_work_in_formats_without_blocks() {
    let mut random = Random::new(2);
    for format in [Format::F32, Format::F16, Format::BF16] {
        for cols in [1, 5, 15, 17, 31, 1023, 1025, 2049] {
            let w = Weights::random(&mut random, format, 6, cols);
            for t in [1, 2, 5, 65] {
                let x = random.floats(t * cols);
                let want = reference(&w, &double(&x));
                for c in every_compute() {
                    let mut out = vec![f32::NAN; t * 6];
                    matmul(&c, w.matrix(), &x, &mut out);
                    assert_sums(&out, &want, 1e-6, &format!("{format} {cols} x {t}, {c:?}"));
                }
            }
        }
    }
}

/// A token's result has the same bits alone and among others, with any number of
/// threads, alone and beside other matrices, and with AVX2 and AVX-512.
#[test]
fn results_do_not_depend_on_grouping() {
    let mut random = Random::new(3);
    let (rows, cols, t) = (39, 1536, 141);
    for format in [
        Format::Q4K,
        Format::BF16,
        Format::Q8_0,
        Format::Q2K,
        Format::Q3K,
        Format::Q6K,
        Format::NF4,
        Format::FP8,
        Format::INT8_32,
    ] {
        let w = Weights::random(&mut random, format, rows, cols);
        let other = Weights::random(&mut random, Format::Q6K, 50, cols);
        let x = random.floats(t * cols);
        for isa in Isa::ALL {
            let Some(one) = Compute::with_isa(1, isa) else {
                continue;
            };
            let mut want = vec![0.0; t * rows];
            for (x, out) in x.chunks_exact(cols).zip(want.chunks_exact_mut(rows)) {
                matmul(&one, w.matrix(), x, out);
            }
            for threads in 1..=4 {
                let c = Compute::with_isa(threads, isa).expect("it was there before");
                let mut out = vec![f32::NAN; t * rows];
                let mut beside = vec![f32::NAN; t * 50];
                matmul_many(
                    &c,
                    &[other.matrix(), w.matrix()],
                    &x,
                    &mut [&mut beside, &mut out],
                );
                assert_same(&out, &want, &format!("{format}, {c:?}"));
            }
            if matches!(isa, Isa::Avx512Half | Isa::Avx512) {
                let mut out = vec![f32::NAN; t * rows];
                let avx2 = Compute::with_isa(2, Isa::Avx2).expect("part of AVX-512");
                matmul(&avx2, w.matrix(), &x, &mut out);
                assert_same(&out, &want, &format!("{format}, AVX2 and AVX-512"));
            }
        }
    }
}

#[test]
fn nothing_times_something_is_nothing() {
    let mut random = Random::new(4);
    let w = Weights::random(&mut random, Format::Q8_0, 5, 64);
    let c = Compute::new(2);
    matmul(&c, w.matrix(), &[], &mut []);
    matmul_many(&c, &[], &[], &mut []);
    let empty = Matrix::new(Format::F32, 0, 64, &[]).expect("no rows");
    matmul(&c, empty, &random.floats(128), &mut []);
    swiglu(&c, &[], &mut []);
}

#[test]
#[should_panic(expected = "output is [2, 5]")]
fn a_wrong_output_length_panics_with_the_shape() {
    let w = Weights::random(&mut Random::new(5), Format::Q8_0, 5, 64);
    matmul(&Compute::new(1), w.matrix(), &[0.0; 128], &mut [0.0; 9]);
}

#[test]
fn experts_compute_a_gated_feed_forward_network() {
    let mut random = Random::new(6);
    let (hidden, intermediate) = (256, 96);
    let sizes = [1, 3, 0, 1, 40, 129];
    let rows = 150;
    let formats = [
        (Format::Q4K, Format::Q8_0),
        (Format::BF16, Format::F16),
        (Format::F32, Format::Q5_0),
    ];
    let experts: Vec<[Weights; 3]> = (0..sizes.len())
        .map(|i| {
            let (wide, narrow) = formats[i % 3];
            [
                Weights::random(&mut random, wide, intermediate, hidden),
                Weights::random(&mut random, wide, intermediate, hidden),
                Weights::random(&mut random, narrow, hidden, intermediate),
            ]
        })
        .collect();
    // Small inputs, so that the sums stay near one.
    let x: Vec<f32> = random.floats(rows * hidden);
    let x: Vec<f32> = x.iter().map(|x| x / 16.0).collect();
    let tokens: Vec<Vec<u32>> = sizes
        .iter()
        .map(|n| (0..*n as u32).map(|i| i * 77 % rows as u32).collect())
        .collect();
    let row = |token: &u32| double(&x[*token as usize * hidden..][..hidden]);
    let inputs: Vec<Vec<f64>> = tokens
        .iter()
        .map(|ids| ids.iter().flat_map(row).collect())
        .collect();
    let wanted: Vec<Vec<f64>> = experts
        .iter()
        .zip(&inputs)
        .map(|([gate, up, down], x)| {
            let first = |sums: Vec<(f64, f64)>| sums.into_iter().map(|s| s.0);
            let silu = |g: f64| g / (1.0 + (-g).exp());
            let gates = first(reference(gate, x)).map(silu);
            let h: Vec<f64> = gates
                .zip(first(reference(up, x)))
                .map(|(g, u)| g * u)
                .collect();
            first(reference(down, &h)).collect()
        })
        .collect();
    let mut first: Option<(Isa, Vec<Vec<f32>>)> = None;
    for c in every_compute() {
        let mut outs: Vec<Vec<f32>> = inputs.iter().map(|x| vec![f32::NAN; x.len()]).collect();
        let mut tasks: Vec<ExpertTask> = experts
            .iter()
            .zip(&tokens)
            .zip(&mut outs)
            .map(|(([gate, up, down], tokens), out)| ExpertTask {
                gate: gate.matrix(),
                up: up.matrix(),
                down: down.matrix(),
                tokens,
                out,
            })
            .collect();
        swiglu(&c, &x, &mut tasks);
        for (i, (out, want)) in outs.iter().zip(&wanted).enumerate() {
            // An inner value that lies between two integers may be rounded to either.
            let tolerance = if i % 3 == 1 { 2e-5 } else { 2e-3 };
            assert_close(out, want, tolerance, &format!("expert {i}, {c:?}"));
        }
        match &first {
            Some((isa, first)) if *isa == c.isa() => {
                for (out, first) in outs.iter().zip(first) {
                    assert_same(out, first, &format!("{c:?}"));
                }
            }
            _ => first = Some((c.isa(), outs)),
        }
    }
}

/// Columns in an order of their own give what the same columns in the usual order
/// give.
#[test]
fn columns_in_another_order_meet_their_activations() {
    let mut random = Random::new(31);
    let (hidden, inner, t) = (512, 256, 5);
    for format in [Format::INT4_128, Format::Q8_0, Format::FP8, Format::F32] {
        let x = random.floats(t * hidden);
        let mut weights = |rows, cols| Weights::random(&mut random, format, rows, cols);
        let (gate, up, down) = (
            weights(inner, hidden),
            weights(inner, hidden),
            weights(hidden, inner),
        );
        let order = |cols: usize, step: usize| -> Vec<u32> {
            (0..cols).map(|i| (i * step % cols) as u32).collect()
        };
        let bytes = |order: &[u32]| {
            order
                .iter()
                .flat_map(|i| i.to_le_bytes())
                .collect::<Vec<_>>()
        };
        let (wide, narrow) = (order(hidden, 37), order(inner, 101));
        let (wide_bytes, narrow_bytes) = (bytes(&wide), bytes(&narrow));
        let sorted = |x: &[f32], order: &[u32]| -> Vec<f32> {
            let rows = x.chunks_exact(order.len());
            rows.flat_map(|row| order.iter().map(|i| row[*i as usize]))
                .collect()
        };
        for c in every_compute() {
            let what = format!("{format}, {c:?}");
            let ordered = gate
                .matrix()
                .ordered(&wide_bytes)
                .expect("one for each column");
            let (mut got, mut want) = (vec![0.0; t * inner], vec![0.0; t * inner]);
            let mut plain = vec![0.0; t * inner];
            matmul_many(&c, &[ordered, up.matrix()], &x, &mut [&mut got, &mut plain]);
            matmul(&c, gate.matrix(), &sorted(&x, &wide), &mut want);
            assert_same(&got, &want, &what);
            matmul(&c, up.matrix(), &x, &mut want);
            assert_same(&plain, &want, &what);

            // The same experts, once with all matrices ordered.
            let mut gates = vec![0.0; t * inner];
            let mut ups = vec![0.0; t * inner];
            matmul(&c, gate.matrix(), &sorted(&x, &wide), &mut gates);
            matmul(&c, up.matrix(), &x, &mut ups);
            let silu = |g: f32| g / (1.0 + (-g).exp());
            let between: Vec<f32> = gates.iter().zip(&ups).map(|(g, u)| silu(*g) * u).collect();
            let mut want = vec![0.0; t * hidden];
            matmul(&c, down.matrix(), &sorted(&between, &narrow), &mut want);
            let tokens: Vec<u32> = (0..t as u32).collect();
            let mut got = vec![0.0; t * hidden];
            swiglu(
                &c,
                &x,
                &mut [ExpertTask {
                    gate: ordered,
                    up: up.matrix(),
                    down: down
                        .matrix()
                        .ordered(&narrow_bytes)
                        .expect("for each column"),
                    tokens: &tokens,
                    out: &mut got,
                }],
            );
            let largest = want.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            for (got, want) in got.iter().zip(&want) {
                // A last bit of an activation may round its integer the other way.
                assert!((got - want).abs() < 5e-3 * largest, "{what}: {got} {want}");
            }
        }
        assert!(gate.matrix().ordered(&wide_bytes[4..]).is_none());
    }
}
