//! Slots that are filled, used, written over and resized, whatever the streams do.

use crate::common::{Fixture, Random, assert_close, fixture, put, random_matrix};
use moestro_cuda::{Array, ExpertTask, Slots, matmul, swiglu};
use moestro_kernels::{self as cpu, Format};

const WIDTH: usize = 64;
const FORMAT: Format = Format::Q8_0;

/// The three matrices of an expert.
struct Expert([Vec<u8>; 3]);

impl Expert {
    fn new(random: &mut Random) -> Expert {
        Expert([0, 1, 2].map(|_| random_matrix(random, FORMAT, WIDTH, WIDTH)))
    }

    fn parts(&self) -> [&[u8]; 3] {
        [&self.0[0], &self.0[1], &self.0[2]]
    }

    fn output(&self, f: &Fixture, x: &[f32]) -> Vec<f32> {
        let matrix = |i: usize| cpu::Matrix::new(FORMAT, WIDTH, WIDTH, &self.0[i]).unwrap();
        let mut out = vec![0.0; x.len()];
        let task = cpu::ExpertTask {
            gate: matrix(0),
            up: matrix(1),
            down: matrix(2),
            tokens: &[0],
            out: &mut out,
        };
        cpu::swiglu(&f.c, x, &mut [task]);
        out
    }
}

fn slots(f: &Fixture, count: usize) -> Slots {
    let bytes = cpu::packed_bytes(FORMAT, WIDTH, WIDTH).unwrap();
    Slots::new(&f.gpu, count, [bytes; 3]).unwrap()
}

/// Computes with some slots; the results are theirs in order.
fn compute(f: &Fixture, slots: &Slots, which: &[usize], x: &[f32]) -> Array {
    let tasks: Vec<ExpertTask> = which
        .iter()
        .enumerate()
        .map(|(first_row, slot)| {
            let matrix = |part| slots.matrix(*slot, part, FORMAT, WIDTH, WIDTH).unwrap();
            ExpertTask {
                gate: matrix(0),
                up: matrix(1),
                down: matrix(2),
                tokens: &[0],
                first_row,
            }
        })
        .collect();
    let mut out = f.gpu.zeros(which.len() * WIDTH).unwrap();
    swiglu(&f.gpu, &put(f, x), &tasks, &mut out).unwrap();
    out
}

#[test]
fn a_slot_is_computed_as_soon_as_it_is_there() {
    for seed in 0..6 {
        let f = fixture(seed);
        let mut random = Random::new(seed);
        let mut slots = slots(&f, 3);
        assert!(!slots.arrived(1).unwrap(), "nothing was uploaded");
        let expert = Expert::new(&mut random);
        let x = random.floats(WIDTH);
        slots.upload(1, expert.parts()).unwrap();
        let out = compute(&f, &slots, &[1], &x).read().unwrap();
        assert_close(&out, &expert.output(&f, &x), 1e-3, "at once");
        assert!(slots.arrived(1).unwrap(), "it was waited for");
    }
}

#[test]
fn a_slot_is_not_written_over_while_it_is_read() {
    for seed in 0..12 {
        let f = fixture(seed);
        let mut random = Random::new(100 + seed);
        let mut slots = slots(&f, 2);
        let x = random.floats(WIDTH);
        let mut results = Vec::new();
        let mut kept = Expert::new(&mut random);
        slots.upload(0, kept.parts()).unwrap();
        // Far more turns than there are pinned buffers or marks of uses, none awaited.
        for _ in 0..100 {
            let next = Expert::new(&mut random);
            slots.upload(1, next.parts()).unwrap();
            let out = compute(&f, &slots, &[0, 1], &x);
            let want = [kept.output(&f, &x), next.output(&f, &x)].concat();
            results.push((out, want));
            if random.next().is_multiple_of(4) {
                kept = Expert::new(&mut random);
                slots.upload(0, kept.parts()).unwrap();
            }
        }
        for (out, want) in results {
            assert_close(&out.read().unwrap(), &want, 1e-3, "in its turn");
        }
    }
}

#[test]
fn uploads_return_before_they_arrive() {
    let f = fixture(1);
    let mut random = Random::new(1);
    let mut slots = slots(&f, 8);
    let expert = Expert::new(&mut random);
    let mut waiting = 0;
    for slot in 0..4 {
        assert!(slots.has_room().unwrap());
        slots.upload(slot, expert.parts()).unwrap();
        waiting += u32::from(!slots.arrived(slot).unwrap());
    }
    assert!(waiting > 0, "at least one was still under way");
    // Asking often enough it comes true, without any other wait.
    let mut asked = 0;
    while !(0..4).all(|slot| slots.arrived(slot).unwrap()) {
        asked += 1;
        assert!(asked < 10_000);
    }
}

