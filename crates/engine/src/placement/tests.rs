//! Placement for machines and budgets of all kinds.

use std::collections::BTreeMap;

use super::*;
use crate::protocol::{GpuInfo, GpuShare};

const MIB: u64 = 1 << 20;

/// Roughly Qwen3-Next-80B at 4.5 bits per weight.
fn large() -> ModelSizes {
    let weights = BTreeMap::from([
        (Component::Embeddings, 175 * MIB),
        (Component::Attention, 190 * MIB),
        (Component::DeltaNet, 700 * MIB),
        (Component::Routers, 96 * MIB),
        (Component::Norms, MIB),
        (Component::SharedExperts, 85 * MIB),
        (Component::OutputHead, 255 * MIB),
    ]);
    let per_layer = [
        Component::Attention,
        Component::DeltaNet,
        Component::Routers,
        Component::SharedExperts,
    ];
    let layer = LayerSizes {
        weights: per_layer.map(|c| (c, weights[&c] / 48)).into(),
        kv_bytes_per_token: 512,
        recurrent_bytes: 300 * MIB / 48,
        slot_bytes: 1_769_472,
        vram_rounding: 0,
    };
    ModelSizes {
        weights,
        layers: vec![layer; 48],
        gpu_program_bytes: 300 * MIB,
        loaded_on_gpu: None,
        kv_bytes_per_token: 24 * 1024,
        recurrent_bytes: 300 * MIB,
        activation_bytes: 200 * MIB,
        program_bytes: 100 * MIB,
        transit_bytes: 20 * MIB,
        slot_bytes: vec![1_769_472; 48],
        experts: 512,
        max_context: 262_144,
        file_bytes: 45 * GIB,
    }
}

fn machine(ram: u64, vram: Option<u64>) -> Hardware {
    let gpus = vram.map(|v| GpuInfo {
        vram_total: v,
        vram_free: v,
        ..GpuInfo::default()
    });
    Hardware {
        ram_total: ram,
        ram_available: ram,
        gpus: gpus.into_iter().collect(),
        ..Hardware::default()
    }
}

fn settings(vram: Option<u64>, ram: Option<u64>, experts: Option<usize>) -> MemorySettings {
    MemorySettings {
        vram_budget: vram,
        ram_budget: ram,
        cached_experts_per_layer: experts,
        ..MemorySettings::default()
    }
}

/// No tier is ever filled beyond its budget when the placement says it fits, and
/// every expert is somewhere.
fn check(p: &Placement, sizes: &ModelSizes) {
    for tier in &p.tiers {
        assert!(
            !p.fits || tier.tier == Tier::Disk || tier.used <= tier.budget,
            "{tier:?}"
        );
        let rows: u64 = p
            .rows
            .iter()
            .filter(|r| r.tier == tier.tier)
            .map(|r| r.bytes)
            .sum();
        assert_eq!(rows, tier.used);
    }
    let slots = p
        .rows
        .iter()
        .filter(|r| r.component == Component::ExpertSlots && r.tier == Tier::Ram);
    let held: u64 = slots.map(|r| r.bytes).sum();
    let disk: u64 = p
        .rows
        .iter()
        .filter(|r| r.tier == Tier::Disk)
        .map(|r| r.bytes)
        .sum();
    assert_eq!(held + disk, sizes.all_experts());
    assert!(p.experts_min <= p.experts_per_layer && p.experts_per_layer <= p.experts_total);
    assert!(p.ram_min <= p.ram_max);
}

#[test]
fn a_large_machine_keeps_every_expert_in_ram() {
    let sizes = large();
    let p = place(
        &sizes,
        &machine(100 * GIB, None),
        &settings(None, None, None),
        "no GPU",
    );
    check(&p, &sizes);
    assert!(p.fits);
    assert_eq!(p.experts_per_layer, 512);
    assert!(p.rows.iter().all(|r| r.tier == Tier::Ram));
}

#[test]
fn a_small_machine_leaves_experts_on_disk() {
    let sizes = large();
    let p = place(
        &sizes,
        &machine(16 * GIB, None),
        &settings(None, None, None),
        "no GPU",
    );
    check(&p, &sizes);
    assert!(p.fits);
    assert!(
        (60..200).contains(&p.experts_per_layer),
        "{}",
        p.experts_per_layer
    );
}

