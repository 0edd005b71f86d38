//! Finding, opening and refusing a GPU.

use crate::common::{BUDGET, emulated, fixture, kernels};
use moestro_cuda::{CudaError, Gpu, Kernels, free_vram, probe};

#[test]
fn a_gpu_is_described_without_leaving_a_context() {
    let settings = "devices=2,vram=2G,others=512M,context=64M,name=Test GPU,capability=8.6";
    let Some(emulator) = emulated(settings) else {
        return;
    };
    let gpus = probe().unwrap();
    assert_eq!(gpus.len(), 2);
    assert_ne!(gpus[0].uuid, gpus[1].uuid);
    let gpu = &gpus[0];
    assert_eq!(gpu.name, "Test GPU");
    assert_eq!(gpu.capability, (8, 6));
    assert_eq!(gpu.total, 2 << 30);
    let free = free_vram(0).unwrap();
    assert!(free <= 3 << 29, "{free} are free");
    assert_eq!(emulator.count("used"), 512 << 20, "the context is gone");
}

#[test]
fn the_kernels_pass_their_test() {
    for seed in 1..4 {
        let f = fixture(seed);
        assert_eq!(f.gpu.budget(), BUDGET);
        assert_eq!(f.gpu.used(), 0, "the test leaves nothing");
        assert_eq!(f.gpu.lost(), None);
    }
}

#[test]
fn no_gpu_of_that_number() {
    let Some(_emulator) = emulated("devices=1") else {
        return;
    };
    let error = Gpu::open_with(3, BUDGET, &kernels()).unwrap_err();
    assert!(matches!(
        error,
        CudaError::NoDevice {
            ordinal: 3,
            count: 1
        }
    ));
}

#[test]
fn a_build_without_kernels_says_so() {
    if let Err(error) = Kernels::embedded() {
        assert!(matches!(error, CudaError::NoKernels));
        assert!(error.to_string().contains("no GPU kernels"));
    }
}

#[test]
fn too_old_a_gpu_is_refused() {
    let Some(_emulator) = emulated("capability=6.1,name=Old") else {
        return;
    };
    let error = Gpu::open_with(0, BUDGET, &kernels()).unwrap_err();
    assert!(
        error.to_string().contains("Old has compute capability 6.1"),
        "{error}"
    );
}

#[test]
fn kernels_that_the_driver_refuses_are_an_error() {
    let Some(emulator) = emulated("image=209") else {
        return;
    };
    let error = Gpu::open_with(0, BUDGET, &kernels()).unwrap_err();
    assert!(
        matches!(error, CudaError::Driver { code: 209, .. }),
        "{error}"
    );
    assert_eq!(emulator.count("used"), 0, "nothing is left behind");
}

#[test]
fn a_kernel_that_returns_garbage_is_found_and_named() {
    for kernel in [
        "matmul_q4_k_1",
        "matmul_f32_16",
        "quantize",
        "rows_q6_k",
        "norm_wide",
        "rope",
        "append_f16",
        "attention_f16_8",
        "attention_merge",
        "causal_conv_silu",
        "delta_rule_32",
        "router_topk",
        "add_experts",
    ] {
        let Some(emulator) = emulated(&format!("garbage={kernel}")) else {
            return;
        };
        let error = Gpu::open_with(0, BUDGET, &kernels()).unwrap_err();
        assert!(
            matches!(error, CudaError::SelfTest { .. }),
            "{kernel}: {error}"
        );
        assert!(error.to_string().contains("not used"), "{error}");
        if kernel.starts_with("matmul") || kernel.starts_with("rows") {
            assert!(error.to_string().contains(kernel), "{kernel}: {error}");
        }
        assert_eq!(emulator.count("used"), 0, "nothing is left behind");
    }
}
