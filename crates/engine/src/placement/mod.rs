//! What goes where: a pure function of the model's sizes, the machine and the
//! person's settings. It runs before anything is loaded and again at every move
//! of a slider.

mod gpu;
mod sizes;

pub use sizes::{LayerSizes, ModelSizes, PREFILL_CHUNK, SNAPSHOTS};

use crate::protocol::{
    Component, Hardware, MemorySettings, Placement, PlacementRow, Tier, TierUse,
};

const GIB: u64 = 1 << 30;
/// Expert slots beyond this hit so rarely more that the RAM serves others better
/// only on machines that are short of it; the automatic choice takes them all.
const LEAST_SLOTS: usize = 1;
/// Context that is reserved when nobody asks for more.
const USUAL_CONTEXT: usize = 32_768;
const LEAST_CONTEXT: usize = 256;

/// Places a model. Never fails: a placement that does not fit says so and why.
///
/// `vram_note` is the reason why no VRAM can be used; empty if it can.
pub fn place(
    sizes: &ModelSizes,
    hardware: &Hardware,
    settings: &MemorySettings,
    vram_note: &str,
) -> Placement {
    let mut notes = Vec::new();
    let vram_budget = match vram_note {
        "" => settings
            .vram_budget
            .unwrap_or_else(|| automatic_vram(hardware)),
        _ => 0,
    };
    let ram_budget = settings
        .ram_budget
        .unwrap_or_else(|| automatic_ram(hardware));
    if settings
        .ram_budget
        .is_some_and(|b| b > hardware.ram_total && hardware.ram_total > 0)
    {
        notes.push(format!(
            "The RAM budget is larger than the {} this machine has.",
            show_bytes(hardware.ram_total)
        ));
    }

    let context = choose_context(sizes, settings, vram_budget.max(ram_budget), &mut notes);
    let gpu = gpu::share(sizes, context, vram_budget, settings.experts_vram);
    if gpu.layers > 0 && gpu.layers < sizes.layers.len() {
        notes.push(format!(
            "{} of {} layers fit into the VRAM budget; the others are computed by the processor.",
            gpu.layers,
            sizes.layers.len()
        ));
    }
    if vram_budget > 0 && gpu.layers == 0 {
        notes.push("The VRAM budget has no room for a single layer; no GPU is used.".into());
    }
    let mut layout = Layout { rows: Vec::new() };
    gpu::lay_out(&mut layout, sizes, context, gpu);
    layout.add(Component::Program, Tier::Ram, sizes.program_bytes);
    layout.add(Component::ReadBuffers, Tier::Ram, sizes.transit_bytes);
    let always_in_ram = layout.ram_used();
    let layer_slot = sizes.slot_bytes_all_layers();

    if let Some(asked) = settings.experts_vram {
        if !vram_note.is_empty() {
            notes.push("Experts in VRAM were asked for, and no GPU can be used.".to_string());
        } else if asked.min(sizes.experts) > gpu.experts && gpu.layers > 0 {
            notes.push(format!(
                "{asked} experts per layer in VRAM were asked for; the VRAM budget has room for {}.",
                gpu.experts
            ));
        }
    }
    let left = ram_budget.saturating_sub(always_in_ram);
    let room = left.checked_div(layer_slot).unwrap_or(0) as usize;
    let experts_max = room.min(sizes.experts);
    let asked = settings.cached_experts_per_layer;
    let ram_slots = asked
        .unwrap_or(experts_max)
        .clamp(LEAST_SLOTS, sizes.experts.max(1));
    let ram_slots = if sizes.experts == 0 {
        0
    } else {
        ram_slots.min(experts_max.max(LEAST_SLOTS))
    };
    if let Some(asked) = asked
        && asked > ram_slots
        && sizes.experts > 0
    {
        notes.push(format!(
            "{asked} experts per layer were asked for; the RAM budget has room for {ram_slots}."
        ));
    }
    layout.add(
        Component::ExpertSlots,
        Tier::Ram,
        ram_slots as u64 * layer_slot,
    );
    let resident = ram_slots as u64 * layer_slot;
    let remaining = sizes.all_experts().saturating_sub(resident);
    layout.add(Component::RemainingExperts, Tier::Disk, remaining);

    let ram_min = always_in_ram + layer_slot * LEAST_SLOTS.min(sizes.experts) as u64;
    let enough_ram = ram_min <= ram_budget;
    let vram_used = layout.used(Tier::Vram);
    let enough_vram = vram_used <= vram_budget || gpu.layers == 0;
    if !enough_vram {
        notes.push(format!(
            "What is on the GPU takes {} and the VRAM budget is {}. Raise it, or load the model \
             again to keep fewer layers there.",
            show_bytes(vram_used),
            show_bytes(vram_budget)
        ));
    }
    if !enough_ram {
        notes.push(format!(
            "This model needs at least {} of RAM here and the budget is {}. Raise the RAM budget{}.",
            show_bytes(ram_min),
            show_bytes(ram_budget),
            if context > LEAST_CONTEXT { " or shorten the context" } else { "" },
        ));
    }
    let tiers = [
        (Tier::Vram, vram_budget),
        (Tier::Ram, ram_budget),
        (Tier::Disk, sizes.file_bytes),
    ]
    .map(|(tier, budget)| TierUse {
        tier,
        budget,
        used: layout.used(tier),
    });
    Placement {
        tiers: tiers.to_vec(),
        rows: layout.rows,
        experts_per_layer: ram_slots,
        gpu,
        experts_total: sizes.experts,
        experts_min: LEAST_SLOTS.min(sizes.experts),
        experts_max: experts_max.max(LEAST_SLOTS.min(sizes.experts)),
        ram_min,
        ram_max: always_in_ram + layer_slot * sizes.experts as u64,
        context,
        max_context: sizes.max_context,
        fits: enough_ram && enough_vram,
        notes,
        vram_note: vram_note.to_string(),
        settings: settings.clone(),
    }
}

