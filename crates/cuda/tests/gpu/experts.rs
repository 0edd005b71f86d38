//! Experts: groups of tokens through their networks, and the sum of what they say.

use crate::common::{Fixture, Random, Weights, assert_close, assert_same, fixture, put};
use moestro_cuda::{ExpertTask, add_experts, router_topk, swiglu};
use moestro_kernels::{self as cpu, Format};

/// Rounding of the inner activations may fall the other way where the exponential
/// function differs in its last bit: a 127th of one of some hundred activations.
const TOLERANCE: f32 = 5e-4;

struct Expert {
    gate: Weights,
    up: Weights,
    down: Weights,
    tokens: Vec<u32>,
}

impl Expert {
    fn new(f: &Fixture, random: &mut Random, formats: [Format; 3], inner: usize) -> Expert {
        Expert {
            gate: Weights::new(f, random, formats[0], inner, HIDDEN),
            up: Weights::new(f, random, formats[1], inner, HIDDEN),
            down: Weights::new(f, random, formats[2], HIDDEN, inner),
            tokens: Vec::new(),
        }
    }
}

const HIDDEN: usize = 256;

fn on_gpu(f: &Fixture, x: &[f32], experts: &[Expert], rows: usize) -> Vec<f32> {
    let mut first_row = 0;
    let tasks: Vec<ExpertTask> = experts
        .iter()
        .map(|e| {
            let task = ExpertTask {
                gate: e.gate.on_gpu(),
                up: e.up.on_gpu(),
                down: e.down.on_gpu(),
                tokens: &e.tokens,
                first_row,
            };
            first_row += e.tokens.len();
            task
        })
        .collect();
    let mut out = put(f, &vec![7.0; rows * HIDDEN]);
    swiglu(&f.gpu, &put(f, x), &tasks, &mut out).unwrap();
    out.read().unwrap()
}

fn on_cpu(f: &Fixture, x: &[f32], experts: &[Expert], rows: usize) -> Vec<f32> {
    let mut out = vec![7.0; rows * HIDDEN];
    let mut rest = out.as_mut_slice();
    let mut tasks = Vec::new();
    for e in experts {
        let (out, others) = rest.split_at_mut(e.tokens.len() * HIDDEN);
        rest = others;
        tasks.push(cpu::ExpertTask {
            gate: e.gate.on_cpu(),
            up: e.up.on_cpu(),
            down: e.down.on_cpu(),
            tokens: &e.tokens,
            out,
        });
    }
    cpu::swiglu(&f.c, x, &mut tasks);
    out
}

#[test]
fn experts_of_every_format_equal_the_cpu() {
    let f = fixture(1);
    let mut random = Random::new(1);
    let x = random.floats(4 * HIDDEN);
    for format in Format::all() {
        let mut expert = Expert::new(&f, &mut random, [*format; 3], 256);
        expert.tokens = vec![2, 0];
        let experts = [expert];
        let (got, want) = (on_gpu(&f, &x, &experts, 2), on_cpu(&f, &x, &experts, 2));
        assert_close(&got, &want, TOLERANCE, format.name());
    }
}

#[test]
fn many_experts_of_mixed_formats_and_sizes() {
    let f = fixture(2);
    let mut random = Random::new(2);
    let x = random.floats(40 * HIDDEN);
    let k = [Format::Q4K, Format::Q4K, Format::Q6K];
    let small = [Format::Q8_0, Format::Q4_0, Format::F16];
    let mut experts = Vec::new();
    let lists: [&[u32]; 6] = [&[3], &[], &[5, 6, 7], &[39, 0, 12, 1], &[8; 1], &[4, 2]];
    for (i, tokens) in lists.into_iter().enumerate() {
        let mut expert = match i % 2 {
            0 => Expert::new(&f, &mut random, k, 256),
            // Neither a multiple of a group nor as many as the others have.
            _ => Expert::new(&f, &mut random, small, 40),
        };
        expert.tokens = tokens.to_vec();
        experts.push(expert);
    }
    let mut shared = Expert::new(&f, &mut random, k, 512);
    shared.tokens = (0..40).collect();
    experts.push(shared);
    let rows = experts.iter().map(|e| e.tokens.len()).sum::<usize>() + 1;
    let (got, want) = (
        on_gpu(&f, &x, &experts, rows),
        on_cpu(&f, &x, &experts, rows),
    );
    assert_close(&got, &want, TOLERANCE, "mixed");
    let end = (rows - 1) * HIDDEN;
    assert_same(&got[end..], &want[end..], "a row that belongs to no expert");
}