#[test]
fn resizing_keeps_the_first_slots_and_gives_memory_back() {
    let f = fixture(2);
    let mut random = Random::new(2);
    // Parts of a mebibyte: a chunk has four slots, of even mebibytes.
    let mut slots = Slots::new(&f.gpu, 12, [1 << 20; 3]).unwrap();
    let all = f.gpu.used();
    assert!(slots.bytes() >= 36 << 20 && slots.bytes() == all);
    let expert = Expert::new(&mut random);
    let x = random.floats(WIDTH);
    for slot in [0, 11] {
        slots.upload(slot, expert.parts()).unwrap();
    }
    let before = compute(&f, &slots, &[0, 11], &x);
    slots.resize(2).unwrap();
    assert_eq!((slots.len(), slots.bytes()), (2, 12 << 20));
    assert!(f.gpu.used() < all - (23 << 20));
    assert!(slots.matrix(2, 0, FORMAT, WIDTH, WIDTH).is_none());
    slots.resize(7).unwrap();
    assert!(slots.arrived(0).unwrap() && !slots.arrived(6).unwrap());
    slots.upload(6, expert.parts()).unwrap();
    let after = compute(&f, &slots, &[0, 6], &x);
    let want = expert.output(&f, &x);
    for out in [before, after] {
        assert_close(&out.read().unwrap(), &want.repeat(2), 1e-3, "kept");
    }
    f.gpu.set_budget(f.gpu.used());
    let held = slots.bytes();
    assert!(slots.resize(1000).is_err());
    assert_eq!((slots.len(), slots.bytes()), (7, held), "as it was");
}

#[test]
fn an_expert_can_move_to_another_slot() {
    for seed in 0..12 {
        let f = fixture(seed);
        let mut random = Random::new(seed);
        let mut slots = slots(&f, 3);
        let x = random.floats(WIDTH);
        let [a, b, c] = [0, 1, 2].map(|_| Expert::new(&mut random));
        slots.upload(0, a.parts()).unwrap();
        slots.upload(2, b.parts()).unwrap();
        let before = compute(&f, &slots, &[2], &x);
        // Behind the upload of the one and the use of the other, before the next.
        slots.relocate(0, 2).unwrap();
        slots.upload(0, c.parts()).unwrap();
        let after = compute(&f, &slots, &[2, 0], &x);
        // What was moved is written over in its turn.
        slots.upload(2, b.parts()).unwrap();
        let last = compute(&f, &slots, &[2], &x);
        assert_close(&before.read().unwrap(), &b.output(&f, &x), 1e-3, "before");
        let want = [a.output(&f, &x), c.output(&f, &x)].concat();
        assert_close(&after.read().unwrap(), &want, 1e-3, "moved");
        assert_close(&last.read().unwrap(), &b.output(&f, &x), 1e-3, "last");
        slots.relocate(1, 0).unwrap();
        assert!(
            slots.arrived(2).unwrap() && !slots.arrived(0).unwrap(),
            "nothing was there"
        );
    }
}

#[test]
fn an_expert_moves_behind_uploads_that_are_under_way() {
    for seed in 0..12 {
        for first in [0, 1] {
            let f = fixture(seed);
            let mut random = Random::new(seed);
            let mut slots = slots(&f, 2);
            let x = random.floats(WIDTH);
            let experts = [0, 1].map(|_| Expert::new(&mut random));
            for slot in [first, 1 - first] {
                slots.upload(slot, experts[slot].parts()).unwrap();
            }
            slots.relocate(0, 1).unwrap();
            let got = compute(&f, &slots, &[1], &x).read().unwrap();
            assert_close(&got, &experts[0].output(&f, &x), 1e-3, "moved");
        }
    }
}

#[test]
fn a_part_may_hold_an_order_of_columns() {
    let f = fixture(3);
    let mut random = Random::new(3);
    let (rows, cols) = (16, 128);
    let packed = random_matrix(&mut random, Format::INT4_128, rows, cols);
    let order: Vec<u8> = (0..cols as u32).rev().flat_map(u32::to_le_bytes).collect();
    let part = [packed.clone(), order.clone()].concat();
    let mut slots = Slots::new(&f.gpu, 1, [part.len(), 0, 0]).unwrap();
    slots.upload(0, [&part, &[], &[]]).unwrap();
    let w = slots.matrix(0, 0, Format::INT4_128, rows, cols).unwrap();
    assert!(w.ordered(packed.len() + 4).is_none(), "beyond the part");
    let w = w.ordered(packed.len()).unwrap();
    let x = random.floats(cols);
    let got = matmul(&f.gpu, w, &put(&f, &x)).unwrap().read().unwrap();
    let w = cpu::Matrix::new(Format::INT4_128, rows, cols, &packed).unwrap();
    let mut want = vec![0.0; rows];
    cpu::matmul(&f.c, w.ordered(&order).unwrap(), &x, &mut want);
    assert_close(&got, &want, 1e-5, "ordered");
}

#[test]
fn what_does_not_fit_a_part_is_no_matrix() {
    let f = fixture(4);
    let slots = slots(&f, 1);
    assert!(slots.matrix(0, 0, FORMAT, WIDTH + 16, WIDTH).is_none());
    assert!(slots.matrix(0, 3, FORMAT, WIDTH, WIDTH).is_none());
    assert!(
        slots.matrix(0, 0, Format::Q4K, WIDTH, WIDTH).is_none(),
        "no whole blocks"
    );
}
