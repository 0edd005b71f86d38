//! The expert slots of one layer: which expert sits where, and whom to replace.

use std::sync::Mutex;
use std::time::Instant;

use moestro_checkpoint::{Checkpoint, CheckpointError};
use moestro_kernels::{AlignedBytes, Compute, Matrix};

use super::micros;
use super::score::Score;
use crate::error::{EngineError, Result};
use crate::protocol::{LayerResidency, Totals};
use crate::weights::{ExpertPart, LayerExperts};

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

pub struct LayerSlots {
    source: LayerExperts,
    /// Slots allowed; buffers are allocated when first needed.
    capacity: usize,
    slots: Vec<Slot>,
    /// Slot of each expert.
    place: Vec<Option<usize>>,
    scores: Vec<Score>,
    counters: Vec<ExpertCounters>,
    /// The counters of all experts together.
    sum: ExpertCounters,
    bytes_read: u64,
    wait_us: u64,
    now: u64,
}

struct Slot {
    expert: Option<u32>,
    data: AlignedBytes,
}

/// An expert on its way into a buffer.
struct Arrival {
    expert: u32,
    data: AlignedBytes,
    failure: Option<CheckpointError>,
}

impl LayerSlots {
    pub fn new(source: LayerExperts, capacity: usize) -> LayerSlots {
        let experts = source.experts.len();
        LayerSlots {
            capacity: capacity.clamp(1, experts),
            slots: Vec::new(),
            place: vec![None; experts],
            scores: vec![Score::default(); experts],
            counters: vec![ExpertCounters::default(); experts],
            sum: ExpertCounters::default(),
            bytes_read: 0,
            wait_us: 0,
            now: 0,
            source,
        }
    }

    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn is_resident(&self, expert: u32) -> bool {
        self.place[expert as usize].is_some()
    }

    pub fn resident(&self) -> usize {
        self.place.iter().flatten().count()
    }

    pub fn counters(&self) -> &[ExpertCounters] {
        &self.counters
    }

    /// Adds what this layer counted to `totals`.
    pub fn add_to(&self, totals: &mut Totals) {
        totals.uses += self.sum.uses;
        totals.hits += self.sum.hits;
        totals.misses += self.sum.misses;
        totals.bytes_read += self.bytes_read;
        totals.wait_us += self.wait_us;
    }

    pub fn bytes(&self) -> u64 {
        (self.slots.len() * self.source.layout.slot_bytes) as u64
    }

    pub fn all_bytes(&self) -> u64 {
        (self.source.experts.len() * self.source.layout.slot_bytes) as u64
    }

    pub fn residency(&self) -> LayerResidency {
        LayerResidency {
            layer: self.source.layer,
            slots: self.capacity,
            resident: self.resident(),
            hits: self.sum.hits,
            misses: self.sum.misses,
            bytes_read: self.bytes_read,
            wait_us: self.wait_us,
        }
    }

    pub fn heat(&self, now: u64) -> impl Iterator<Item = u8> {
        self.scores
            .iter()
            .zip(&self.place)
            .map(move |(score, place)| score.heat(now) | if place.is_some() { 0x80 } else { 0 })
    }

    pub fn record_routing(&mut self, ids: &[u32], now: u64) {
        self.now = now;
        for id in ids {
            self.scores[*id as usize].record(now);
            self.counters[*id as usize].uses += 1;
            self.sum.uses += 1;
        }
    }

    pub fn resize(&mut self, capacity: usize) {
        self.capacity = capacity.clamp(1, self.source.experts.len());
        while self.slots.len() > self.capacity {
            let victim = self.victim(&[]).expect("there are slots left to drop");
            self.remove(victim);
        }
    }

    pub fn matrices(&self, expert: u32) -> [Matrix<'_>; 3] {
        let slot = self.place[expert as usize].expect("matrices are asked of resident experts");
        let data = &self.slots[slot].data;
        let part = |p: &ExpertPart| {
            Matrix::new(
                p.format,
                p.rows,
                p.cols,
                &data[p.offset..p.offset + p.bytes],
            )
            .expect("the layout was computed from the same format and shape")
        };
        let layout = &self.source.layout;
        [part(&layout.gate), part(&layout.up), part(&layout.down)]
    }

