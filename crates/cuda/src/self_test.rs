//! Numeric tests of the kernels against those of the CPU, when a GPU is opened: that a
//! driver or a GPU computes garbage must not be found out by the answers of a model.
//!
//! Every kind of product of every format, and every operation that has an arithmetic
//! of its own, once, on a few numbers.

use moestro_kernels::{self as cpu, Compute, DeltaShape, Format, packed_bytes};

use crate::array::Array;
use crate::error::{CudaError, Result};
use crate::gpu::Gpu;
use crate::kv::{KvCache, KvFormat};
use crate::matrix::Matrix;
use crate::names;
use crate::ops;

/// A difference by which the two may differ, as a part of the largest result: they
/// add in different orders, and the CPU's exponential is an approximation.
const TOLERANCE: f32 = 2e-4;

/// A multiple of every format's block.
const COLS: usize = 256;

pub(crate) fn run(gpu: &Gpu) -> Result<()> {
    let mut test = Test {
        gpu,
        compute: Compute::new(1),
        seed: 1,
    };
    test.products()?;
    test.experts()?;
    test.norms()?;
    test.rotation()?;
    test.attention()?;
    test.recurrence()?;
    test.choice()?;
    test.gates()?;
    gpu.trim()
}

struct Test<'a> {
    gpu: &'a Gpu,
    compute: Compute,
    seed: u64,
}

