//! Kernels compute what CUDA says, and mistakes in them are found.

use std::ptr::null_mut;

use crate::driver::{Gpu, argument};

#[test]
fn shuffles_and_barriers_add_up() {
    let emulator = moestro_cuda_emulator::load("seed=3");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let (rows, columns) = (50u32, 300u32);
    let values: Vec<f32> = (0..rows * columns)
        .map(|i| (i % 97) as f32 - 40.0)
        .collect();
    let a = gpu.upload(&values, stream);
    let out = gpu.bytes(rows as usize * 4);
    let mut arguments = [argument(&a), argument(&out), argument(&columns)];
    assert_eq!(
        gpu.launch("emulator_row_sums", rows, 128, stream, &mut arguments),
        0
    );
    let sums = gpu.download::<f32>(out, rows as usize, stream).unwrap();
    let expected: Vec<f32> = values
        .chunks(columns as usize)
        .map(|row| row.iter().sum())
        .collect();
    assert_eq!(sums, expected);
}

#[test]
fn warps_do_what_the_reference_says() {
    let emulator = moestro_cuda_emulator::load("seed=5");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let out = gpu.bytes(32 * 8 * 4);
    let code = gpu.launch("emulator_warp", 1, 32, stream, &mut [argument(&out)]);
    assert_eq!(code, 0);
    let results = gpu.download::<u32>(out, 32 * 8, stream).unwrap();
    let thirds = (0..32).filter(|lane| lane % 3 == 0).map(|lane| 1 << lane);
    let thirds: u32 = thirds.sum();
    for (lane, mine) in results.chunks(8).enumerate() {
        let lane = lane as u32;
        let down = if lane < 28 { lane + 4 } else { lane };
        let up = if lane % 8 < 4 { lane } else { lane - 4 };
        let other = if lane < 16 { lane ^ 1 } else { lane ^ 2 };
        // 3 * 4 - 2 * 3 + 2 * 2 - 1 * 1 + 100
        let dot = 109;
        let half = half_bits(0.1 * lane as f32);
        assert_eq!(mine, [30, down, up, thirds, 1, other, dot, half]);
    }
}

/// Of a positive normal number or zero, rounded to nearest even.
fn half_bits(x: f32) -> u32 {
    if x == 0.0 {
        return 0;
    }
    let bits = x.to_bits();
    let rounded = bits + 0xfff + (bits >> 13 & 1);
    (rounded >> 13) - ((127 - 15) << 10)
}

#[test]
fn halves_are_read_exactly() {
    let emulator = moestro_cuda_emulator::load("");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let halves: [u16; 8] = [
        0x0000, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x7c00,
    ];
    let at = gpu.upload(&halves, stream);
    let out = gpu.bytes(8 * 4);
    let mut arguments = [argument(&at), argument(&out), argument(&8u32)];
    assert_eq!(
        gpu.launch("emulator_halves", 1, 1, stream, &mut arguments),
        0
    );
    let values = gpu.download::<f32>(out, 8, stream).unwrap();
    let tiny = 2f32.powi(-24);
    let smallest_normal = 2f32.powi(-14);
    let expected = [
        0.0,
        -0.0,
        1.0,
        -2.0,
        65504.0,
        smallest_normal,
        tiny,
        f32::INFINITY,
    ];
    assert_eq!(values, expected);
}

#[test]
fn a_missing_barrier_shows() {
    let emulator = moestro_cuda_emulator::load("");
    let values: Vec<f32> = (0..256).map(|i| i as f32).collect();
    let reversed: Vec<f32> = values.iter().rev().copied().collect();
    for seed in 0..10 {
        emulator.change(&format!("seed={seed}"));
        let gpu = Gpu::start(&emulator);
        let stream = gpu.stream();
        let reverse = |barrier: u32| {
            let a = gpu.upload(&values, stream);
            let mut arguments = [argument(&a), argument(&barrier)];
            assert_eq!(
                gpu.launch("emulator_reverse", 1, 256, stream, &mut arguments),
                0
            );
            gpu.download::<f32>(a, 256, stream).unwrap()
        };
        assert_eq!(reverse(1), reversed, "seed {seed}");
        assert_ne!(reverse(0), reversed, "seed {seed}");
    }
}

