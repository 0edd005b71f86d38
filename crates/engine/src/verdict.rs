//! Whether a model would run on this machine and how fast, from its headers alone:
//! the answer before a download. Memory comes from the same code that places a
//! loaded model; the speed is an estimate and says so.

mod bandwidth;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::architectures;
use crate::engine::{Inspection, describe, inspect};
use crate::error::Result;
use crate::placement::{ModelSizes, place};
use crate::precision::Precision;
use crate::protocol::{Component, Hardware, MemorySettings, ModelInfo, Placement};

pub use bandwidth::{Bandwidth, measure};

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
    let inspection = inspect(path, Precision::default())?;
    let placement = place(&inspection.sizes, hardware, settings, &hardware.gpu_note);
    let share = share(placement.experts_per_layer, placement.experts_total);
    let hit_rate = expected_hit_rate(share);
    let model = describe(
        &inspection.checkpoint,
        &inspection.blueprint,
        &inspection.manifest,
    );
    let fit = match (placement.fits, share >= 1.0) {
        (false, _) => Fit::No,
        (true, true) => Fit::Memory,
        (true, false) => Fit::WithDisk,
    };
    let seconds = bandwidth.map(|b| seconds_per_token(&inspection, &model, hit_rate, b));
    Ok(Verdict {
        fit,
        longest_context: longest_context(&inspection.sizes, &placement),
        tokens_per_second: seconds.filter(|_| placement.fits).map(|s| 1.0 / s),
        hit_rate,
        model,
        placement,
    })
}

fn share(slots: usize, experts: usize) -> f64 {
    match experts {
        0 => 1.0,
        _ => slots as f64 / experts as f64,
    }
}

/// What the RAM budget leaves for keys and values beside the least number of slots.
fn longest_context(sizes: &ModelSizes, placement: &Placement) -> usize {
    let budget = placement.tiers.iter().map(|t| match t.tier {
        crate::protocol::Tier::Disk => 0,
        _ => t.budget,
    });
    let fixed: u64 = sizes.always_needed(0).iter().map(|(_, bytes)| bytes).sum();
    let slot = sizes.slot_bytes_all_layers() * placement.experts_min as u64;
    let left = budget.sum::<u64>().saturating_sub(fixed + slot);
    let affordable = left.checked_div(sizes.kv_bytes_per_token);
    (affordable.unwrap_or(u64::MAX)).min(sizes.max_context as u64) as usize
}

/// Share of a token's experts found in slots when `share` of each layer's experts
/// have one, with a least-recently-used or similar policy. Published replays of
/// per-layer caches: Qwen3.8-Flash-Next, 512 experts (llama.cpp #27861, imp #2061)
/// and Qwen3-30B-A3B, 128 experts, averaged between their points.
fn expected_hit_rate(share: f64) -> f64 {
    const POINTS: [(f64, f64); 8] = [
        (0.0, 0.0),
        (0.06, 0.42),
        (0.12, 0.61),
        (0.18, 0.72),
        (0.24, 0.79),
        (0.33, 0.87),
        (0.40, 0.93),
        (1.0, 1.0),
    ];
    let above = POINTS.iter().position(|(x, _)| *x >= share);
    match above {
        None => 1.0,
        Some(0) => 0.0,
        Some(i) => {
            let ((x0, y0), (x1, y1)) = (POINTS[i - 1], POINTS[i]);
            y0 + (share - x0) / (x1 - x0) * (y1 - y0)
        }
    }
}

/// Time to read what one token needs: from memory, and from disk what has no slot.
/// Keys and values are left out, as of a short context.
fn seconds_per_token(
    inspection: &Inspection,
    model: &ModelInfo,
    hit_rate: f64,
    bandwidth: &Bandwidth,
) -> f64 {
    let sizes = &inspection.sizes;
    let always: u64 = sizes
        .weights
        .iter()
        .filter(|(component, _)| **component != Component::Embeddings)
        .map(|(_, bytes)| bytes)
        .sum();
    let head = match inspection.blueprint.tied_head {
        true => sizes.weights.get(&Component::Embeddings).copied(),
        false => None,
    };
    let chosen = model.experts_per_token as u64 * sizes.slot_bytes_all_layers();
    let state = 2 * inspection.blueprint.recurrent_elements() as u64 * 4;
    let read = (always + head.unwrap_or(0) + chosen + state) as f64;
    let missed = chosen as f64 * (1.0 - hit_rate);
    let layers = inspection.blueprint.layers.len() as f64;
    let memory = read / (bandwidth.memory * MEMORY_SHARE);
    memory + missed / bandwidth.disk + layers * SECONDS_PER_LAYER
}

/// Part of the memory bandwidth that decoding reaches.
const MEMORY_SHARE: f64 = 0.6;
/// What a layer takes however small it is: waking threads, and the small steps
/// between the large products.
const SECONDS_PER_LAYER: f64 = 50e-6;

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
    fn hit_rates_grow_with_the_slots() {
        let rates: Vec<f64> = (0..=100)
            .map(|i| expected_hit_rate(f64::from(i) / 100.0))
            .collect();
        assert!(rates.windows(2).all(|w| w[0] < w[1]));
        assert_eq!((rates[0], rates[100], rates[12]), (0.0, 1.0, 0.61));
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
