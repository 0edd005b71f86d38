//! Engines on a GPU: over the stand-in for its driver, or on an actual one.

use moestro_cuda::Kernels;
use moestro_engine::protocol::{GpuInfo, Hardware, MemorySettings};
use moestro_engine::{LoadOptions, Precision, hardware};

pub const GIB: u64 = 1 << 30;

/// Is an actual GPU tested? Asked for with `MOESTRO_TEST_GPU=0`.
pub fn actual() -> bool {
    let number = std::env::var("MOESTRO_TEST_GPU").ok();
    let first = number.as_deref().is_none_or(|number| number == "0");
    assert!(first, "choose the GPU with CUDA_VISIBLE_DEVICES");
    number.is_some()
}

/// This machine, with a GPU of 2 GiB that the stand-in shows.
pub fn emulated_machine() -> Hardware {
    Hardware {
        gpus: vec![GpuInfo {
            name: "Emulated GPU".into(),
            vram_total: 2 * GIB,
            vram_free: 2 * GIB,
            driver: "535".into(),
        }],
        gpu_note: String::new(),
        ..hardware::probe()
    }
}

pub fn emulated_kernels() -> Kernels {
    Kernels::from_image(b"emulated".to_vec())
}

/// Options with which a model goes to the stand-in.
pub fn emulated(precision: Precision, vram: u64, experts_vram: Option<usize>) -> LoadOptions {
    LoadOptions {
        memory: MemorySettings {
            vram_budget: Some(vram),
            context: Some(1024),
            experts_vram,
            ..MemorySettings::default()
        },
        threads: Some(2),
        precision,
        gpu_kernels: Some(emulated_kernels()),
        ..LoadOptions::default()
    }
}
