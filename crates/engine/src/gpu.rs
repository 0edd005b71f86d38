//! The GPU of a loaded model: found, opened and measured, or the reason why not.

use moestro_cuda::{CudaError, Gpu};
use moestro_kernels::Compute;
use moestro_residency::Link;

use crate::engine::LoadOptions;
use crate::error::Result;
use crate::hardware;
use crate::placement::{ModelSizes, place};
use crate::protocol::{GpuShare, Hardware, Placement, Tier};

/// The sentence for the person when a GPU cannot be used.
pub fn note(error: &CudaError) -> String {
    let mut text = error.to_string();
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    format!("{text}. Moestro computes on the CPU.")
}

/// VRAM that measuring takes at most, for a moment.
const TRIAL: u64 = 128 << 20;

type Opened = std::result::Result<Gpu, CudaError>;

/// Places a model and opens the GPU if some of it belongs there. What goes wrong
/// with the GPU becomes the hardware's note, and the placement does without.
pub fn place_and_open(
    sizes: &mut ModelSizes,
    hardware: &mut Hardware,
    options: &LoadOptions,
) -> (Option<Gpu>, Placement) {
    let plan = |sizes: &ModelSizes, hardware: &Hardware| {
        place(sizes, hardware, &options.memory, &hardware.gpu_note)
    };
    let placement = plan(sizes, hardware);
    if placement.gpu.layers == 0 {
        return (None, placement);
    }
    match open(sizes, options, vram(&placement)) {
        Ok(gpu) => {
            // Once more, with what the driver really took.
            let mut placement = plan(sizes, hardware);
            sizes.loaded_on_gpu = Some(placement.gpu);
            if placement.gpu == GpuShare::default() {
                return (None, placement);
            }
            set_budget(&gpu, sizes, &placement);
            placement.notes.dedup();
            (Some(gpu), placement)
        }
        Err(error) => {
            hardware.gpu_note = note(&error);
            (None, plan(sizes, hardware))
        }
    }
}

fn open(sizes: &mut ModelSizes, options: &LoadOptions, budget: u64) -> Opened {
    let found = moestro_cuda::probe()?;
    let before = found.first().and_then(hardware::vram_used);
    let gpu = match &options.gpu_kernels {
        None => Gpu::open(0, budget)?,
        Some(kernels) => Gpu::open_with(0, budget, kernels)?,
    };
    if let (Some(before), Some(after)) = (before, hardware::vram_used(gpu.info())) {
        sizes.gpu_program_bytes = after.saturating_sub(before + gpu.used());
    }
    Ok(gpu)
}

/// Holds the GPU's own memory to the placement's budget, less what the driver takes
/// besides.
pub fn set_budget(gpu: &Gpu, sizes: &ModelSizes, placement: &Placement) {
    gpu.set_budget(vram(placement).saturating_sub(sizes.gpu_program_bytes));
}

fn vram(placement: &Placement) -> u64 {
    let tier = placement.tiers.iter().find(|t| t.tier == Tier::Vram);
    tier.map_or(0, |t| t.budget)
}

/// What computing an expert of `bytes` takes on both sides, and a copy alone. To be
/// called while nothing else is on the GPU: it may take more than the budget for a
/// moment.
pub fn link(gpu: &Gpu, compute: &Compute, bytes: u64) -> Result<(Link, f64)> {
    let (budget, bytes) = (gpu.budget(), bytes.max(1));
    gpu.set_budget(budget.max(TRIAL));
    let rates = gpu.measure();
    gpu.trim()?;
    gpu.set_budget(budget);
    let rates = rates?;
    let ram = hardware::read_bandwidth(compute);
    let link = Link::bus(bytes, rates.upload, ram, rates.memory, rates.launch);
    Ok((link, bytes as f64 / rates.upload))
}
