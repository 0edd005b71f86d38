//! One VRAM budget after the other: speed, the GPU's share of the experts, and the bytes
//! that are counted beside those that NVML sees.

use std::time::Instant;

use anyhow::Result;
use moestro_engine::placement::show_bytes;
use moestro_engine::protocol::{MemorySettings, Tier};
use moestro_engine::{Engine, hardware};
use serde_json::{Value, json};

use super::decode::Decode;
use super::position::Length;

pub struct InVram {
    budget: u64,
    slots: usize,
    tokens_per_second: f64,
    /// A token that is longer than all but one in twenty, in seconds.
    p95: f64,
    /// Of all experts used, those computed on the GPU.
    hit_rate: f64,
    /// Bytes that this program counts, the driver's own among them.
    counted: u64,
    /// Bytes that all programs hold by NVML, if it tells.
    used: Option<u64>,
}

/// Measures the budget in force and then each of `budgets`, changed between two tokens.
/// Nothing if no GPU is in use.
pub fn run(
    engine: &mut Engine,
    decode: &mut Decode,
    settings: &MemorySettings,
    budgets: &[u64],
    length: Length,
) -> Result<Vec<InVram>> {
    let mut all = Vec::new();
    if engine.gpu().is_none() || budgets.is_empty() {
        return Ok(all);
    }
    let mut settings = settings.clone();
    all.extend(measure(engine, decode, length)?);
    for budget in budgets {
        settings.vram_budget = Some(*budget);
        engine.configure(&settings)?;
        all.extend(measure(engine, decode, length)?);
    }
    Ok(all)
}

fn measure(engine: &mut Engine, decode: &mut Decode, length: Length) -> Result<Option<InVram>> {
    decode.tokens(engine, length.settle)?;
    let (uses, hits) = (engine.experts().totals().uses, hits(engine));
    let mut seconds = Vec::with_capacity(length.tokens);
    for _ in 0..length.tokens {
        let start = Instant::now();
        decode.tokens(engine, 1)?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    let uses = engine.experts().totals().uses - uses;
    let hits = self::hits(engine) - hits;
    let total: f64 = seconds.iter().sum();
    seconds.sort_by(f64::total_cmp);
    let tiers = &engine.placement().tiers;
    let vram = tiers.iter().find(|t| t.tier == Tier::Vram);
    Ok(engine.gpu().map(|gpu| InVram {
        budget: vram.map_or(0, |t| t.budget),
        slots: engine.experts().vram_slots(),
        tokens_per_second: length.tokens as f64 / total,
        p95: seconds[(seconds.len() - 1) * 95 / 100],
        hit_rate: hits as f64 / uses.max(1) as f64,
        counted: gpu.used() + engine.gpu_program_bytes(),
        used: hardware::vram_used(gpu.info()),
    }))
}

/// Experts computed on the GPU so far.
fn hits(engine: &Engine) -> u64 {
    let layers = engine.experts().residency();
    layers.iter().map(|layer| layer.vram_hits).sum()
}

impl InVram {
    pub fn json(&self) -> Value {
        json!({
            "vram_budget": self.budget, "slots": self.slots, "hit_rate": self.hit_rate,
            "tokens_per_second": self.tokens_per_second, "token_p95_ms": 1e3 * self.p95,
            "counted_bytes": self.counted, "used_bytes": self.used,
        })
    }
}

/// A table, if there is anything to show.
pub fn show(all: &[InVram]) {
    if all.is_empty() {
        return;
    }
    println!(
        "{:>12}{:>7}{:>8}{:>10}{:>9}{:>12}{:>12}",
        "VRAM budget", "slots", "hits", "tokens/s", "P95 ms", "counted", "by NVML"
    );
    for v in all {
        println!(
            "{:>12}{:>7}{:>7.1}%{:>10.1}{:>9.1}{:>12}{:>12}",
            show_bytes(v.budget),
            v.slots,
            100.0 * v.hit_rate,
            v.tokens_per_second,
            1e3 * v.p95,
            show_bytes(v.counted),
            v.used.map_or_else(|| "-".into(), show_bytes),
        );
    }
}
