//! What goes where: a pure function of the model's sizes, the machine and the
//! person's settings. It runs before anything is loaded and again at every move
//! of a slider.

mod sizes;

pub use sizes::{ModelSizes, PREFILL_CHUNK, SNAPSHOTS};

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
    let mut layout = Layout::new(vram_budget);
    // In the order in which a byte of VRAM saves the most time per token.
    for (component, bytes) in sizes.always_needed(context) {
        layout.put(component, bytes);
    }
    layout.add(Component::Program, Tier::Ram, sizes.program_bytes);
    layout.add(Component::ReadBuffers, Tier::Ram, sizes.transit_bytes);
    let always_in_ram = layout.ram_used();
    let layer_slot = sizes.slot_bytes_all_layers();

    let vram_asked = settings.experts_vram.or(settings.cached_experts_per_layer);
    let vram_slots = layout.slots_in_vram(layer_slot, sizes.experts, vram_asked);
    if settings.experts_vram.is_some() && !vram_note.is_empty() {
        notes.push("Experts in VRAM were asked for, and no GPU can be used.".to_string());
    }
    let left = ram_budget.saturating_sub(always_in_ram);
    let room = left.checked_div(layer_slot).unwrap_or(0) as usize;
    let experts_max = room.min(sizes.experts);
    let asked = if vram_slots > 0 {
        None
    } else {
        settings.cached_experts_per_layer
    };
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
    let resident = ram_slots.max(vram_slots) as u64 * layer_slot;
    let remaining = sizes.all_experts().saturating_sub(resident);
    layout.add(Component::RemainingExperts, Tier::Disk, remaining);

    let ram_min = always_in_ram + layer_slot * LEAST_SLOTS.min(sizes.experts) as u64;
    let fits = ram_min <= ram_budget;
    if !fits {
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
        experts_per_layer: if vram_slots > 0 {
            vram_slots
        } else {
            ram_slots
        },
        experts_total: sizes.experts,
        experts_min: LEAST_SLOTS.min(sizes.experts),
        experts_max: experts_max.max(LEAST_SLOTS.min(sizes.experts)),
        ram_min,
        ram_max: always_in_ram + layer_slot * sizes.experts as u64,
        context,
        max_context: sizes.max_context,
        fits,
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
    vram_budget: u64,
}

impl Layout {
    fn new(vram_budget: u64) -> Layout {
        Layout {
            rows: Vec::new(),
            vram_budget,
        }
    }

    fn add(&mut self, component: Component, tier: Tier, bytes: u64) {
        if bytes > 0 {
            self.rows.push(PlacementRow {
                component,
                tier,
                bytes,
            });
        }
    }

    /// Into VRAM if all of it still fits there, else into RAM.
    fn put(&mut self, component: Component, bytes: u64) {
        let fits = self.used(Tier::Vram) + bytes <= self.vram_budget;
        self.add(component, if fits { Tier::Vram } else { Tier::Ram }, bytes);
    }

    fn slots_in_vram(&mut self, layer_slot: u64, experts: usize, asked: Option<usize>) -> usize {
        if layer_slot == 0 {
            return 0;
        }
        let left = self.vram_budget.saturating_sub(self.used(Tier::Vram));
        let slots = ((left / layer_slot) as usize)
            .min(experts)
            .min(asked.unwrap_or(experts));
        self.add(
            Component::ExpertSlots,
            Tier::Vram,
            slots as u64 * layer_slot,
        );
        slots
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
