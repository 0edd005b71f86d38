//! The state of memory at one moment, for whoever watches.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::meter::Meter;
use crate::engine::Engine;
use crate::hardware;
use crate::ops::Place;
use crate::protocol::{
    Component, Forecast, GpuReading, MemorySnapshot, PlacementRow, Telemetry, Tier,
};
use crate::schedule::Schedule;

/// What the host knows besides the engine.
pub struct About {
    pub started: Instant,
    pub generating: bool,
    /// Answers that become tokens on other threads.
    pub preparing: usize,
    pub forecast: Option<Forecast>,
    pub gpus: Vec<GpuReading>,
}

/// Measures what is in use now; budgets come from the placement.
pub fn take(engine: &Engine, schedule: &Schedule, meter: &Meter, about: About) -> MemorySnapshot {
    let placement = engine.placement();
    let experts = engine.experts();
    let layers = experts.residency();
    let in_use = |row: &PlacementRow| -> PlacementRow {
        let bytes = match (row.component, row.tier) {
            (Component::ExpertSlots, Tier::Vram) => experts.vram_bytes(),
            (Component::ExpertSlots, _) => experts.slot_bytes() + experts.leaving_bytes(),
            (Component::SessionState, Tier::Vram) => schedule.bytes_in(Place::Gpu),
            (Component::SessionState, _) => schedule.bytes_in(Place::Host),
            _ => row.bytes,
        };
        PlacementRow {
            bytes,
            ..row.clone()
        }
    };
    let mut rows: Vec<PlacementRow> = placement
        .rows
        .iter()
        .filter(|r| r.component != Component::RemainingExperts)
        .map(in_use)
        .collect();
    let remaining = experts.all_bytes().saturating_sub(experts.slot_bytes());
    if remaining > 0 {
        let (component, tier) = (Component::RemainingExperts, Tier::Disk);
        rows.push(PlacementRow {
            component,
            tier,
            bytes: remaining,
        });
    }
    let mut tiers = placement.tiers.clone();
    for tier in &mut tiers {
        tier.used = rows
            .iter()
            .filter(|r| r.tier == tier.tier)
            .map(|r| r.bytes)
            .sum();
    }
    MemorySnapshot {
        time_ms: about.started.elapsed().as_millis() as u64,
        rows,
        tiers,
        process_bytes: hardware::process_bytes(),
        ram_available: hardware::ram_available(),
        gpus: about.gpus,
        layers,
        heat: STANDARD.encode(experts.heat()),
        totals: experts.totals(),
        telemetry: Telemetry {
            disk_bytes_per_second: meter.disk_bytes_per_second(),
            ram_bytes_per_second: meter.ram_bytes_per_second(),
            policy: placement.settings.policy.unwrap_or_default(),
            held_back: engine.pace().held_back(),
            vram_held_back: engine.pace().vram_held_back(),
            ..experts.telemetry()
        },
        forecast: about.forecast,
        tokens_per_second: meter.tokens_per_second(),
        hit_rate: meter.hit_rate(),
        generating: about.generating,
        answers_running: schedule.running(),
        answers_waiting: schedule.waiting() + about.preparing,
        context_used: schedule.context_used(),
        context: placement.context,
    }
}
