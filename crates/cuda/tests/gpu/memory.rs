//! The budget, the pool and what happens when memory runs out.

use crate::common::{BUDGET, emulated, fixture, kernels, put};
use moestro_cuda::{CudaError, Gpu, KvCache, KvFormat, Matrix, Slots, matmul};
use moestro_kernels::Format;

#[test]
fn freed_buffers_are_used_again() {
    let f = fixture(1);
    let first = f.gpu.zeros(1000).unwrap();
    let held = f.gpu.used();
    assert!(held >= 4000);
    drop(first);
    assert_eq!((f.gpu.used(), f.gpu.idle()), (held, held));
    let before = f.counts();
    let again = f.gpu.zeros(900).unwrap();
    assert_eq!(f.counts()[2], before[2], "of the same class");
    assert_eq!((f.gpu.used(), f.gpu.idle()), (held, 0));
    drop(again);
    f.gpu.trim().unwrap();
    assert_eq!((f.gpu.used(), f.gpu.idle()), (0, 0));
}

#[test]
fn a_buffer_may_change_hands_while_the_gpu_is_behind() {
    for seed in 0..8 {
        let f = fixture(seed);
        let mut kept = Vec::new();
        for i in 0..20 {
            let values = vec![i as f32; 64];
            let array = put(&f, &values);
            // The copy is queued, the original free for the next one.
            kept.push(array.duplicate().unwrap());
        }
        for (i, array) in kept.iter().enumerate() {
            assert_eq!(array.read().unwrap(), vec![i as f32; 64]);
        }
    }
}

#[test]
fn memory_is_given_back_only_when_the_gpu_is_done_with_it() {
    for seed in 0..8 {
        let f = fixture(seed);
        let array = put(&f, &[3.0; 64]);
        let copy = array.duplicate().unwrap();
        drop(array);
        f.gpu.trim().unwrap();
        assert_eq!(copy.read().unwrap(), [3.0; 64]);

        let mut bytes = f.gpu.bytes(4 * 64).unwrap();
        bytes.write(0, &1.5f32.to_le_bytes().repeat(64)).unwrap();
        let matrix = Matrix::new(Format::F32, 1, 64, &bytes, 0).unwrap();
        let product = matmul(&f.gpu, matrix, &copy).unwrap();
        drop(bytes);
        assert_eq!(product.read().unwrap(), [64.0 * 3.0 * 1.5]);
    }
}

#[test]
fn the_budget_is_kept_and_can_change() {
    let f = fixture(2);
    f.gpu.set_budget(10_000);
    let held = f.gpu.zeros(1024).unwrap();
    let error = f.gpu.zeros(4096).unwrap_err();
    let CudaError::OutOfMemory {
        wanted,
        used,
        budget,
        free,
    } = error.clone()
    else {
        panic!("{error}");
    };
    assert_eq!((wanted, used, budget), (16384, 4096, 10_000));
    assert!(free > 0);
    let text = error.to_string();
    assert!(
        text.contains("16.0 KiB more") && text.contains("budget of 9.8 KiB"),
        "{text}"
    );
    f.gpu.set_budget(30_000);
    f.gpu.zeros(4096).unwrap();
    // Below what is in use nothing more is given, and nothing taken.
    f.gpu.set_budget(0);
    assert!(f.gpu.bytes(1).is_err());
    assert_eq!(held.read().unwrap(), vec![0.0; 1024]);
}

#[test]
fn idle_buffers_make_room_within_the_budget() {
    let f = fixture(3);
    drop(f.gpu.zeros(2048).unwrap());
    f.gpu.set_budget(10_000);
    assert_eq!(f.gpu.idle(), 8192);
    let bytes = f.gpu.bytes(9000).unwrap();
    assert_eq!(bytes.len(), 9000);
    assert_eq!(f.gpu.idle(), 0);
}

#[test]
fn a_full_gpu_is_an_error_that_says_how_full() {
    let f = fixture(4);
    let Some(emulator) = &f.emulator else {
        return;
    };
    drop(f.gpu.zeros(100_000).unwrap());
    emulator.change("full=1");
    let error = f.gpu.bytes(1000).unwrap_err();
    assert!(
        matches!(error, CudaError::OutOfMemory { wanted: 1024, .. }),
        "{error}"
    );
    let mut cache = KvCache::new(&f.gpu, 64, KvFormat::F16);
    emulator.change("");
    let rows = f.gpu.zeros(300 * 64).unwrap();
    emulator.change("full=1");
    assert!(cache.append(&rows, &rows, 0..300).is_err());
    assert_eq!((cache.positions(), cache.bytes()), (0, 0), "as it was");
    assert!(Slots::new(&f.gpu, 2, [1000; 3]).is_err());
    emulator.change("");
    cache.append(&rows, &rows, 0..300).unwrap();
    assert_eq!(cache.positions(), 300);
}

#[test]
fn one_failed_allocation_is_tried_again_with_what_was_idle() {
    let f = fixture(5);
    let Some(emulator) = &f.emulator else {
        return;
    };
    drop(f.gpu.zeros(100_000).unwrap());
    emulator.change("fail=alloc:1");
    assert_eq!(f.gpu.bytes(1000).unwrap().len(), 1000);
    assert_eq!(f.gpu.idle(), 0);
}

#[test]
fn everything_goes_when_the_last_part_goes() {
    let Some(emulator) = emulated("context=64M") else {
        return;
    };
    let gpu = Gpu::open_with(0, BUDGET, &kernels()).unwrap();
    let array = gpu.array(&[1.0, 2.0]).unwrap();
    drop(gpu);
    assert_eq!(array.read().unwrap(), [1.0, 2.0], "an array keeps its GPU");
    assert!(emulator.count("used") >= 64 << 20);
    drop(array);
    assert_eq!(emulator.count("used"), 0);
}

#[test]
fn values_come_and_go() {
    let f = fixture(6);
    let mut array = put(&f, &[1.0, 2.0, 3.0, 4.0]);
    array.write(1, &[7.0, 8.0]).unwrap();
    assert_eq!(array.read().unwrap(), [1.0, 7.0, 8.0, 4.0]);
    let part = array.slice(1..3).unwrap();
    array.copy_from(2, &part, 0..2).unwrap();
    let numbers = f.gpu.indices(&[5, 6]).unwrap();
    let (floats, numbers) = f.gpu.read(&[&array, &part], &[&numbers]).unwrap();
    assert_eq!(floats, [vec![1.0, 7.0, 7.0, 8.0], vec![7.0, 8.0]]);
    assert_eq!(numbers, [vec![5, 6]]);
    array.clear().unwrap();
    assert_eq!(array.read().unwrap(), [0.0; 4]);
    let none = put(&f, &[]);
    assert!(none.is_empty() && none.read().unwrap().is_empty());
}

#[test]
fn more_than_the_ring_holds_arrives_whole() {
    let f = fixture(7);
    let values: Vec<f32> = (0..5_000_000).map(|i| i as f32).collect();
    let array = put(&f, &values);
    assert!(array.read().unwrap() == values);
}

#[test]
fn rates_are_measured() {
    let f = fixture(8);
    let rates = f.gpu.measure().unwrap();
    assert!(rates.upload > 1e6 && rates.upload.is_finite());
    assert!(rates.launch > 0.0 && rates.launch < 1.0);
    assert!(rates.memory > 1e6 && rates.memory.is_finite());
    assert_eq!(f.gpu.used(), f.gpu.idle(), "nothing is left in use");
}
