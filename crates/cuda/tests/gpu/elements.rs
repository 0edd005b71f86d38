//! Norms, gates and what moves rows.

use crate::common::{Random, assert_close, assert_same, fixture, put};
use moestro_cuda::*;
use moestro_kernels as cpu;

#[test]
fn norms_equal_the_cpu() {
    let f = fixture(1);
    let mut random = Random::new(1);
    for (rows, width) in [(1, 1), (5, 128), (3, 250), (2, 513), (2, 2048)] {
        let (x, y) = (random.floats(rows * width), random.floats(rows * width));
        let weight = random.floats(width);
        let on_weight = put(&f, &weight);
        let mut want = vec![0.0; x.len()];

        cpu::rms_norm(&f.c, &x, &weight, 1e-6, &mut want);
        let got = rms_norm(&f.gpu, &put(&f, &x), &on_weight, 1e-6).unwrap();
        assert_close(&got.read().unwrap(), &want, 1e-6, "norm");

        cpu::gated_rms_norm(&f.c, &x, &y, &weight, 1e-6, &mut want);
        let got = gated_rms_norm(&f.gpu, &put(&f, &x), &put(&f, &y), &on_weight, 1e-6).unwrap();
        assert_close(&got.read().unwrap(), &want, 2e-6, "gated norm");

        let sum: Vec<f32> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
        cpu::rms_norm(&f.c, &sum, &weight, 1e-6, &mut want);
        let mut on_x = put(&f, &x);
        let got = add_rms_norm(&f.gpu, &mut on_x, &put(&f, &y), &on_weight, 1e-6).unwrap();
        assert_close(&got.read().unwrap(), &want, 1e-6, "norm of a sum");
        assert_same(&on_x.read().unwrap(), &sum, "the sum itself");
    }
}

#[test]
fn gates_equal_the_cpu() {
    let f = fixture(2);
    let mut random = Random::new(2);
    for (rows, width) in [(1, 3), (4, 300)] {
        let mut x: Vec<f32> = random.floats(rows * width);
        let mut y: Vec<f32> = random.floats(rows * width);
        y[0] = 100.0;
        y[1] = -100.0;
        let mut on_x = put(&f, &x);
        let on_y = put(&f, &y);
        sigmoid_gate(&f.gpu, &mut on_x, &on_y).unwrap();
        cpu::sigmoid_gate(&f.c, &mut x, &y);
        assert_close(&on_x.read().unwrap(), &x, 2e-6, "sigmoid gate");
        let before = on_x.read().unwrap();
        add(&f.gpu, &mut on_x, &on_y).unwrap();
        let want: Vec<f32> = before.iter().zip(&y).map(|(a, b)| a + b).collect();
        assert_same(&on_x.read().unwrap(), &want, "sum");
        silu_mul(&f.gpu, &mut on_x, &on_y).unwrap();
        let silu = |g: f32| g / (1.0 + (-g).exp());
        let want: Vec<f32> = want.iter().zip(&y).map(|(g, u)| silu(*g) * u).collect();
        assert_close(&on_x.read().unwrap(), &want, 2e-6, "silu");
    }
}

#[test]
fn queries_and_gates_are_split_head_by_head() {
    let f = fixture(3);
    let dim = 3;
    let projected: Vec<f32> = (0..2 * 2 * 2 * dim).map(|i| i as f32).collect();
    let (query, gate) = split_gate(&f.gpu, &put(&f, &projected), dim).unwrap();
    let of = |offset: usize| -> Vec<f32> {
        let heads = projected.chunks_exact(2 * dim);
        heads
            .flat_map(|head| head[offset..offset + dim].to_vec())
            .collect()
    };
    assert_same(&query.read().unwrap(), &of(0), "queries");
    assert_same(&gate.read().unwrap(), &of(dim), "gates");
}

#[test]
fn rows_can_be_selected() {
    let f = fixture(4);
    let x: Vec<f32> = (0..15).map(|i| i as f32).collect();
    let got = select_rows(&f.gpu, &put(&f, &x), 5, &[2, 0, 2]).unwrap();
    let want: Vec<f32> = [&x[10..15], &x[..5], &x[10..15]].concat();
    assert_same(&got.read().unwrap(), &want, "rows");
}

#[test]
fn rotation_equals_the_cpu_far_out() {
    let f = fixture(5);
    let mut random = Random::new(5);
    let table = cpu::RopeTable::new(10, 10_000_000.0);
    let on_table = RopeTable::new(&f.gpu, &table).unwrap();
    let (heads, dim) = (3, 16);
    // The second lies beyond the table's first length.
    for position in [0, 5000, 40] {
        let x = random.floats(4 * heads * dim);
        let mut on_x = put(&f, &x);
        rope(&f.gpu, &on_table, &mut on_x, 1..3, heads, dim, position).unwrap();
        let mut want = x.clone();
        let rows = heads * dim..3 * heads * dim;
        cpu::rope(&f.c, &table, &mut want[rows], heads, dim, position);
        assert_close(&on_x.read().unwrap(), &want, 2e-7, "rotated");
    }
}

#[test]
#[should_panic(expected = "one gate per value")]
fn wrong_lengths_panic() {
    let f = fixture(6);
    let (mut x, gate) = (put(&f, &[0.0; 4]), put(&f, &[0.0; 5]));
    let _ = sigmoid_gate(&f.gpu, &mut x, &gate);
}