#[test]
fn fourteen_gib_of_vram_take_what_every_token_needs_and_hot_experts() {
    let sizes = large();
    let hardware = machine(100 * GIB, Some(16 * GIB));
    let p = place(
        &sizes,
        &hardware,
        &settings(Some(14 * GIB), Some(90 * GIB), None),
        "",
    );
    check(&p, &sizes);
    let in_vram = |c| {
        p.rows
            .iter()
            .any(|r| r.component == c && r.tier == Tier::Vram)
    };
    for component in [
        Component::Attention,
        Component::Embeddings,
        Component::SessionState,
    ] {
        assert!(in_vram(component), "{component:?}");
    }
    assert_eq!(p.gpu.layers, 48);
    assert!(p.gpu.head && p.gpu.embeddings);
    assert!((120..160).contains(&p.gpu.experts), "{}", p.gpu.experts);
    assert_eq!(p.experts_per_layer, 512, "RAM has room for all");
    let few = MemorySettings {
        experts_vram: Some(20),
        ..settings(Some(14 * GIB), None, None)
    };
    let few = place(&sizes, &hardware, &few, "");
    assert_eq!(few.gpu.experts, 20);
}

#[test]
fn a_small_gpu_takes_the_first_layers_and_says_so() {
    let sizes = large();
    let hardware = machine(100 * GIB, Some(2 * GIB));
    let p = place(&sizes, &hardware, &settings(Some(GIB), None, None), "");
    check(&p, &sizes);
    assert!((1..48).contains(&p.gpu.layers), "{:?}", p.gpu);
    assert!(!p.gpu.head && !p.gpu.embeddings);
    assert!(p.notes.iter().any(|n| n.contains("of 48 layers")));

    let none = place(
        &sizes,
        &hardware,
        &settings(Some(200 * MIB), None, None),
        "",
    );
    check(&none, &sizes);
    assert_eq!(none.gpu, GpuShare::default());
    assert!(none.rows.iter().all(|r| r.tier != Tier::Vram));
}

#[test]
fn what_is_loaded_on_the_gpu_stays_there_and_only_slots_give_way() {
    let mut sizes = large();
    let hardware = machine(100 * GIB, Some(16 * GIB));
    let at = |sizes: &ModelSizes, gib| {
        place(sizes, &hardware, &settings(Some(gib * GIB), None, None), "")
    };
    let loaded = at(&sizes, 14).gpu;
    sizes.loaded_on_gpu = Some(loaded);
    let less = at(&sizes, 8);
    assert!(less.fits && less.gpu.layers == 48 && less.gpu.experts < loaded.experts);
    let too_little = at(&sizes, 1);
    assert!(!too_little.fits);
    assert!(too_little.notes.iter().any(|n| n.contains("VRAM budget")));
}

#[test]
fn too_little_memory_is_said_with_the_amount_needed() {
    let sizes = large();
    let p = place(
        &sizes,
        &machine(100 * GIB, None),
        &settings(None, Some(GIB), None),
        "no GPU",
    );
    check(&p, &sizes);
    assert!(!p.fits);
    assert!(
        p.notes
            .iter()
            .any(|n| n.contains("at least") && n.contains("GiB")),
        "{:?}",
        p.notes
    );
    let enough = place(
        &sizes,
        &machine(100 * GIB, None),
        &settings(None, Some(p.ram_min), None),
        "no GPU",
    );
    assert!(!enough.fits || enough.experts_per_layer >= 1);
}

#[test]
fn more_experts_than_the_budget_holds_are_cut_back_with_a_note() {
    let sizes = large();
    let hardware = machine(100 * GIB, None);
    let p = place(
        &sizes,
        &hardware,
        &settings(None, Some(10 * GIB), Some(500)),
        "no GPU",
    );
    check(&p, &sizes);
    assert_eq!(p.experts_per_layer, p.experts_max);
    assert!(p.notes.iter().any(|n| n.contains("500")), "{:?}", p.notes);
}

#[test]
fn every_budget_and_slot_count_keeps_the_promises() {
    let sizes = large();
    for ram in (1..100).step_by(7) {
        for vram in [0, 2, 6, 14, 40] {
            for experts in [None, Some(1), Some(10), Some(512), Some(9999)] {
                let s = settings(Some(vram * GIB), Some(ram * GIB), experts);
                check(
                    &place(&sizes, &machine(128 * GIB, Some(48 * GIB)), &s, ""),
                    &sizes,
                );
            }
        }
    }
}
