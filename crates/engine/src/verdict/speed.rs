//! How long a token will take, from a model's sizes and this machine's bandwidths.

use moestro_residency::Expected;

use super::Bandwidth;
use crate::inspection::Inspection;
use crate::protocol::Component;

/// Part of the memory bandwidth that decoding reaches.
const MEMORY_SHARE: f64 = 0.8;
/// What a layer takes however small it is: waking threads, and the small steps
/// between the large products.
const SECONDS_PER_LAYER: f64 = 60e-6;

/// What is expected of a model with as many slots.
pub struct Expectation {
    /// Share of expert uses that find a slot, 0 to 1.
    pub hit_rate: f64,
    pub seconds_per_token: Option<f64>,
}

/// Keys and values are left out, as of a short context.
pub fn expect(
    inspection: &Inspection,
    per_token: usize,
    slots: usize,
    bandwidth: Option<&Bandwidth>,
) -> Expectation {
    let expected = Expected::published(inspection.sizes.experts, per_token);
    let hit_rate = expected.as_ref().map_or(1.0, |e| e.hit_rate(slots));
    let seconds = |b: &Bandwidth| {
        let misses = expected.as_ref().map(|e| e.misses(slots));
        always(inspection, b) + experts(inspection, misses.as_deref().unwrap_or(&[1.0]), b)
    };
    Expectation {
        hit_rate,
        seconds_per_token: bandwidth.map(seconds),
    }
}

/// Seconds for what every token needs.
fn always(inspection: &Inspection, bandwidth: &Bandwidth) -> f64 {
    let (weights, blueprint) = (&inspection.sizes.weights, &inspection.blueprint);
    // Of the embeddings a token reads one row, unless they are the output head too.
    let is_read = |component| component != Component::Embeddings || blueprint.tied_head;
    let weights = weights.iter().filter(|(component, _)| is_read(**component));
    let weights: u64 = weights.map(|(_, bytes)| bytes).sum();
    // Read and written.
    let state = 2 * blueprint.recurrent_elements() as u64 * 4;
    let layers = blueprint.layers.len() as f64;
    (weights + state) as f64 / (bandwidth.memory * MEMORY_SHARE) + layers * SECONDS_PER_LAYER
}

/// Seconds for the experts of all layers, of which the shares `misses` of tokens
/// miss 0, 1, ... A layer computes what is there while it reads the others, and
/// the last to arrive when it has arrived.
fn experts(inspection: &Inspection, misses: &[f64], bandwidth: &Bandwidth) -> f64 {
    let per_token = misses.len() - 1;
    let one_layer = |slot: &u64| {
        let compute = *slot as f64 / (bandwidth.memory * MEMORY_SHARE);
        let read = *slot as f64 / bandwidth.disk;
        let step = |missing: usize| {
            let last = if missing > 0 { compute } else { 0.0 };
            (per_token as f64 * compute).max(missing as f64 * read + last)
        };
        let steps = misses.iter().enumerate();
        steps.map(|(m, share)| share * step(m)).sum::<f64>()
    };
    inspection.sizes.slot_bytes.iter().map(one_layer).sum()
}