impl Test<'_> {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From -1 to 1.
    fn floats(&mut self, n: usize) -> Vec<f32> {
        let float = |x: u64| (x >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        (0..n).map(|_| float(self.next())).collect()
    }

    /// A matrix in any format whose scales are finite: without its second highest bit
    /// a byte begins no half or float above two.
    fn weights(&mut self, format: Format, rows: usize, cols: usize) -> Vec<u8> {
        let bytes = packed_bytes(format, rows, cols).expect("whole blocks");
        (0..bytes).map(|_| self.next() as u8 & 0xbf).collect()
    }

    fn products(&mut self) -> Result<()> {
        const ROWS: usize = 16;
        let packed: Vec<Vec<u8>> = Format::all()
            .iter()
            .map(|format| self.weights(*format, ROWS, COLS))
            .collect();
        let mut held = Vec::with_capacity(packed.len());
        for packed in &packed {
            let mut bytes = self.gpu.bytes(packed.len())?;
            bytes.write(0, packed)?;
            held.push(bytes);
        }
        let matrices: Vec<Matrix> = Format::all()
            .iter()
            .zip(&held)
            .map(|(format, bytes)| Matrix::new(*format, ROWS, COLS, bytes, 0).expect("it fits"))
            .collect();
        for (size, tokens) in [1, 3, 5].into_iter().enumerate() {
            let x = self.floats(tokens * COLS);
            let outs = ops::matmul_many(self.gpu, &matrices, &self.gpu.array(&x)?)?;
            let outs: Vec<&Array> = outs.iter().collect();
            let (got, _) = self.gpu.read(&outs, &[])?;
            for ((format, packed), got) in Format::all().iter().zip(&packed).zip(got) {
                let w = cpu::Matrix::new(*format, ROWS, COLS, packed).expect("it fits");
                let mut want = vec![0.0; tokens * ROWS];
                cpu::matmul(&self.compute, w, &x, &mut want);
                check(names::of(*format).matmul[size], &want, &got)?;
            }
        }
        for (w, packed) in matrices.iter().zip(&packed) {
            let got = ops::rows(self.gpu, *w, &[5])?.read()?;
            let w = cpu::Matrix::new(w.format(), ROWS, COLS, packed).expect("it fits");
            let mut want = vec![0.0; COLS];
            cpu::rows(&self.compute, w, &[5], &mut want);
            check(names::of(w.format()).rows, &want, &got)?;
        }
        Ok(())
    }

    fn experts(&mut self) -> Result<()> {
        const FORMAT: Format = Format::Q8_0;
        const WIDTH: usize = 32;
        let x = self.floats(2 * WIDTH);
        let packed = [0, 1, 2].map(|_| self.weights(FORMAT, WIDTH, WIDTH));
        let mut bytes = self.gpu.bytes(3 * packed[0].len())?;
        bytes.write(0, &packed.concat())?;
        let matrix = |i: usize| {
            Matrix::new(FORMAT, WIDTH, WIDTH, &bytes, i * packed[0].len()).expect("it fits")
        };
        let mut out = self.gpu.zeros(2 * WIDTH)?;
        let task = ops::ExpertTask {
            gate: matrix(0),
            up: matrix(1),
            down: matrix(2),
            tokens: &[1, 0],
            first_row: 0,
        };
        ops::swiglu(self.gpu, &self.gpu.array(&x)?, &[task], &mut out)?;
        let got = out.read()?;
        let matrix =
            |i: usize| cpu::Matrix::new(FORMAT, WIDTH, WIDTH, &packed[i]).expect("it fits");
        let mut want = vec![0.0; 2 * WIDTH];
        let task = cpu::ExpertTask {
            gate: matrix(0),
            up: matrix(1),
            down: matrix(2),
            tokens: &[1, 0],
            out: &mut want,
        };
        cpu::swiglu(&self.compute, &x, &mut [task]);
        check("swiglu", &want, &got)
    }

    fn norms(&mut self) -> Result<()> {
        const ROWS: usize = 16;
        for (kernel, width) in [("norm_narrow", 96), ("norm_wide", 544)] {
            let [x, gate] = [0, 1].map(|_| self.floats(2 * width));
            let weight = self.floats(width);
            let [on_x, on_gate, on_weight] = self.arrays([&x, &gate, &weight])?;
            let got = ops::gated_rms_norm(self.gpu, &on_x, &on_gate, &on_weight, 1e-6)?;
            let mut want = vec![0.0; x.len()];
            cpu::gated_rms_norm(&self.compute, &x, &gate, &weight, 1e-6, &mut want);
            check(kernel, &want, &got.read()?)?;
            // What the norm has rounded for products. A number between two integers may
            // become either.
            let packed = self.weights(Format::Q8_0, ROWS, width);
            let mut bytes = self.gpu.bytes(packed.len())?;
            bytes.write(0, &packed)?;
            let w = Matrix::new(Format::Q8_0, ROWS, width, &bytes, 0).expect("it fits");
            let got = ops::matmul(self.gpu, w, &got)?.read()?;
            let w = cpu::Matrix::new(Format::Q8_0, ROWS, width, &packed).expect("it fits");
            let normed = std::mem::replace(&mut want, vec![0.0; 2 * ROWS]);
            cpu::matmul(&self.compute, w, &normed, &mut want);
            check_within(5e-3, kernel, &want, &got)?;
        }
        Ok(())
    }

    fn rotation(&mut self) -> Result<()> {
        let table = cpu::RopeTable::new(8, 10_000.0);
        let mut x = self.floats(2 * 2 * 12);
        let mut on_x = self.gpu.array(&x)?;
        let on_table = ops::RopeTable::new(self.gpu, &table)?;
        ops::rope(self.gpu, &on_table, &mut on_x, 0..2, 2, 12, 700)?;
        cpu::rope(&self.compute, &table, &mut x, 2, 12, 700);
        check("rope", &x, &on_x.read()?)
    }

    /// A short prompt, and the last token of one that takes two blocks.
    fn attention(&mut self) -> Result<()> {
        let cases = [
            ("attention_f16_4", 1, 2, 128),
            ("attention_f16_8", 1, 2, 136),
            ("attention_f32_4", 1, 2, 128),
            ("attention_f32_8", 1, 2, 136),
            ("attention_merge", 260, 1, 16),
        ];
        for (kernel, positions, tokens, d) in cases {
            let (nq, total) = (2, positions + tokens - 1);
            let format = match kernel.contains("f32") {
                true => KvFormat::F32,
                false => KvFormat::F16,
            };
            // Numbers that half precision holds.
            let halves =
                |x: Vec<f32>| -> Vec<f32> { x.iter().map(|x| (x * 64.0).round() / 64.0).collect() };
            let [k, v] = [0, 1].map(|_| halves(self.floats(total * d)));
            let q = self.floats(tokens * nq * d);
            let [on_q, on_k, on_v] = self.arrays([&q, &k, &v])?;
            let mut cache = KvCache::new(self.gpu, d, format);
            cache.append(&on_k, &on_v, 0..total)?;
            let first = total - tokens;
            let mut out = self.gpu.empty(q.len())?;
            let rows = 0..tokens;
            ops::attention(self.gpu, &on_q, rows, &cache, nq, 1, d, first, &mut out)?;
            let mut want = vec![0.0; q.len()];
            let (k, v) = (cpu::KvSlice::F32(&k), cpu::KvSlice::F32(&v));
            cpu::attention(&self.compute, &q, k, v, nq, 1, d, first, &mut want);
            check(kernel, &want, &out.read()?)?;
        }
        Ok(())
    }

    fn recurrence(&mut self) -> Result<()> {
        for (kernel, key_dim) in [("delta_rule_32", 24), ("delta_rule_64", 136)] {
            let (tokens, taps) = (3, 4);
            let shape = DeltaShape {
                key_heads: 1,
                value_heads: 2,
                key_dim,
                value_dim: 8,
            };
            let width = 2 * key_dim + 16;
            let (x, weight) = (self.floats(tokens * width), self.floats(taps * width));
            let mut past = self.floats((taps - 1) * width);
            let (a, b) = (self.floats(tokens * 2), self.floats(tokens * 2));
            let (a_log, bias) = (self.floats(2), self.floats(2));
            let mut state = self.floats(2 * key_dim * 8);

            let [on_x, on_weight, mut on_past] = self.arrays([&x, &weight, &past])?;
            let [on_a, on_b, mut on_state] = self.arrays([&a, &b, &state])?;
            let [on_a_log, on_bias] = self.arrays([&a_log, &bias])?;
            let mut qkv = self.gpu.empty(x.len())?;
            let (past_on, rows) = (&mut on_past, 0..tokens);
            ops::causal_conv_silu(self.gpu, &on_x, rows, past_on, &on_weight, taps, &mut qkv)?;
            let gates = ops::DeltaGates {
                a: &on_a,
                b: &on_b,
                a_log: &on_a_log,
                dt_bias: &on_bias,
            };
            let mut out = self.gpu.empty(tokens * 16)?;
            let (state_on, rows) = (&mut on_state, 0..tokens);
            ops::delta_rule(self.gpu, shape, &qkv, gates, rows, state_on, &mut out)?;
            let (got, _) = self.gpu.read(&[&qkv, &on_past, &out, &on_state], &[])?;

            let c = &self.compute;
            let mut qkv = vec![0.0; x.len()];
            cpu::causal_conv_silu(c, &x, &mut past, &weight, taps, &mut qkv);
            let (mut g, mut beta) = (vec![0.0; a.len()], vec![0.0; a.len()]);
            cpu::delta_gates(&a, &b, &a_log, &bias, &mut g, &mut beta);
            let mut out = vec![0.0; tokens * 16];
            let part = |len, at| cpu::Rows::strided(&qkv, len, width, at);
            let (q, k, v) = (
                part(key_dim, 0),
                part(key_dim, key_dim),
                part(16, 2 * key_dim),
            );
            cpu::delta_rule(c, shape, q, k, v, &g, &beta, &mut state, &mut out);
            check("causal_conv_silu", &qkv, &got[0])?;
            check("causal_conv_silu", &past, &got[1])?;
            check(kernel, &out, &got[2])?;
            check(kernel, &state, &got[3])?;
        }
        Ok(())
    }

    fn choice(&mut self) -> Result<()> {
        let (experts, k) = (40, 4);
        let logits = self.floats(2 * experts);
        let on_logits = self.gpu.array(&logits)?;
        let (ids, weights) = ops::router_topk(self.gpu, &on_logits, experts, k, true)?;
        let (weights, ids) = self.gpu.read(&[&weights], &[&ids])?;
        let (mut want, mut want_ids) = (vec![0.0; 2 * k], vec![0; 2 * k]);
        cpu::router_topk(&logits, experts, k, true, &mut want_ids, &mut want);
        if ids[0] != want_ids {
            return Err(CudaError::SelfTest {
                kernel: "router_topk",
                detail: format!("chose {:?} instead of {want_ids:?}", ids[0]),
            });
        }
        check("router_topk", &want, &weights[0])
    }

    fn gates(&mut self) -> Result<()> {
        let width = 10;
        let [mut x, y] = [0, 1].map(|_| self.floats(2 * width));
        let (gate, weights) = (self.floats(2), self.floats(4));
        let [mut on_x, on_y] = self.arrays([&x, &y])?;
        let [on_gate, on_weights] = self.arrays([&gate, &weights])?;
        ops::sigmoid_gate(self.gpu, &mut on_x, &on_y)?;
        let gated = on_x.duplicate()?;
        let (rows, shared) = ([1, 0, 0, 1], Some((&on_y, &on_gate)));
        ops::add_experts(self.gpu, &mut on_x, &gated, &rows, &on_weights, shared, 2)?;
        let (got, _) = self.gpu.read(&[&gated, &on_x], &[])?;
        cpu::sigmoid_gate(&self.compute, &mut x, &y);
        check("sigmoid_gate", &x, &got[0])?;
        let mut sum = vec![0.0; 2 * width];
        let rows = rows.map(|row| row as usize);
        cpu::weighted_rows(&self.compute, &x, &rows, &weights, 2, &mut sum);
        cpu::add_scaled_sigmoid(&self.compute, &mut sum, &y, &gate);
        let want: Vec<f32> = x.iter().zip(&sum).map(|(x, sum)| x + sum).collect();
        check("add_experts", &want, &got[1])
    }

    fn arrays<const N: usize>(&self, values: [&Vec<f32>; N]) -> Result<[Array; N]> {
        let mut arrays = Vec::with_capacity(N);
        for values in values {
            arrays.push(self.gpu.array(values)?);
        }
        Ok(arrays.try_into().expect("one array for each"))
    }
}

/// An error unless all results are about the same.
fn check(kernel: &'static str, want: &[f32], got: &[f32]) -> Result<()> {
    check_within(TOLERANCE, kernel, want, got)
}

fn check_within(tolerance: f32, kernel: &'static str, want: &[f32], got: &[f32]) -> Result<()> {
    let largest = want.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    let differs = |(want, got): &(&f32, &f32)| {
        let difference = (*want - *got).abs();
        // What is no number is as wrong as can be.
        difference > tolerance * largest || difference.is_nan()
    };
    let mut pairs = want.iter().zip(got).enumerate();
    match pairs.find(|(_, pair)| differs(pair)) {
        None => Ok(()),
        Some((i, (want, got))) => Err(CudaError::SelfTest {
            kernel,
            detail: format!("value {i} is {got} instead of {want}"),
        }),
    }
}
