//! Expert memory: slots per layer in RAM over experts on disk. Which experts are
//! resident never changes what is computed, only how long it takes.

mod score;
mod slots;

use std::sync::Arc;
use std::time::Instant;

use moestro_checkpoint::Checkpoint;
use moestro_kernels::{Compute, Matrix};

pub use self::slots::ExpertCounters;
use self::slots::LayerSlots;
use crate::error::Result;
use crate::protocol::{LayerResidency, Totals};
use crate::weights::LayerExperts;

/// The routed experts of all layers. Rows number the layers that have experts.
pub struct Experts {
    checkpoint: Arc<Checkpoint>,
    layers: Vec<LayerSlots>,
    tokens: u64,
    /// Routed experts of each row in order, while somebody records them.
    routes: Option<Vec<Vec<u32>>>,
}

impl Experts {
    /// Nothing is read yet; slots fill as experts are used.
    pub fn new(checkpoint: Arc<Checkpoint>, layers: Vec<LayerExperts>, slots: usize) -> Experts {
        let layers = layers
            .into_iter()
            .map(|l| LayerSlots::new(l, slots))
            .collect();
        Experts {
            checkpoint,
            layers,
            tokens: 0,
            routes: None,
        }
    }

    /// Slots of a layer; at least one.
    pub fn slots(&self, row: usize) -> usize {
        self.layers[row].capacity()
    }

    /// Changes the slots of every layer, dropping the experts least likely to be
    /// used again.
    pub fn resize(&mut self, slots: usize) {
        self.layers.iter_mut().for_each(|l| l.resize(slots));
    }

    pub fn is_resident(&self, row: usize, expert: u32) -> bool {
        self.layers[row].is_resident(expert)
    }

    /// Notes which experts the router chose, `[tokens, per_token]`, and lets the
    /// clock of recency tick once per token.
    pub fn record_routing(&mut self, row: usize, ids: &[u32], per_token: usize) {
        if row == 0 {
            self.tokens += (ids.len() / per_token) as u64;
        }
        self.layers[row].record_routing(ids, self.tokens);
        if let Some(routes) = &mut self.routes {
            routes[row].extend_from_slice(ids);
        }
    }

    /// Starts keeping every routing decision, dropping what was kept before.
    pub fn record_routes(&mut self) {
        self.routes = Some(vec![Vec::new(); self.layers.len()]);
    }

    /// Ends recording. One list per row, `[tokens, experts_per_token]`, best first.
    pub fn take_routes(&mut self) -> Vec<Vec<u32>> {
        self.routes.take().unwrap_or_default()
    }

    /// Brings the experts into slots, reading those that are on disk. At most
    /// `slots(row)` experts may be wanted at once.
    pub fn make_resident(&mut self, compute: &Compute, row: usize, wanted: &[u32]) -> Result<()> {
        self.layers[row].make_resident(&self.checkpoint, compute, wanted)
    }

    /// gate, up and down of a resident expert.
    pub fn matrices(&self, row: usize, expert: u32) -> [Matrix<'_>; 3] {
        self.layers[row].matrices(expert)
    }

    /// Reads one expert into a free slot, if there is one left; for idle time.
    /// Returns whether anything was read.
    pub fn fill_one(&mut self, compute: &Compute) -> Result<bool> {
        let row = (0..self.layers.len())
            .filter(|r| self.layers[*r].next_to_fill().is_some())
            .min_by_key(|r| self.layers[*r].resident());
        let Some(row) = row else { return Ok(false) };
        let layer = &mut self.layers[row];
        let expert = layer
            .next_to_fill()
            .expect("the row was chosen for having one");
        layer.fill(&self.checkpoint, compute, expert)?;
        Ok(true)
    }

    /// Bytes of all filled or allocated slots.
    pub fn slot_bytes(&self) -> u64 {
        self.layers.iter().map(LayerSlots::bytes).sum()
    }

    /// Bytes that every expert together would take.
    pub fn all_bytes(&self) -> u64 {
        self.layers.iter().map(LayerSlots::all_bytes).sum()
    }

    pub fn residency(&self) -> Vec<LayerResidency> {
        self.layers.iter().map(LayerSlots::residency).collect()
    }

    /// Counters per layer and expert since the model was loaded.
    pub fn counters(&self) -> impl Iterator<Item = &[ExpertCounters]> {
        self.layers.iter().map(LayerSlots::counters)
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            tokens: self.tokens,
            ..Totals::default()
        };
        self.layers
            .iter()
            .for_each(|layer| layer.add_to(&mut totals));
        totals
    }

    /// One byte per expert, rows x experts: bit 7 resident, low six bits recency.
    pub fn heat(&self) -> Vec<u8> {
        self.layers
            .iter()
            .flat_map(|l| l.heat(self.tokens))
            .collect()
    }
}

/// Microseconds since `start`.
fn micros(start: Instant) -> u64 {
    start.elapsed().as_micros() as u64
}
