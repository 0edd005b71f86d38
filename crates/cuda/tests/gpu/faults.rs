//! A GPU that fails in the middle of the work.

use crate::common::{BUDGET, emulated, fixture, kernels, put};
use moestro_cuda::{CudaError, Gpu, Slots, add};

/// What every call says from now on.
#[track_caller]
fn assert_lost(gpu: &Gpu) {
    assert!(gpu.lost().is_some());
    let errors = [
        gpu.wait().unwrap_err(),
        gpu.array(&[1.0]).unwrap_err(),
        gpu.bytes(10).unwrap_err(),
        gpu.free_vram().unwrap_err(),
        gpu.measure().unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, CudaError::Lost(_)), "{error}");
    }
}

#[test]
fn a_kernel_that_fails_ends_the_use_of_the_gpu() {
    let f = fixture(1);
    let Some(emulator) = &f.emulator else {
        return;
    };
    let (mut x, y) = (put(&f, &[1.0; 8]), put(&f, &[1.0; 8]));
    f.gpu.wait().unwrap();
    emulator.change("fail=launch:1");
    // The launch itself may or may not know.
    let launched = add(&f.gpu, &mut x, &y);
    let error = launched.and_then(|()| x.read()).unwrap_err();
    assert!(matches!(error, CudaError::Lost(_)), "{error}");
    assert!(error.to_string().contains("restart"), "{error}");
    assert_lost(&f.gpu);
}

#[test]
fn a_lost_device_is_noticed_by_the_next_call() {
    for what in ["launch", "copy"] {
        let f = fixture(2);
        let Some(emulator) = &f.emulator else {
            return;
        };
        let (mut x, y) = (put(&f, &[1.0; 8]), put(&f, &[1.0; 8]));
        f.gpu.wait().unwrap();
        emulator.change(&format!("lost={what}:1"));
        let worked = add(&f.gpu, &mut x, &y).and_then(|()| x.read());
        assert!(
            matches!(worked, Err(CudaError::Lost(_))),
            "{what}: {worked:?}"
        );
        assert_lost(&f.gpu);
    }
}

#[test]
fn uploads_to_a_lost_device_fail() {
    let f = fixture(3);
    let Some(emulator) = &f.emulator else {
        return;
    };
    let mut slots = Slots::new(&f.gpu, 1, [100; 3]).unwrap();
    emulator.change("lost=copy:1");
    let data = [0; 100];
    let uploaded = slots.upload(0, [&data; 3]).and_then(|()| {
        while !slots.arrived(0)? {}
        Ok(())
    });
    assert!(matches!(uploaded, Err(CudaError::Lost(_))), "{uploaded:?}");
    assert!(slots.upload(0, [&data; 3]).is_err());
}

#[test]
fn a_device_that_is_lost_while_it_is_tested_is_an_error() {
    let Some(_emulator) = emulated("fail=launch:20") else {
        return;
    };
    let error = Gpu::open_with(0, BUDGET, &kernels()).unwrap_err();
    assert!(matches!(error, CudaError::Lost(_)), "{error}");
}
