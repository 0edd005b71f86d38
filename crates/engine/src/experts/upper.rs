//! A tier above RAM that holds copies of experts and computes them beside the CPU.

use std::collections::HashMap;

use moestro_residency::{Link, Offload, OffloadStep};

use super::buffer::{Buffer, Held, bytes};

/// Where copies of experts can be kept and computed. RAM stays the tier below: what
/// is not here is computed there, so nothing ever waits for a copy.
pub trait Tier: Send {
    /// Takes a copy of an expert's matrices. False if there is no room.
    fn put(&mut self, row: usize, expert: u32, held: &Held) -> bool;
    fn remove(&mut self, row: usize, expert: u32);
    fn get(&self, row: usize, expert: u32) -> Option<&Held>;
    /// Bytes in use; never more than the budget.
    fn bytes(&self) -> u64;
    /// What things take.
    fn link(&self) -> Link;
}

/// Memory of the host that stands for a device, with the times of the device.
/// Results are the CPU's; only the clock is the device's.
pub struct StandIn {
    held: HashMap<(usize, u32), Held>,
    used: u64,
    budget: u64,
    link: Link,
}

impl StandIn {
    pub fn new(budget: u64, link: Link) -> StandIn {
        StandIn {
            held: HashMap::new(),
            used: 0,
            budget,
            link,
        }
    }
}

impl Tier for StandIn {
    fn put(&mut self, row: usize, expert: u32, held: &Held) -> bool {
        let size = bytes(held);
        if self.used + size > self.budget {
            return false;
        }
        let copy = |from: &Buffer| -> Option<Buffer> {
            let mut to = Buffer::try_new(from.len())?;
            to.copy_from_slice(from);
            Some(to)
        };
        let [Some(gate), Some(up), Some(down)] = held.each_ref().map(copy) else {
            return false;
        };
        if self.held.insert((row, expert), [gate, up, down]).is_none() {
            self.used += size;
        }
        true
    }

    fn remove(&mut self, row: usize, expert: u32) {
        if let Some(held) = self.held.remove(&(row, expert)) {
            self.used -= bytes(&held);
        }
    }

    fn get(&self, row: usize, expert: u32) -> Option<&Held> {
        self.held.get(&(row, expert))
    }

    fn bytes(&self) -> u64 {
        self.used
    }

    fn link(&self) -> Link {
        self.link
    }
}

/// An upper tier with the decisions of every layer, and the device's clock.
pub struct Upper {
    tier: Box<dyn Tier>,
    layers: Vec<Offload>,
    /// Seconds of all decoded tokens' experts, and what they would be without it.
    pub seconds: f64,
    pub plain: f64,
}

/// Copies per layer and token, at most.
const COPIES: usize = 2;

impl Upper {
    pub fn new(
        tier: Box<dyn Tier>,
        rows: usize,
        experts: usize,
        slots: usize,
        per_token: usize,
    ) -> Upper {
        let link = tier.link();
        let layer = |_| Offload::new(experts, slots, per_token, COPIES, link);
        Upper {
            tier,
            layers: (0..rows).map(layer).collect(),
            seconds: 0.0,
            plain: 0.0,
        }
    }

    /// Divides a decoded token's experts between above and below.
    pub fn step(&mut self, row: usize, wanted: &[u32], now: u64) -> OffloadStep {
        let mut step = self.layers[row].step(wanted, now);
        // A copy that did not find room is computed below.
        let (above, lost): (Vec<u32>, Vec<u32>) = std::mem::take(&mut step.above)
            .into_iter()
            .partition(|e| self.tier.get(row, *e).is_some());
        step.above = above;
        step.below.extend(lost);
        step
    }

    /// After the step: what was chosen goes up, from where it is held below.
    pub fn finish<'a>(
        &mut self,
        row: usize,
        step: &OffloadStep,
        below: impl Fn(u32) -> Option<&'a Held>,
    ) {
        for expert in &step.dropped {
            self.tier.remove(row, *expert);
        }
        for expert in &step.copies {
            if let Some(held) = below(*expert) {
                self.tier.put(row, *expert, held);
            }
        }
        let link = self.tier.link();
        let seconds = link.seconds(step.above.len(), step.below.len(), step.copies.len());
        self.seconds += seconds;
        self.plain += link.seconds(0, step.above.len() + step.below.len(), 0);
        self.layers[row].took(seconds);
    }

    pub fn get(&self, row: usize, expert: u32) -> Option<&Held> {
        self.tier.get(row, expert)
    }

    /// Is this layer's cache off because it was slower?
    pub fn lost(&self, row: usize) -> bool {
        self.layers[row].lost()
    }

    pub fn bytes(&self) -> u64 {
        self.tier.bytes()
    }
}
