//! Streams keep only the order that events give.

use std::ffi::c_void;
use std::ptr::null_mut;

use crate::driver::{Address, Gpu, NOT_READY, argument};

pub const LEN: usize = 1000;

pub fn add(gpu: &Gpu, a: Address, b: Address, out: Address, stream: *mut c_void) -> u32 {
    #[repr(C)]
    struct Vectors {
        a: Address,
        b: Address,
        out: Address,
        len: u32,
    }
    let vectors = Vectors {
        a,
        b,
        out,
        len: LEN as u32,
    };
    gpu.launch("emulator_add", 4, 256, stream, &mut [argument(&vectors)])
}

/// Uploads on one stream, adds on another, with the event between them or without.
fn sum_over_two_streams(seed: u64, event: bool) -> Vec<f32> {
    let emulator = moestro_cuda_emulator::load(&format!("seed={seed}"));
    let gpu = Gpu::start(&emulator);
    let (copies, computing) = (gpu.stream(), gpu.stream());
    let values: Vec<f32> = (0..LEN).map(|i| i as f32).collect();
    let a = gpu.upload(&values, copies);
    let b = gpu.upload(&values, copies);
    let out = gpu.bytes(LEN * 4);
    if event {
        let arrived = gpu.event();
        assert_eq!(gpu.event_record(arrived, copies), 0);
        assert_eq!(gpu.stream_wait_event(computing, arrived, 0), 0);
    }
    assert_eq!(add(&gpu, a, b, out, computing), 0);
    gpu.download(out, LEN, computing).unwrap()
}

#[test]
fn a_missing_event_shows() {
    let expected: Vec<f32> = (0..LEN).map(|i| 2.0 * i as f32).collect();
    let right = |event| {
        let seeds = 0..30;
        seeds
            .filter(|seed| sum_over_two_streams(*seed, event) == expected)
            .count()
    };
    assert_eq!(right(true), 30);
    // Now and then the copies are early enough all the same, as on a GPU.
    let lucky = right(false);
    assert!((1..25).contains(&lucky), "{lucky} of 30 were right");
}

#[test]
fn an_event_means_the_recording_before_the_call() {
    for seed in 0..20 {
        let emulator = moestro_cuda_emulator::load(&format!("seed={seed}"));
        let gpu = Gpu::start(&emulator);
        let (first, second, waiting) = (gpu.stream(), gpu.stream(), gpu.stream());
        let values: Vec<f32> = (0..LEN).map(|i| i as f32).collect();
        let event = gpu.event();
        // Never recorded: nothing to wait for.
        assert_eq!(gpu.stream_wait_event(waiting, event, 0), 0);
        let a = gpu.upload(&values, first);
        gpu.event_record(event, first);
        gpu.stream_wait_event(waiting, event, 0);
        // Recorded once more, elsewhere: the wait above is for the first one.
        gpu.event_record(event, second);
        let out = gpu.bytes(LEN * 4);
        add(&gpu, a, a, out, waiting);
        let sum: Vec<f32> = gpu.download(out, LEN, waiting).unwrap();
        assert!(sum.iter().zip(&values).all(|(sum, x)| *sum == 2.0 * x));
    }
}

#[test]
fn the_default_stream_waits_for_blocking_ones() {
    for seed in 0..20 {
        let emulator = moestro_cuda_emulator::load(&format!("seed={seed}"));
        let gpu = Gpu::start(&emulator);
        let mut blocking = null_mut();
        assert_eq!(gpu.stream_create(&mut blocking, 0), 0);
        let values = vec![1.0f32; LEN];
        let a = gpu.upload(&values, blocking);
        let out = gpu.bytes(LEN * 4);
        add(&gpu, a, a, out, null_mut());
        add(&gpu, out, out, a, blocking);
        let four: Vec<f32> = gpu.download(a, LEN, blocking).unwrap();
        assert_eq!(four, vec![4.0; LEN]);
    }
}

#[test]
fn pinned_memory_is_read_late_and_other_memory_at_once() {
    let mut late = 0;
    for seed in 0..20 {
        let emulator = moestro_cuda_emulator::load(&format!("seed={seed}"));
        let gpu = Gpu::start(&emulator);
        let stream = gpu.stream();
        let mut pinned = null_mut();
        assert_eq!(gpu.host_alloc(&mut pinned, LEN * 4, 0), 0);
        let pinned: *mut f32 = pinned.cast();
        // SAFETY: so many bytes were allocated.
        let buffer = unsafe { std::slice::from_raw_parts_mut(pinned, LEN) };
        buffer.fill(1.0);
        let a = gpu.bytes(LEN * 4);
        gpu.to_device(a, pinned.cast(), LEN * 4, stream);
        // Too early: the copy may not have read it.
        buffer.fill(2.0);
        let values: Vec<f32> = gpu.download(a, LEN, stream).unwrap();
        late += usize::from(values == [2.0; LEN]);

        let mut pageable = vec![1.0f32; LEN];
        gpu.to_device(a, pageable.as_ptr().cast(), LEN * 4, stream);
        pageable.fill(2.0);
        let values: Vec<f32> = gpu.download(a, LEN, stream).unwrap();
        assert_eq!(values, [1.0; LEN]);
        gpu.host_free(pinned.cast());
    }
    assert!(late >= 10, "{late} of 20 were read late");
}

#[test]
fn work_waits_until_somebody_asks() {
    let emulator = moestro_cuda_emulator::load("seed=2");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let values = vec![1.0f32; LEN];
    let a = gpu.upload(&values, stream);
    let event = gpu.event();
    gpu.event_record(event, stream);
    assert!(emulator.count("pending") > 0);
    let asked = (1..).find(|_| gpu.event_query(event) != NOT_READY).unwrap();
    assert!((2..100).contains(&asked), "{asked} queries");
    assert_eq!(emulator.count("pending"), 0);
    assert_eq!(gpu.free(a), 0);
}
