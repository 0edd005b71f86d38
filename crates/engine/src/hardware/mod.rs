//! What this machine has: RAM and CPU through sysinfo and std, GPUs through NVML.
//! Works without a driver and says so.

mod memory;
mod sensors;

use std::time::Instant;

use moestro_cuda::{CudaError, Kernels};
use moestro_kernels::{Compute, read_all};
use nvml_wrapper::Nvml;
use nvml_wrapper::struct_wrappers::device::MemoryInfo;
use sysinfo::{CpuRefreshKind, Pid, ProcessRefreshKind, RefreshKind, System};

pub use self::memory::pressure;
pub use self::sensors::Sensors;
use crate::protocol::{GpuInfo, Hardware};

/// Reads the machine once. RAM that this process holds counts as available,
/// because it is ours to use again.
pub fn probe() -> Hardware {
    probe_instead_of(std::process::id())
}

/// Reads the machine as if the process `pid` had ended: a model that is loaded
/// there makes room for the next one.
pub fn probe_instead_of(pid: u32) -> Hardware {
    let what = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(what).ok();
    let (total, available) = memory::total_and_available();
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
    let (gpus, gpu_note) = gpus();
    let brand = system.and_then(|s| Some(s.cpus().first()?.brand().trim().to_string()));
    Hardware {
        cpu: brand
            .filter(|b| !b.is_empty())
            .unwrap_or_else(|| "unknown processor".into()),
        physical_cores: System::physical_core_count()
            .unwrap_or(logical)
            .min(logical),
        logical_cores: logical,
        cpu_features: cpu_features(),
        kernels: Compute::new(1).isa().to_string(),
        ram_total: total,
        ram_available: (available + resident_bytes(pid)).min(total),
        gpus,
        gpu_note,
    }
}

/// RAM that could be taken now without swapping, in bytes.
pub fn ram_available() -> u64 {
    memory::total_and_available().1
}

/// Resident bytes of this process.
pub fn process_bytes() -> u64 {
    resident_bytes(std::process::id())
}

/// Resident bytes of the process `pid`; 0 if there is none.
fn resident_bytes(pid: u32) -> u64 {
    let pid = Pid::from_u32(pid);
    let Ok(mut system) = System::new() else {
        return 0;
    };
    let only = sysinfo::ProcessesToUpdate::Some(&[pid]);
    system.refresh_processes_specifics(only, false, ProcessRefreshKind::nothing().with_memory());
    system.process(pid).map_or(0, |p| p.memory())
}

/// Most bytes that were ever resident in this process; 0 where Linux does not tell.
pub fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Bytes per second that the threads of `compute` read from memory together: the
/// best of five passes over more than any cache holds.
pub fn read_bandwidth(compute: &Compute) -> f64 {
    let memory = vec![1.0f32; (512 << 20) / 4];
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        read_all(compute, &memory);
        best = best.min(start.elapsed().as_secs_f64());
    }
    size_of_val(memory.as_slice()) as f64 / best
}

fn cpu_features() -> Vec<String> {
    #[allow(unused_mut)]
    let mut found: Vec<&str> = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("SSE4.2", is_x86_feature_detected!("sse4.2")),
            ("AVX2", is_x86_feature_detected!("avx2")),
            ("FMA", is_x86_feature_detected!("fma")),
            ("AVX-512", is_x86_feature_detected!("avx512f")),
            ("AVX-512 VNNI", is_x86_feature_detected!("avx512vnni")),
        ];
        found.extend(known.iter().filter(|(_, has)| *has).map(|(name, _)| *name));
    }
    found.into_iter().map(String::from).collect()
}

/// GPUs, and why none of them computes; no reason if the first one does.
fn gpus() -> (Vec<GpuInfo>, String) {
    let found = match moestro_cuda::probe() {
        Ok(found) => found,
        Err(CudaError::NoDriver(_)) => {
            let note = "No NVIDIA driver was found; Moestro computes on the CPU.";
            return (named_by_nvml(), note.to_string());
        }
        Err(error) => return (named_by_nvml(), crate::gpu::note(&error)),
    };
    let note = match (found.is_empty(), Kernels::embedded()) {
        (true, _) => "The NVIDIA driver reports no usable GPU; Moestro computes on the CPU.".into(),
        (false, Err(error)) => crate::gpu::note(&error),
        (false, Ok(_)) => String::new(),
    };
    // Without NVML a context tells, at the cost of making one.
    let free = |gpu: &moestro_cuda::GpuInfo| {
        let told = vram(&gpu.uuid).map(|memory| memory.free);
        told.or_else(|| moestro_cuda::free_vram(gpu.ordinal).ok())
    };
    let info = |gpu: &moestro_cuda::GpuInfo| GpuInfo {
        name: gpu.name.clone(),
        vram_total: gpu.total,
        vram_free: free(gpu).unwrap_or(0),
        driver: driver_version()
            .unwrap_or_else(|| format!("CUDA {}.{}", gpu.driver.0, gpu.driver.1)),
    };
    (found.iter().map(info).collect(), note)
}

/// VRAM of a GPU that all programs use together, in bytes, if NVML tells.
pub fn vram_used(gpu: &moestro_cuda::GpuInfo) -> Option<u64> {
    Some(vram(&gpu.uuid)?.used)
}

/// The memory of the GPU with this identity; NVML's numbers need not be the driver's.
/// Of a part of a GPU, that of the part.
fn vram(uuid: &str) -> Option<MemoryInfo> {
    let nvml = Nvml::init().ok()?;
    let named = |kind: &str| nvml.device_by_uuid(format!("{kind}-{uuid}")).ok();
    named("GPU").or_else(|| named("MIG"))?.memory_info().ok()
}

fn driver_version() -> Option<String> {
    Nvml::init().ok()?.sys_driver_version().ok()
}

/// What the monitoring library knows, where the computing one is missing.
fn named_by_nvml() -> Vec<GpuInfo> {
    let Ok(nvml) = Nvml::init() else {
        return Vec::new();
    };
    let driver = nvml.sys_driver_version().unwrap_or_default();
    (0..nvml.device_count().unwrap_or(0))
        .filter_map(|i| {
            let device = nvml.device_by_index(i).ok()?;
            let memory = device.memory_info().ok()?;
            Some(GpuInfo {
                name: device.name().unwrap_or_else(|_| "NVIDIA GPU".into()),
                vram_total: memory.total,
                vram_free: memory.free,
                driver: driver.clone(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_finds_a_plausible_machine() {
        let h = probe();
        assert!(h.physical_cores >= 1 && h.logical_cores >= h.physical_cores);
        assert!(h.ram_total > 64 << 20 && h.ram_available <= h.ram_total);
        assert!(h.gpus.is_empty() || h.gpus[0].vram_total > 0);
        assert_eq!(
            h.gpu_note.is_empty(),
            !h.gpus.is_empty() && Kernels::embedded().is_ok()
        );
        assert!(process_bytes() > 1 << 20);
    }
}