    pub fn make_resident(
        &mut self,
        checkpoint: &Checkpoint,
        compute: &Compute,
        wanted: &[u32],
    ) -> Result<()> {
        assert!(
            wanted.len() <= self.capacity,
            "more experts wanted than there are slots"
        );
        let mut missing = Vec::new();
        for expert in wanted {
            let counters = &mut self.counters[*expert as usize];
            if self.place[*expert as usize].is_some() {
                counters.hits += 1;
                self.sum.hits += 1;
            } else {
                counters.misses += 1;
                self.sum.misses += 1;
                missing.push(*expert);
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let done = self.fetch(checkpoint, compute, &missing, wanted);
        self.wait_us += micros(start);
        done
    }

    /// The most promising expert that has no slot, if a slot is free.
    pub fn next_to_fill(&self) -> Option<u32> {
        if self.resident() >= self.capacity {
            return None;
        }
        (0..self.place.len() as u32)
            .filter(|e| !self.is_resident(*e))
            .max_by(|a, b| self.promise(*a).total_cmp(&self.promise(*b)).then(b.cmp(a)))
    }

    pub fn fill(&mut self, checkpoint: &Checkpoint, compute: &Compute, expert: u32) -> Result<()> {
        self.fetch(checkpoint, compute, &[expert], &[])
    }

    fn promise(&self, expert: u32) -> f32 {
        self.scores[expert as usize].at(self.now)
    }

    /// Reads `missing` into free or vacated slots. `keep` are not replaced.
    fn fetch(
        &mut self,
        checkpoint: &Checkpoint,
        compute: &Compute,
        missing: &[u32],
        keep: &[u32],
    ) -> Result<()> {
        let mut arrivals = Vec::with_capacity(missing.len());
        for expert in missing {
            let data = self.buffer(arrivals.len(), keep)?;
            arrivals.push(Mutex::new(Arrival {
                expert: *expert,
                data,
                failure: None,
            }));
        }
        let source = &self.source;
        compute.parallel(arrivals.len(), &|i| {
            let mut arrival = arrivals[i].lock().expect("each arrival has one reader");
            arrival.failure = read_expert(checkpoint, source, &mut arrival).err();
        });
        let mut failure = None;
        for arrival in arrivals {
            let arrival = arrival.into_inner().expect("no reader panicked");
            let expert = match arrival.failure {
                None => {
                    self.place[arrival.expert as usize] = Some(self.slots.len());
                    self.bytes_read += self.source.layout.slot_bytes as u64;
                    Some(arrival.expert)
                }
                Some(error) => {
                    failure = Some(error);
                    None
                }
            };
            self.slots.push(Slot {
                expert,
                data: arrival.data,
            });
        }
        failure.map_or(Ok(()), |e| Err(EngineError::ExpertRead(e)))
    }

    /// A buffer for one expert: new while slots are left, else taken from the
    /// resident expert least likely to be used again. Buffers handed out before
    /// and not yet back in a slot count against the capacity.
    fn buffer(&mut self, handed_out: usize, keep: &[u32]) -> Result<AlignedBytes> {
        let empty = self.slots.iter().position(|s| s.expert.is_none());
        if empty.is_none() && self.slots.len() + handed_out < self.capacity {
            let bytes = self.source.layout.slot_bytes;
            return AlignedBytes::try_new(bytes).ok_or_else(|| EngineError::OutOfMemory {
                what: format!("an expert slot of layer {}", self.source.layer),
                bytes: bytes as u64,
            });
        }
        let slot = empty
            .or_else(|| self.victim(keep))
            .expect("a layer has at least as many slots as experts wanted at once");
        Ok(self.remove(slot).data)
    }

    fn remove(&mut self, slot: usize) -> Slot {
        if let Some(expert) = self.slots[slot].expert {
            self.place[expert as usize] = None;
        }
        let removed = self.slots.swap_remove(slot);
        if let Some(moved) = self.slots.get(slot).and_then(|s| s.expert) {
            self.place[moved as usize] = Some(slot);
        }
        removed
    }

    /// The slot whose expert is least promising and not in `keep`; the least
    /// recently used among equals.
    fn victim(&self, keep: &[u32]) -> Option<usize> {
        let rank = |slot: &usize| {
            self.slots[*slot]
                .expert
                .map(|e| (self.promise(e), self.scores[e as usize].last_used()))
        };
        (0..self.slots.len())
            .filter(|i| self.slots[*i].expert.is_none_or(|e| !keep.contains(&e)))
            .min_by(|a, b| match (rank(a), rank(b)) {
                (Some(x), Some(y)) => x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)),
                (x, y) => x.is_some().cmp(&y.is_some()),
            })
    }
}

fn read_expert(
    checkpoint: &Checkpoint,
    source: &LayerExperts,
    arrival: &mut Arrival,
) -> std::result::Result<(), CheckpointError> {
    let layout = &source.layout;
    let parts = [&layout.gate, &layout.up, &layout.down];
    for (part, segment) in parts
        .into_iter()
        .zip(&source.experts[arrival.expert as usize])
    {
        let tensor = &checkpoint.tensors()[segment.tensor];
        let out = &mut arrival.data[part.offset..part.offset + part.bytes];
        checkpoint.read(tensor, segment.offset, out)?;
    }
    Ok(())
}
