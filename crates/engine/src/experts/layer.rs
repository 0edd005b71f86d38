//! The experts of one layer: what is in slots, and what was counted.

use std::sync::Arc;

use moestro_kernels::Matrix;
use moestro_residency::{Depth, Lookup, Policy, Resident};

use super::buffer::Held;
use super::latencies::Latencies;
use super::source::{parts, sizes};
use crate::protocol::{LayerResidency, Totals};
use crate::weights::LayerExperts;

/// What happened to one expert since the model was loaded.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExpertCounters {
    /// Tokens that were routed to it.
    pub uses: u64,
    /// Times it was wanted and found in a slot.
    pub hits: u64,
    /// Times it was wanted and had to be read.
    pub misses: u64,
}

pub struct Layer {
    pub source: Arc<LayerExperts>,
    resident: Resident<Held>,
    counters: Vec<ExpertCounters>,
    /// The counters of all experts together.
    sum: ExpertCounters,
    pub bytes_read: u64,
    pub wait_us: u64,
    pub latencies: Latencies,
}

impl Layer {
    pub fn new(source: LayerExperts, slots: usize, policy: Policy) -> Layer {
        let experts = source.experts.len();
        Layer {
            source: Arc::new(source),
            resident: Resident::new(experts, slots, policy),
            counters: vec![ExpertCounters::default(); experts],
            sum: ExpertCounters::default(),
            bytes_read: 0,
            wait_us: 0,
            latencies: Latencies::default(),
        }
    }

    pub fn experts(&self) -> usize {
        self.counters.len()
    }

    pub fn resident(&self) -> &Resident<Held> {
        &self.resident
    }

    pub fn resident_mut(&mut self) -> &mut Resident<Held> {
        &mut self.resident
    }

    pub fn counters(&self) -> &[ExpertCounters] {
        &self.counters
    }

    pub fn slot_bytes(&self) -> u64 {
        sizes(&self.source.layout).iter().map(|b| *b as u64).sum()
    }

    /// Bytes of the slots that are filled.
    pub fn bytes(&self) -> u64 {
        self.resident.slots().len() as u64 * self.slot_bytes()
    }

    /// Adds what this layer counted to `totals`.
    pub fn add_to(&self, totals: &mut Totals) {
        totals.uses += self.sum.uses;
        totals.hits += self.sum.hits;
        totals.misses += self.sum.misses;
        totals.bytes_read += self.bytes_read;
        totals.wait_us += self.wait_us;
    }

    pub fn residency(&self) -> LayerResidency {
        let [swap_p50_us, swap_p95_us] = self.latencies.percentiles([0.5, 0.95]);
        LayerResidency {
            layer: self.source.layer,
            slots: self.resident.slots().capacity(),
            resident: self.resident.slots().len(),
            hits: self.sum.hits,
            misses: self.sum.misses,
            bytes_read: self.bytes_read,
            wait_us: self.wait_us,
            swap_p50_us,
            swap_p95_us,
            ..LayerResidency::default()
        }
    }

    /// Notes the experts of tokens `before + 1` on, `[tokens, per_token]`. A single
    /// token is a decoded one, whose depths are returned.
    pub fn record(&mut self, ids: &[u32], per_token: usize, before: u64) -> Option<Vec<Depth>> {
        let depths = (ids.len() == per_token).then(|| self.resident.depths(ids));
        for (token, ids) in ids.chunks_exact(per_token).enumerate() {
            self.resident.record(ids, before + 1 + token as u64);
        }
        for id in ids {
            self.counters[*id as usize].uses += 1;
        }
        self.sum.uses += ids.len() as u64;
        if depths.is_some() {
            self.resident.reconsider();
        }
        depths
    }

    /// Divides the wanted experts into those in slots and the others, and counts.
    pub fn look_up(&mut self, wanted: &[u32]) -> Lookup {
        let found = self.resident.look_up(wanted);
        for expert in &found.hits {
            self.counters[*expert as usize].hits += 1;
        }
        for expert in &found.misses {
            self.counters[*expert as usize].misses += 1;
        }
        self.sum.hits += found.hits.len() as u64;
        self.sum.misses += found.misses.len() as u64;
        found
    }

    /// One byte per expert: bit 7 in a slot, the low six bits how lately it was used.
    pub fn heat(&self, now: u64) -> impl Iterator<Item = u8> {
        let (slots, ranking) = (self.resident.slots(), self.resident.ranking());
        (0..self.experts() as u32).map(move |e| {
            let held = if slots.holds(e) { 0x80 } else { 0 };
            held | recency(ranking.last_used(e), now)
        })
    }

    /// gate, up and down, from what is held of an expert.
    pub fn matrices<'a>(&self, held: &'a Held) -> [Matrix<'a>; 3] {
        let [gate, up, down] = parts(&self.source.layout);
        [(gate, &held[0]), (up, &held[1]), (down, &held[2])].map(|(part, data)| {
            part.matrix(data)
                .expect("the layout was computed from the same format and shape")
        })
    }
}

/// 63 for a use in this very token, fading to 1; 0 if never used.
fn recency(last: u64, now: u64) -> u8 {
    if last == 0 {
        return 0;
    }
    match now.saturating_sub(last).min(1_000) {
        0 => 63,
        age => (62.0 * 0.93_f32.powi(age as i32)).ceil().max(1.0) as u8,
    }
}

#[cfg(test)]
mod tests {
    use super::recency;

    #[test]
    fn recency_fades_but_remembers() {
        assert_eq!(recency(0, 5), 0);
        assert_eq!(recency(5, 5), 63);
        assert!(recency(5, 6) < 63 && recency(5, 6) > recency(5, 20));
        assert_eq!(recency(5, 1_000_000), 1);
    }
}
