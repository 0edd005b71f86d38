//! Whether a model would run on this machine and how fast, from its headers alone:
//! the answer before a download. Memory comes from the same code that places a
//! loaded model; the speed is an estimate and says so.

mod bandwidth;
mod speed;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::architectures;
use crate::error::Result;
use crate::info::describe;
use crate::inspection::inspect;
use crate::placement::{ModelSizes, place};
use crate::precision::Precision;
use crate::protocol::{Hardware, MemorySettings, ModelInfo, Placement};

pub use bandwidth::{Bandwidth, bandwidth};

/// How a model and this machine go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Everything lives in memory.
    Memory,
    /// Experts without a slot are read from disk as they are needed.
    WithDisk,
    /// Not even one slot per layer fits beside what every token needs.
    No,
}

/// The answer for one model, one machine and one set of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Verdict {
    pub fit: Fit,
    pub model: ModelInfo,
    pub placement: Placement,
    /// Longest context, in tokens, with which the model still fits the budget.
    pub longest_context: usize,
    /// Estimated decode speed at a short context; `None` without bandwidths.
    pub tokens_per_second: Option<f64>,
    /// Estimated share of expert uses that find a slot, 0 to 1.
    pub hit_rate: f64,
    /// What the estimate rests on, besides the settings in `placement`.
    pub bandwidth: Option<Bandwidth>,
}

/// The kinds of models this engine knows.
pub fn model_types() -> Vec<String> {
    let names = architectures::ALL.iter().map(|a| a.hub_name.to_string());
    names.collect()
}

/// The formats of tensors this engine knows, such as `Q4_K`.
pub fn formats() -> Vec<String> {
    let all = moestro_kernels::Format::all().iter();
    all.map(|format| format.name().to_string()).collect()
}

/// Judges the model whose files or headers are at `path`.
pub fn judge(
    path: &Path,
    hardware: &Hardware,
    settings: &MemorySettings,
    bandwidth: Option<&Bandwidth>,
) -> Result<Verdict> {
    let inspection = inspect(path, Precision::default(), None)?;
    let placement = place(&inspection.sizes, hardware, settings, &hardware.gpu_note);
    let model = describe(
        &inspection.checkpoint,
        &inspection.blueprint,
        &inspection.manifest,
    );
    let slots = placement.experts_per_layer;
    let fit = match (placement.fits, slots >= placement.experts_total) {
        (false, _) => Fit::No,
        (true, true) => Fit::Memory,
        (true, false) => Fit::WithDisk,
    };
    let expected = speed::expect(&inspection, model.experts_per_token, slots, bandwidth);
    let seconds = expected.seconds_per_token.filter(|_| placement.fits);
    Ok(Verdict {
        fit,
        longest_context: longest_context(&inspection.sizes, &placement),
        tokens_per_second: seconds.map(|s| 1.0 / s),
        hit_rate: expected.hit_rate,
        bandwidth: bandwidth.copied(),
        model,
        placement,
    })
}

/// What the RAM budget leaves for keys and values beside the least number of slots.
fn longest_context(sizes: &ModelSizes, placement: &Placement) -> usize {
    let budget = placement.tiers.iter().map(|t| match t.tier {
        crate::protocol::Tier::Disk => 0,
        _ => t.budget,
    });
    let weights: u64 = sizes.weights.values().sum();
    let fixed = weights + sizes.state_bytes(0) + sizes.activation_bytes;
    let slot = sizes.slot_bytes_all_layers() * placement.experts_min as u64;
    let other = sizes.program_bytes + sizes.transit_bytes;
    let left = budget.sum::<u64>().saturating_sub(fixed + other + slot);
    let affordable = left.checked_div(sizes.kv_bytes_per_token);
    (affordable.unwrap_or(u64::MAX)).min(sizes.max_context as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demo() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo/moestro-demo.gguf")
    }

    fn machine() -> Hardware {
        Hardware {
            ram_total: 64 << 30,
            ram_available: 32 << 30,
            gpu_note: "none".into(),
            ..Hardware::default()
        }
    }

    #[test]
    fn a_budget_decides_between_memory_disk_and_neither() {
        let judge = |budget: Option<u64>| {
            let settings = MemorySettings {
                ram_budget: budget,
                ..MemorySettings::default()
            };
            let speeds = Bandwidth {
                memory: 40e9,
                disk: 2e9,
            };
            judge(&demo(), &machine(), &settings, Some(&speeds)).unwrap()
        };
        let whole = judge(None);
        assert_eq!(whole.fit, Fit::Memory);
        assert_eq!(whole.longest_context, whole.model.max_context);
        let half = judge(Some(
            (whole.placement.ram_min + whole.placement.ram_max) / 2,
        ));
        assert_eq!(half.fit, Fit::WithDisk);
        assert!(half.hit_rate < 1.0 && half.tokens_per_second < whole.tokens_per_second);
        let none = judge(Some(whole.placement.ram_min / 2));
        assert_eq!((none.fit, none.tokens_per_second), (Fit::No, None));
        assert!(!none.placement.notes.is_empty());
    }
}
