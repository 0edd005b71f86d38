//! How expert memory is doing, and what other settings would do.

use serde::{Deserialize, Serialize};

use super::CachePolicy;

/// Speed and waiting of expert memory, over the last second where it is a rate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Telemetry {
    /// From asking for an expert to having all of it, over the latest reads.
    pub swap_p50_us: u64,
    pub swap_p95_us: u64,
    /// Experts already being read when another is asked for, on average.
    pub queue_depth: f64,
    pub disk_bytes_per_second: f64,
    /// Experts computed from RAM.
    pub ram_bytes_per_second: f64,
    /// Do reads bypass the page cache?
    pub direct_io: bool,
    pub policy: CachePolicy,
    /// Bytes of slots given back for now, because other programs need memory.
    pub held_back: u64,
    /// The same in VRAM.
    pub vram_held_back: u64,
    /// Bytes in RAM of slots that were given up, going back to the system between tokens.
    pub leaving: u64,
    /// Share of a layer's experts that the next router names one layer early;
    /// `None` until it was measured.
    pub look_ahead: Option<f64>,
    pub preloading: Preloading,
    /// Tokens of earlier runs that the order of experts began from; 0 without a profile.
    pub profile_tokens: u64,
}

/// Are experts read before their layer has asked for them?
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Preloading {
    /// The person does not want it.
    #[default]
    Off,
    On,
    /// It was tried and made tokens slower, so it rests until the next trial.
    Slower,
}

/// Speeds that settings lead to, from the routing of the latest tokens and the
/// times measured in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Forecast {
    /// Decoded tokens it comes from.
    pub tokens: usize,
    /// Foretold for the settings in force.
    pub tokens_per_second: f64,
    /// Of the latest tokens.
    pub measured: f64,
    /// Over RAM budgets in bytes, as over all that follow: rising.
    pub ram: Vec<ForecastPoint>,
    /// Over slots per layer.
    pub experts: Vec<ForecastPoint>,
    /// Over tokens of context.
    pub context: Vec<ForecastPoint>,
    /// Over VRAM budgets in bytes; empty without a GPU.
    pub vram: Vec<ForecastPoint>,
    /// What takes the time, and the best way out, in one sentence.
    pub bottleneck: String,
    /// The last change of settings, once it could be measured.
    pub applied: Option<AppliedForecast>,
}

/// What one position of a slider buys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ForecastPoint {
    pub value: u64,
    /// Slots per layer there.
    pub slots: usize,
    pub hit_rate: f64,
    pub tokens_per_second: f64,
}

/// What was foretold for the settings in force, and what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct AppliedForecast {
    /// Tokens per second before the change.
    pub before: f64,
    pub predicted: f64,
    pub measured: f64,
    /// Tokens that were measured.
    pub tokens: usize,
}
