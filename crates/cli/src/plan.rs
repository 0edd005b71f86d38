//! `moestro plan`: the placement table, from headers alone.

use anyhow::Result;
use moestro_engine::placement::{place, show_bytes};
use moestro_engine::protocol::{Placement, Tier};
use moestro_engine::{Precision, hardware, inspect};

use crate::arguments::Plan;

pub fn run(a: &Plan) -> Result<()> {
    let path = a.model.path()?;
    let inspection = inspect(&path, Precision::default(), a.model.quantize()?.as_ref())?;
    let hardware = hardware::probe();
    // A VRAM size on the command line asks "what if", whatever is built in here.
    let vram_note = if a.model.vram_budget.is_some() {
        ""
    } else {
        hardware.gpu_note.as_str()
    };
    let settings = a.model.memory();
    let placement = place(&inspection.sizes, &hardware, &settings, vram_note);
    if a.json {
        println!("{}", serde_json::to_string_pretty(&placement)?);
    } else {
        println!(
            "{} ({}, {})",
            path.display(),
            inspection.blueprint.architecture,
            inspection.manifest.format_shares()
        );
        show(&placement);
        if placement.gpu.layers > 0 && !hardware.gpu_note.is_empty() {
            println!("note: planned for a GPU. {}", hardware.gpu_note);
        }
    }
    Ok(())
}

pub fn show(p: &Placement) {
    println!(
        "\n{:<18}{:>12}{:>12}{:>12}",
        "component", "VRAM", "RAM", "disk"
    );
    let mut components: Vec<_> = p.rows.iter().map(|r| r.component).collect();
    components.sort_unstable();
    components.dedup();
    for component in components {
        let cell = |tier: Tier| {
            let rows = p
                .rows
                .iter()
                .filter(|r| r.component == component && r.tier == tier);
            let bytes: u64 = rows.map(|r| r.bytes).sum();
            if bytes == 0 {
                "-".to_string()
            } else {
                show_bytes(bytes)
            }
        };
        println!(
            "{:<18}{:>12}{:>12}{:>12}",
            component,
            cell(Tier::Vram),
            cell(Tier::Ram),
            cell(Tier::Disk)
        );
    }
    let total = |f: fn(&moestro_engine::protocol::TierUse) -> u64| -> Vec<String> {
        p.tiers.iter().map(|t| show_bytes(f(t))).collect()
    };
    let (used, budget) = (total(|t| t.used), total(|t| t.budget));
    println!(
        "{:<18}{:>12}{:>12}{:>12}",
        "total", used[0], used[1], used[2]
    );
    println!(
        "{:<18}{:>12}{:>12}{:>12}",
        "budget", budget[0], budget[1], ""
    );
    println!(
        "\n{} of {} experts per layer have a slot; context {} of {} tokens.",
        p.experts_per_layer, p.experts_total, p.context, p.max_context
    );
    println!(
        "{}",
        if p.fits {
            "It fits."
        } else {
            "It does not fit."
        }
    );
    for note in &p.notes {
        println!("note: {note}");
    }
}
