//! What of a model goes to the GPU: whole layers first, because every token needs
//! all of them, and slots for experts in what is left.

use std::collections::BTreeMap;

use super::{Layout, ModelSizes};
use crate::experts::stage_bytes;
use crate::protocol::{Component, GpuShare, Tier};

/// As many layers as the budget holds, then output head and embeddings, then slots:
/// `asked` of each layer, or as many as fit. What is loaded stays where it is.
pub fn share(sizes: &ModelSizes, context: usize, budget: u64, asked: Option<usize>) -> GpuShare {
    let share = match sizes.loaded_on_gpu {
        Some(loaded) => loaded,
        None => always_needed(sizes, context, budget),
    };
    let slot = sizes.slot_bytes_of_first(share.layers);
    let left = budget.saturating_sub(bytes(sizes, context, share).values().sum());
    let room = left.checked_div(slot).unwrap_or(0) as usize;
    let experts = room.min(sizes.experts).min(asked.unwrap_or(usize::MAX));
    GpuShare { experts, ..share }
}

fn always_needed(sizes: &ModelSizes, context: usize, budget: u64) -> GpuShare {
    let fits = |share: &GpuShare| bytes(sizes, context, *share).values().sum::<u64>() <= budget;
    let with = |layers| GpuShare {
        layers,
        ..GpuShare::default()
    };
    let layers = (1..=sizes.layers.len()).take_while(|n| fits(&with(*n)));
    let mut share = with(layers.last().unwrap_or(0));
    if share.layers == sizes.layers.len() && share.layers > 0 {
        share.head = fits(&GpuShare {
            head: true,
            ..share
        });
        let embeddings = GpuShare {
            embeddings: true,
            ..share
        };
        // Tied, they are the head; else the experts make more of a scarce gigabyte.
        share.embeddings = fits(&embeddings);
    }
    share
}

/// Bytes in VRAM of each component, slots aside.
fn bytes(sizes: &ModelSizes, context: usize, share: GpuShare) -> BTreeMap<Component, u64> {
    let mut bytes = BTreeMap::new();
    if share.layers == 0 {
        return bytes;
    }
    let mut add = |component, more| *bytes.entry(component).or_default() += more;
    add(Component::Program, sizes.gpu_program_bytes);
    // Buffers of several sizes are kept for the next step.
    add(Component::Activations, 2 * sizes.activation_bytes);
    // A cache that grows is there twice for a moment.
    let growing = sizes.layers[..share.layers]
        .iter()
        .map(|l| l.kv_bytes_per_token * context as u64);
    add(Component::SessionState, growing.max().unwrap_or(0));
    for layer in &sizes.layers[..share.layers] {
        layer.weights.iter().for_each(|(c, more)| add(*c, *more));
        add(Component::Program, layer.vram_rounding);
        add(Component::SessionState, layer.state_bytes(context));
    }
    let slots = sizes.layers[..share.layers].iter().map(|l| l.slot_bytes);
    add(Component::ReadBuffers, stage_bytes(slots));
    let weight = |c| sizes.weights.get(&c).copied().unwrap_or(0);
    if share.head {
        add(Component::OutputHead, weight(Component::OutputHead));
    }
    if share.embeddings {
        add(Component::Embeddings, weight(Component::Embeddings));
    }
    bytes
}

/// Adds what every token needs to both tiers, and the slots in VRAM.
pub(super) fn lay_out(layout: &mut Layout, sizes: &ModelSizes, context: usize, share: GpuShare) {
    let above = bytes(sizes, context, share);
    for (component, bytes) in &above {
        layout.add(*component, Tier::Vram, *bytes);
    }
    let rest = |component, all: u64| match component {
        // Those of the processor are needed as well.
        Component::Activations => all,
        _ => all.saturating_sub(above.get(&component).copied().unwrap_or(0)),
    };
    let state = (Component::SessionState, sizes.state_bytes(context));
    let activations = (Component::Activations, sizes.activation_bytes);
    let weights = sizes.weights.iter().map(|(c, bytes)| (*c, *bytes));
    for (component, all) in weights.chain([state, activations]) {
        layout.add(component, Tier::Ram, rest(component, all));
    }
    let slots = sizes.slot_bytes_of_first(share.layers) * share.experts as u64;
    layout.add(Component::ExpertSlots, Tier::Vram, slots);
}