#[test]
fn more_experts_than_travel_with_a_launch() {
    let f = fixture(3);
    let mut random = Random::new(3);
    let x = random.floats(HIDDEN);
    let formats = [Format::Q8_0; 3];
    let experts: Vec<Expert> = (0..20)
        .map(|_| {
            let mut expert = Expert::new(&f, &mut random, formats, 32);
            expert.tokens = vec![0];
            expert
        })
        .collect();
    let (got, want) = (on_gpu(&f, &x, &experts, 20), on_cpu(&f, &x, &experts, 20));
    assert_close(&got, &want, TOLERANCE, "twenty");
}

#[test]
fn decode_takes_three_launches_and_no_copies() {
    let f = fixture(4);
    let mut random = Random::new(4);
    let x = put(&f, &random.floats(HIDDEN));
    let formats = [Format::Q4K; 3];
    let experts: Vec<Expert> = (0..5)
        .map(|_| Expert::new(&f, &mut random, formats, 256))
        .collect();
    let tasks: Vec<ExpertTask> = experts
        .iter()
        .enumerate()
        .map(|(first_row, e)| ExpertTask {
            gate: e.gate.on_gpu(),
            up: e.up.on_gpu(),
            down: e.down.on_gpu(),
            tokens: &[0],
            first_row,
        })
        .collect();
    let mut out = f.gpu.zeros(5 * HIDDEN).unwrap();
    if f.emulator.is_none() {
        return;
    }
    let step = |out: &mut _| {
        f.gpu.wait().unwrap();
        let before = f.counts();
        swiglu(&f.gpu, &x, &tasks, out).unwrap();
        f.gpu.wait().unwrap();
        let after = f.counts();
        [0, 1, 2].map(|i| after[i] - before[i])
    };
    assert_eq!(step(&mut out)[0], 4, "launches the first time");
    // The activations are rounded once.
    assert_eq!(step(&mut out), [3, 0, 0], "launches, copies, allocations");
}

#[test]
fn columns_of_experts_in_another_order() {
    let f = fixture(5);
    let mut random = Random::new(5);
    let order: Vec<u32> = (0..256).rev().collect();
    let weights = |random: &mut Random, rows, cols| {
        Weights::with_order(
            &f,
            random,
            Format::INT4_128,
            [rows, cols],
            Some(order.clone()),
        )
    };
    let experts = [Expert {
        gate: weights(&mut random, 256, HIDDEN),
        up: weights(&mut random, 256, HIDDEN),
        down: weights(&mut random, HIDDEN, 256),
        tokens: vec![1, 0, 2],
    }];
    let x = random.floats(3 * HIDDEN);
    let (got, want) = (on_gpu(&f, &x, &experts, 3), on_cpu(&f, &x, &experts, 3));
    assert_close(&got, &want, TOLERANCE, "in order");
}

#[test]
fn an_expert_of_the_dimensions_of_qwen3_next() {
    let f = fixture(9);
    let mut random = Random::new(9);
    let (hidden, inner) = (2048, 512);
    let gate = Weights::new(&f, &mut random, Format::Q4K, inner, hidden);
    let up = Weights::new(&f, &mut random, Format::Q4K, inner, hidden);
    let down = Weights::new(&f, &mut random, Format::Q6K, hidden, inner);
    let x = random.floats(2 * hidden);
    let mut out = f.gpu.zeros(2 * hidden).unwrap();
    let task = ExpertTask {
        gate: gate.on_gpu(),
        up: up.on_gpu(),
        down: down.on_gpu(),
        tokens: &[1, 0],
        first_row: 0,
    };
    swiglu(&f.gpu, &put(&f, &x), &[task], &mut out).unwrap();
    let mut want = vec![0.0; 2 * hidden];
    let task = cpu::ExpertTask {
        gate: gate.on_cpu(),
        up: up.on_cpu(),
        down: down.on_cpu(),
        tokens: &[1, 0],
        out: &mut want,
    };
    cpu::swiglu(&f.c, &x, &mut [task]);
    assert_close(&out.read().unwrap(), &want, TOLERANCE, "an expert");
}

