//! Memory is counted, mistakes of callers are found, and what is told to go wrong
//! does.

use std::ptr::null_mut;

use nvml_wrapper::Nvml;

use crate::driver::{Address, Gpu};
use crate::streams::{LEN, add};

#[test]
fn memory_is_counted_as_nvml_does() {
    let settings = "vram=64M,context=8M,others=20M";
    let emulator = moestro_cuda_emulator::load(settings);
    let gpu = Gpu::start(&emulator);
    let nvml = Nvml::init().unwrap();
    let device = nvml.device_by_index(0).unwrap();
    assert_eq!(device.name().unwrap(), "Emulated GPU");
    assert_eq!(nvml.sys_driver_version().unwrap(), "535.104.05");
    let free = || {
        let (mut free, mut total) = (0, 0);
        assert_eq!(gpu.memory_info(&mut free, &mut total), 0);
        let memory = device.memory_info().unwrap();
        assert_eq!((memory.free, memory.total), (free as u64, total as u64));
        free >> 20
    };
    assert_eq!(free(), 36);
    let large = gpu.bytes(30 << 20);
    assert_eq!(free(), 6);
    let mut at = 0;
    assert_eq!(gpu.alloc(&mut at, 7 << 20), 2);
    let small: Vec<Address> = (0..10).map(|_| gpu.bytes(1000)).collect();
    assert_eq!(free(), 4);
    let processes = device.running_compute_processes().unwrap();
    assert_eq!(processes.len(), 1);
    assert_eq!(processes[0].pid, std::process::id());
    for at in small.into_iter().chain([large]) {
        assert_eq!(gpu.free(at), 0);
    }
    assert_eq!(free(), 36);
    // Another program takes what is left.
    emulator.change("vram=64M,context=8M,others=56M");
    assert_eq!(gpu.alloc(&mut at, 1), 2);
}

/// Runs in the process that the next test starts: says what it sees.
#[test]
#[ignore = "a part of another test"]
fn of_another_process() {
    // SAFETY: the stand-in's initialisers fill tables of its own.
    let driver = unsafe { libloading::Library::new("libcuda.so.1") };
    assert!(driver.is_ok(), "{driver:?}");
    let nvml = Nvml::init().unwrap();
    let memory = nvml.device_by_index(0).unwrap().memory_info().unwrap();
    println!("{} MiB are used", memory.used >> 20);
}

#[test]
fn processes_see_each_other() {
    let file = std::env::temp_dir().join(format!("emulated-gpu-{}", std::process::id()));
    let settings = format!("vram=64M,context=8M,shared={}", file.display());
    let emulator = moestro_cuda_emulator::load(&settings);
    let gpu = Gpu::start(&emulator);
    gpu.bytes(10 << 20);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "memory::of_another_process",
            "--ignored",
            "--nocapture",
        ])
        .env("LD_LIBRARY_PATH", moestro_cuda_emulator::folder())
        .env("MOESTRO_EMULATED_GPU", &settings)
        .output()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("18 MiB are used"), "{text}");
}

#[test]
fn what_is_told_to_fail_fails() {
    let emulator = moestro_cuda_emulator::load("fail=launch:3");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let a = gpu.upload(&vec![1.0f32; LEN], stream);
    let run = |times| {
        for _ in 0..times {
            match add(&gpu, a, a, a, stream) {
                0 => {}
                code => return code,
            }
        }
        gpu.stream_wait(stream)
    };
    assert_eq!(run(2), 0);
    assert_eq!(emulator.count("launches"), 2);
    assert_eq!(run(1), 719);
    assert_eq!(run(1), 719);
    // A new context is whole again.
    assert_eq!(gpu.release(0), 0);
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    gpu.upload(&[1.0f32; 4], stream);
    assert_eq!(gpu.stream_wait(stream), 0);

    emulator.change("lost=copy:2,full=4");
    let a = gpu.upload(&[1.0f32; 4], stream);
    assert_eq!(gpu.download::<f32>(a, 4, stream), Err(999));
    assert_eq!(gpu.alloc(&mut 0, 4), 999);
    assert_eq!(gpu.release(0), 0);
    assert_eq!(gpu.retain(&mut null_mut(), 0), 999);

    emulator.change("fail=alloc:2");
    let gpu = Gpu::start(&emulator);
    let codes: Vec<u32> = (0..3).map(|_| gpu.alloc(&mut 0, 4)).collect();
    assert_eq!(codes, [0, 2, 0]);
}

#[test]
fn garbage_is_written_by_the_kernel_named() {
    let emulator = moestro_cuda_emulator::load("garbage=emulator_add");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let a = gpu.upload(&vec![1.0f32; LEN], stream);
    let out = gpu.bytes(LEN * 4);
    add(&gpu, a, a, out, stream);
    let sum: Vec<f32> = gpu.download(out, LEN, stream).unwrap();
    assert!(sum.iter().filter(|x| **x == 2.0).count() < 5);
    let untouched: Vec<f32> = gpu.download(a, LEN, stream).unwrap();
    assert_eq!(untouched, [1.0; LEN]);
}

#[test]
fn callers_are_checked() {
    let emulator = moestro_cuda_emulator::load("faults=report");
    let gpu = Gpu::start(&emulator);
    // No context on another thread.
    let elsewhere = std::thread::scope(|scope| {
        let alloc = || {
            let module = null_mut();
            let emulator = &emulator;
            Gpu { emulator, module }.alloc(&mut 0, 4)
        };
        scope.spawn(alloc).join().unwrap()
    });
    assert_eq!(elsewhere, 201);

    let stream = gpu.stream();
    let a = gpu.bytes(16);
    let data = [0u8; 17];
    assert_eq!(gpu.to_device(a, data.as_ptr().cast(), 17, stream), 1);
    assert!(
        emulator.fault().contains("an allocation of 16 bytes"),
        "{}",
        emulator.fault()
    );

    drop(emulator);
    let emulator = moestro_cuda_emulator::load("faults=report,seed=2");
    let gpu = Gpu::start(&emulator);
    let stream = gpu.stream();
    let a = gpu.bytes(16);
    let mut pinned = null_mut();
    gpu.host_alloc(&mut pinned, 16, 0);
    for _ in 0..10 {
        gpu.to_device(a, pinned, 16, stream);
    }
    assert_eq!(gpu.host_free(pinned), 1);
    assert!(emulator.fault().contains("still needs this memory"));
}

#[test]
fn there_may_be_no_gpu() {
    let emulator = moestro_cuda_emulator::load("devices=0");
    let gpu = Gpu {
        emulator: &emulator,
        module: null_mut(),
    };
    assert_eq!(gpu.init(0), 100);
    assert_eq!(Nvml::init().unwrap().device_count().unwrap(), 0);
}