#[test]
fn shared_and_fresh_memory_is_not_a_number() {
    let emulator = moestro_cuda_emulator::load("");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let blocks = 5;
    let fresh = gpu.bytes(64 * blocks * 4);
    let before = gpu.download::<f32>(fresh, 64 * blocks, stream).unwrap();
    assert!(before.iter().all(|x| x.is_nan()));
    let mut arguments = [argument(&fresh)];
    let name = "emulator_reads_unwritten_shared";
    for _ in 0..2 {
        assert_eq!(
            gpu.launch(name, blocks as u32, 64, stream, &mut arguments),
            0
        );
    }
    let after = gpu.download::<f32>(fresh, 64 * blocks, stream).unwrap();
    for block in after.chunks(64) {
        assert!(block[..32].iter().all(|x| *x == 1.0));
        assert!(block[32..].iter().all(|x| x.is_nan()));
    }
}

/// Launches a kernel that goes wrong; what the emulator says about it.
fn fault(name: &str, threads: u32, second: Option<u64>) -> String {
    let emulator = moestro_cuda_emulator::load("faults=report");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let out = gpu.bytes(64 * 4);
    let word = gpu.bytes(4);
    let second = second.unwrap_or_default();
    let mut arguments = [argument(&out), argument(&second), argument(&word)];
    assert_eq!(gpu.launch(name, 1, threads, stream, &mut arguments), 0);
    let code = gpu.download::<f32>(out, 64, stream).unwrap_err();
    assert!(code == 700, "{name}: {code}");
    // It stays so, like after an error of a kernel.
    assert_eq!(gpu.stream_wait(stream), code);
    assert_eq!(gpu.alloc(&mut 0, 4), code);
    let text = emulator.fault();
    assert!(text.contains(name), "{text}");
    text
}

#[test]
fn threads_that_miss_each_other_are_found() {
    let text = fault("emulator_leaves_early", 64, None);
    assert!(
        text.contains("thread (7, 0, 0)") && text.contains("has left"),
        "{text}"
    );
    let text = fault("emulator_two_barriers", 64, None);
    assert!(text.contains("waits for the block"), "{text}");
    let text = fault("emulator_shuffles_without_all", 64, None);
    assert!(
        text.contains("waits for its warp") && text.contains("thread (40, 0, 0)"),
        "{text}"
    );
    let text = fault("emulator_half_a_warp", 48, None);
    assert!(text.contains("does not exist"), "{text}");
}

#[test]
fn accesses_outside_are_found() {
    let text = fault("emulator_writes_at", 1, Some(64));
    assert!(
        text.contains("0 bytes behind an allocation of 256 bytes"),
        "{text}"
    );
    let text = fault("emulator_writes_at", 1, Some(-1100i64 as u64));
    assert!(text.contains("before an allocation"), "{text}");
    let text = fault("emulator_reads_word_at", 1, Some(2));
    assert!(
        text.contains("not aligned") && text.contains("emulator_tests.cu:"),
        "{text}"
    );
    let text = fault("emulator_index_outside", 32, Some(32));
    assert!(text.contains("outside of its array"), "{text}");
}

#[test]
fn launches_are_checked() {
    let emulator = moestro_cuda_emulator::load("");
    let gpu = Gpu::start(&emulator);
    let out = gpu.bytes(4);
    let launch = |name, blocks, threads| {
        gpu.launch(name, blocks, threads, null_mut(), &mut [argument(&out)])
    };
    assert_eq!(launch("no_such_kernel", 1, 1), 500);
    assert_eq!(launch("emulator_leaves_early", 0, 1), 1);
    assert_eq!(launch("emulator_leaves_early", 1, 1025), 1);
    // More than its __launch_bounds__.
    assert_eq!(launch("emulator_leaves_early", 1, 65), 701);
}