#[test]
fn the_router_chooses_like_the_cpu() {
    let f = fixture(6);
    let mut random = Random::new(6);
    for (experts, k) in [(512, 10), (5, 5), (33, 2), (2048, 8)] {
        let mut logits = random.floats(3 * experts);
        // Of equals the first; what is no number is the lowest.
        logits[1] = logits[0];
        logits[2] = f32::NAN;
        for normalise in [true, false] {
            let (ids, weights) =
                router_topk(&f.gpu, &put(&f, &logits), experts, k, normalise).unwrap();
            let (weights, ids) = f.gpu.read(&[&weights], &[&ids]).unwrap();
            let (mut want_ids, mut want) = (vec![0; 3 * k], vec![0.0; 3 * k]);
            cpu::router_topk(&logits, experts, k, normalise, &mut want_ids, &mut want);
            assert_eq!(ids[0], want_ids);
            assert_close(&weights[0], &want, 1e-5, "weights");
        }
    }
}

#[test]
fn a_broken_router_still_chooses_different_experts() {
    let f = fixture(7);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (ids, _) = router_topk(&f.gpu, &put(&f, &[bad; 8]), 8, 3, true).unwrap();
        assert_eq!(ids.read().unwrap(), [0, 1, 2], "{bad}");
    }
}

#[test]
fn experts_are_summed_in_the_order_of_the_choice() {
    let f = fixture(8);
    let mut random = Random::new(8);
    // Few rows travel with the launch, many do not.
    for (t, width, k) in [(2, 300, 3), (1, 2048, 10), (5, 64, 10)] {
        let outputs = random.floats(t * k * width);
        let (before, weights) = (random.floats(t * width), random.floats(t * k));
        let (shared, gate) = (random.floats(t * width), random.floats(t));
        let rows: Vec<usize> = (0..t * k)
            .map(|_| random.next() as usize % (t * k))
            .collect();
        let mut sum = vec![0.0; t * width];
        cpu::weighted_rows(&f.c, &outputs, &rows, &weights, k, &mut sum);
        let added =
            |sum: &[f32]| -> Vec<f32> { before.iter().zip(sum).map(|(x, sum)| x + sum).collect() };
        let numbers: Vec<u32> = rows.iter().map(|row| *row as u32).collect();
        let [on_outputs, on_weights, on_shared, on_gate] =
            [&outputs, &weights, &shared, &gate].map(|values| put(&f, values));
        let mix = |rows: &[u32], shared| {
            let mut x = put(&f, &before);
            add_experts(&f.gpu, &mut x, &on_outputs, rows, &on_weights, shared, k).unwrap();
            x.read().unwrap()
        };
        assert_same(&mix(&numbers, None), &added(&sum), "all rows");
        cpu::add_scaled_sigmoid(&f.c, &mut sum, &shared, &gate);
        let got = mix(&numbers, Some((&on_shared, &on_gate)));
        assert_close(&got, &added(&sum), 1e-6, "with a shared expert");
        // A row that is not there counts nothing.
        let mut some = numbers.clone();
        some[k - 1] = u32::MAX;
        let got = mix(&some, None);
        for (column, got) in got[..width].iter().enumerate() {
            let choices = rows[..k - 1].iter().zip(&weights);
            let sum = choices.fold(0.0, |sum, (row, weight)| {
                weight.mul_add(outputs[row * width + column], sum)
            });
            assert!((got - before[column] - sum).abs() < 1e-5, "column {column}");
        }
    }
}
