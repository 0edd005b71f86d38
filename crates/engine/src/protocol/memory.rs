//! Where every byte lives: hardware, placement and live snapshots.

use serde::{Deserialize, Serialize};

use super::{Forecast, Telemetry};

/// What this machine has. Read once at start; `available` figures move.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Hardware {
    pub cpu: String,
    pub physical_cores: usize,
    pub logical_cores: usize,
    /// Instruction sets that the kernels can use, best last: `AVX2`, `AVX-512`, `VNNI`.
    pub cpu_features: Vec<String>,
    /// Instruction set the kernels run with.
    pub kernels: String,
    /// Bytes; the memory limit of the container or slice if that is smaller.
    pub ram_total: u64,
    pub ram_available: u64,
    pub gpus: Vec<GpuInfo>,
    /// Why no GPU is used, in words for the person; empty if one is.
    pub gpu_note: String,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct GpuInfo {
    pub name: String,
    pub vram_total: u64,
    pub vram_free: u64,
    pub driver: String,
}

/// What the sensors of a GPU said a moment ago; `None` where it has no such sensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct GpuReading {
    pub name: String,
    pub temperature_celsius: Option<u32>,
    pub clock_mhz: Option<u32>,
    pub memory_clock_mhz: Option<u32>,
    pub power_watts: Option<f64>,
    /// Share of the time in which it computed something, 0 to 1.
    pub busy: Option<f64>,
}

/// Where bytes can live, fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    Vram,
    Ram,
    Disk,
}

/// A part of the model or of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Component {
    Embeddings,
    Attention,
    DeltaNet,
    Routers,
    Norms,
    SharedExperts,
    /// Feed-forward blocks of layers without experts.
    DenseMlp,
    OutputHead,
    /// KV cache and DeltaNet state for the reserved context, snapshots included.
    SessionState,
    Activations,
    /// The program itself with its tokenizer.
    Program,
    /// Experts on their way from disk, and the memory they are read into.
    ReadBuffers,
    ExpertSlots,
    /// Experts without a slot.
    RemainingExperts,
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Component::Embeddings => "embeddings",
            Component::Attention => "attention",
            Component::DeltaNet => "DeltaNet",
            Component::Routers => "routers",
            Component::Norms => "norms",
            Component::SharedExperts => "shared experts",
            Component::DenseMlp => "dense layers",
            Component::OutputHead => "output head",
            Component::SessionState => "KV and state",
            Component::Activations => "activations",
            Component::Program => "program",
            Component::ReadBuffers => "read buffers",
            Component::ExpertSlots => "expert slots",
            Component::RemainingExperts => "other experts",
        })
    }
}

/// One line of the placement table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct PlacementRow {
    pub component: Component,
    pub tier: Tier,
    pub bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct TierUse {
    pub tier: Tier,
    /// Bytes allowed; for the disk, the size of the model's files.
    pub budget: u64,
    pub used: u64,
}

/// What of a model is kept and computed on a GPU; the rest is on the processor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct GpuShare {
    /// The first layers, with their share of every session's state.
    pub layers: usize,
    pub embeddings: bool,
    pub head: bool,
    /// Expert slots in each of those layers that have experts.
    pub experts: usize,
}

/// The answer to "what goes where" for one model, one machine, one set of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Placement {
    pub rows: Vec<PlacementRow>,
    pub tiers: Vec<TierUse>,
    /// Expert slots in each MoE layer in RAM.
    pub experts_per_layer: usize,
    #[serde(default)]
    pub gpu: GpuShare,
    /// Experts that each MoE layer has.
    pub experts_total: usize,
    /// Least and most slots per layer that the RAM budget allows.
    pub experts_min: usize,
    pub experts_max: usize,
    /// Least RAM budget that works, and the most that is of use.
    pub ram_min: u64,
    pub ram_max: u64,
    pub context: usize,
    pub max_context: usize,
    /// Does it work at all? If not, `notes` says what to change.
    pub fits: bool,
    /// Sentences for the person: what was cut back and why.
    pub notes: Vec<String>,
    /// Why the VRAM slider cannot be used; empty if it can.
    pub vram_note: String,
    /// The settings this placement came from.
    pub settings: super::MemorySettings,
}

/// The state of memory at one moment, sent while someone watches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct MemorySnapshot {
    /// Since the engine started.
    pub time_ms: u64,
    /// Bytes in use now, by component and tier.
    pub rows: Vec<PlacementRow>,
    pub tiers: Vec<TierUse>,
    /// Resident bytes of the engine process.
    pub process_bytes: u64,
    pub ram_available: u64,
    /// Of every GPU that NVML knows; empty without NVIDIA's driver.
    #[serde(default)]
    pub gpus: Vec<GpuReading>,
    /// One entry per MoE layer.
    pub layers: Vec<LayerResidency>,
    /// One byte per expert, MoE layers x experts row-major, as base64: bit 7 set
    /// if resident in RAM, bit 6 in VRAM, the low six bits how much it was used
    /// lately (0 never, 63 in this very token).
    pub heat: String,
    pub totals: Totals,
    pub telemetry: Telemetry,
    /// `None` until enough tokens were written to foretell anything.
    pub forecast: Option<Forecast>,
    /// Over the last second of decode; 0 while idle.
    pub tokens_per_second: f64,
    /// Share of expert uses served from a slot over the last second of work, 0 to 1.
    pub hit_rate: f64,
    pub generating: bool,
    /// Answers under way, and those that wait for their turn.
    #[serde(default)]
    #[cfg_attr(feature = "typescript", ts(skip))]
    pub answers_running: usize,
    #[serde(default)]
    #[cfg_attr(feature = "typescript", ts(skip))]
    pub answers_waiting: usize,
    pub context_used: usize,
    pub context: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct LayerResidency {
    /// Layer number in the model.
    pub layer: usize,
    pub slots: usize,
    pub resident: usize,
    pub hits: u64,
    pub misses: u64,
    pub bytes_read: u64,
    pub wait_us: u64,
    /// From asking for an expert to having all of it, over the latest reads.
    pub swap_p50_us: u64,
    pub swap_p95_us: u64,
    /// The same in VRAM; hits are experts that the GPU computed.
    #[serde(default)]
    pub vram_slots: usize,
    #[serde(default)]
    pub vram_resident: usize,
    #[serde(default)]
    pub vram_hits: u64,
    /// Is its cache in VRAM off, because computing all in RAM is faster?
    pub cache_off: bool,
}

/// Counters since the model was loaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Totals {
    /// Routed expert uses (one per token, layer and chosen expert).
    pub uses: u64,
    /// Expert fetches that found a slot.
    pub hits: u64,
    /// Expert fetches that had to read the disk.
    pub misses: u64,
    pub bytes_read: u64,
    /// Time decode and prefill waited for expert reads.
    pub wait_us: u64,
    /// Bytes of experts that were computed, wherever they were.
    pub computed_bytes: u64,
    pub tokens: u64,
}