/// All RAM that is available now, less what the rest of the machine will want.
fn automatic_ram(hardware: &Hardware) -> u64 {
    let reserve = reserve(hardware.ram_total);
    hardware.ram_available.saturating_sub(reserve).max(GIB / 4)
}

/// RAM to leave to the rest of a machine that has `ram_total`.
pub fn reserve(ram_total: u64) -> u64 {
    (ram_total / 12).clamp(GIB / 2, 8 * GIB)
}

/// Free VRAM of the first GPU, less what a desktop needs to keep drawing.
fn automatic_vram(hardware: &Hardware) -> u64 {
    hardware
        .gpus
        .first()
        .map_or(0, |g| g.vram_free.saturating_sub(GIB))
}

/// The context asked for, or the usual one, cut back to a tenth of the memory.
fn choose_context(
    sizes: &ModelSizes,
    settings: &MemorySettings,
    memory: u64,
    notes: &mut Vec<String>,
) -> usize {
    let most = sizes.max_context.max(1);
    if let Some(asked) = settings.context {
        if asked > most {
            notes.push(format!(
                "The model was made for at most {most} tokens of context."
            ));
        }
        return asked.clamp(LEAST_CONTEXT.min(most), most);
    }
    let affordable = match sizes.kv_bytes_per_token {
        0 => most,
        per_token => (memory / 10 / per_token) as usize,
    };
    let rounded = affordable.min(USUAL_CONTEXT) / LEAST_CONTEXT * LEAST_CONTEXT;
    rounded.clamp(2048.min(most), most)
}

/// Rows as they fill up.
struct Layout {
    rows: Vec<PlacementRow>,
}

impl Layout {
    fn add(&mut self, component: Component, tier: Tier, bytes: u64) {
        if bytes > 0 {
            self.rows.push(PlacementRow {
                component,
                tier,
                bytes,
            });
        }
    }

    fn used(&self, tier: Tier) -> u64 {
        self.rows
            .iter()
            .filter(|r| r.tier == tier)
            .map(|r| r.bytes)
            .sum()
    }

    fn ram_used(&self) -> u64 {
        self.used(Tier::Ram)
    }
}

/// Bytes for a person: GiB with two decimals, or MiB with one below a GiB.
pub fn show_bytes(bytes: u64) -> String {
    if bytes >= GIB {
        format!("{:.2} GiB", bytes as f64 / GIB as f64)
    } else {
        format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64)
    }
}

#[cfg(test)]
mod tests;
