//! Expert memory: slots per layer in RAM over experts on disk. Which experts are
//! resident never changes what is computed, only how long it takes.
//!
//! What is decided here is decided by `moestro-residency`; this module holds the
//! bytes, reads them and takes the time.

mod above;
mod buffer;
mod forecast;
mod latencies;
mod layer;
mod preload;
mod profile;
mod reader;
mod routing;
mod source;
mod stage;
mod step;
#[cfg(test)]
mod tests;
mod upper;
mod vram;

use std::sync::Arc;
use std::time::{Duration, Instant};

use moestro_checkpoint::Checkpoint;
use moestro_kernels::Matrix;
use moestro_residency::{
    Allocation, Depth, DepthLog, Mean, OffloadStep, Policy, StepTimes, Trace, allocate,
};

use self::buffer::Transit;
use self::latencies::Latencies;
use self::layer::Layer;
use self::preload::Preloads;
use self::reader::Reader;
use self::source::{Files, Source};
use self::step::Step;
use self::upper::Upper;
use crate::error::{EngineError, Result};
use crate::protocol::{LayerResidency, Preloading, Telemetry, Totals};
use crate::weights::LayerExperts;

pub use self::forecast::Forecaster;
pub use self::layer::ExpertCounters;
pub use self::reader::THREADS as READING_THREADS;
pub use self::stage::{Sent, Stage, stage_bytes};

/// Decoded tokens whose depths are kept for predictions.
const REMEMBERED: usize = 512;
/// Decoded tokens between two looks at the allocation over layers.
const REALLOCATE: u64 = 256;
/// How long giving memory back may hold up one token.
const GIVING_BACK: Duration = Duration::from_millis(50);
/// A first guess of what a disk reads, bytes per second; measured from then on.
const USUAL_DISK: f64 = 1.5e9;

/// Experts that may be on their way from disk at once.
pub fn in_flight(per_token: usize, experts: usize) -> usize {
    per_token.max(4).min(experts.max(1))
}

/// Bytes for experts on their way and the scratch memory of the reading threads.
pub fn transit_bytes(layers: &[LayerExperts], per_token: usize) -> u64 {
    let mut kinds: Vec<usize> = layers.iter().map(|l| l.layout.slot_bytes).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let experts = layers.iter().map(|l| l.experts.len()).max().unwrap_or(0);
    let buffers = kinds.iter().sum::<usize>() * in_flight(per_token, experts);
    let scratch = source::scratch_for(layers) * reader::THREADS;
    if layers.is_empty() {
        0
    } else {
        (buffers + scratch) as u64
    }
}

/// The routed experts of all layers. Rows number the layers that have experts.
pub struct Experts {
    layers: Vec<Layer>,
    reader: Reader,
    transit: Transit,
    step: Option<Step>,
    ticket: u64,
    tokens: u64,
    per_token: usize,
    /// Is a single token under way?
    decoding: bool,
    /// Depths of the token under way.
    depths: Vec<Depth>,
    log: DepthLog,
    times: StepTimes,
    steps_by_misses: Vec<u64>,
    /// Bytes of experts computed.
    computed_bytes: u64,
    latencies: Latencies,
    direct: bool,
    /// Slots per layer allowed, and whether layers may differ from that.
    slots: usize,
    even: bool,
    decoded: u64,
    /// Routed experts of each row in order, while somebody records them.
    routes: Option<Vec<Vec<u32>>>,
    /// Routing that takes the place of the router's, and the token it is at.
    replay: Option<(Arc<Trace>, usize)>,
    profile: Option<profile::Kept>,
    /// What a row was guessed to want, and how much of it was right lately.
    guess: Option<(usize, Vec<u32>)>,
    preloads: Preloads,
    /// A tier above RAM, if there is one.
    upper: Option<Upper>,
    /// What the last step has left to do above.
    to_copy: Option<(usize, OffloadStep)>,
    /// What a prompt's experts pass through on the way up.
    stage: Option<Stage>,
    foresight: Vec<Mean>,
    /// Memory for the results of a step, kept because the system clears fresh pages.
    outputs: Vec<f32>,
}

impl Experts {
    /// Nothing is read yet; slots fill as experts are used.
    ///
    /// Errors: no memory or no thread for reading.
    pub fn new(
        checkpoint: Arc<Checkpoint>,
        layers: Vec<LayerExperts>,
        per_token: usize,
        slots: usize,
        policy: Policy,
    ) -> Result<Experts> {
        let files = Files::new(checkpoint);
        let direct = files.direct();
        Experts::with_source(Arc::new(files), layers, per_token, slots, policy)
            .map(|e| Experts { direct, ..e })
    }

    fn with_source(
        source: Arc<dyn Source>,
        layers: Vec<LayerExperts>,
        per_token: usize,
        slots: usize,
        policy: Policy,
    ) -> Result<Experts> {
        let scratch = source::scratch_for(&layers);
        let reader = Reader::new(source, scratch).ok_or_else(|| EngineError::OutOfMemory {
            what: "the threads that read experts".into(),
            bytes: scratch as u64,
        })?;
        let experts = layers.iter().map(|l| l.experts.len()).max().unwrap_or(0);
        let bytes = layers.iter().map(|l| l.layout.slot_bytes).max();
        let read = bytes.unwrap_or(0) as f64 / USUAL_DISK;
        let layers: Vec<Layer> = layers
            .into_iter()
            .map(|l| Layer::new(l, slots, policy))
            .collect();
        let foresight = vec![Mean::new(4096.0); layers.len()];
        Ok(Experts {
            log: DepthLog::new(layers.len().max(1), per_token.max(1), REMEMBERED),
            times: StepTimes::new(per_token, read),
            steps_by_misses: vec![0; per_token + 1],
            transit: Transit::new(in_flight(per_token, experts)),
            reader,
            layers,
            step: None,
            ticket: 0,
            tokens: 0,
            per_token,
            decoding: false,
            depths: Vec::new(),
            computed_bytes: 0,
            latencies: Latencies::default(),
            direct: false,
            slots,
            even: false,
            decoded: 0,
            routes: None,
            replay: None,
            profile: None,
            guess: None,
            preloads: Preloads::default(),
            upper: None,
            to_copy: None,
            stage: None,
            foresight,
            outputs: Vec::new(),
        })
    }

    /// Slots of a layer.
    pub fn slots(&self, row: usize) -> usize {
        self.layers[row].resident().slots().capacity()
    }

    /// Slots per layer, on average.
    pub fn slots_per_layer(&self) -> usize {
        self.slots
    }

    /// Changes the slots per layer, dropping the experts least likely to be used
    /// again. `even` gives every layer just as many; else the same bytes may be
    /// spread unevenly where that hits more.
    pub fn resize(&mut self, slots: usize, even: bool) {
        self.settle();
        self.drop_preloads();
        let same = self.slots == slots && self.even == even;
        (self.slots, self.even) = (slots, even);
        let uneven = self.allocation().slots.iter().any(|s| *s != slots);
        if !same || (even && uneven) {
            self.apply(&Allocation::even(self.layers.len(), slots));
        }
    }

    /// Allows or forbids reading experts before their layer has asked for them.
    pub fn set_preloading(&mut self, allowed: bool) {
        self.preloads.allowed = allowed;
    }

    pub fn set_policy(&mut self, policy: Policy) {
        let profile = self.profile.as_ref().map(|kept| &kept.profile);
        for (row, layer) in self.layers.iter_mut().enumerate() {
            let (uses, tokens) = match profile {
                Some(p) => (p.layers[row].uses.as_slice(), p.tokens),
                None => (&[][..], 0),
            };
            if layer.resident().policy() != policy {
                layer.resident_mut().set_policy(policy, uses, tokens);
                self.log.clear();
            }
        }
    }

    fn allocation(&self) -> Allocation {
        Allocation {
            slots: (0..self.layers.len()).map(|row| self.slots(row)).collect(),
        }
    }

    fn apply(&mut self, to: &Allocation) {
        let layers = self.layers.iter_mut().zip(&to.slots);
        let gone = layers.flat_map(|(layer, slots)| layer.resident_mut().resize(*slots));
        self.transit.retire(gone);
        self.transit.give_back(GIVING_BACK);
    }

    /// What is to be done after each token: memory of slots that were given up goes
    /// back, and the slots are spread over the layers anew if that is worth it.
    pub fn between_tokens(&mut self) {
        self.transit.give_back(GIVING_BACK);
        self.reallocate();
    }

    fn reallocate(&mut self) {
        if self.even || self.decoded < REALLOCATE {
            return;
        }
        self.decoded = 0;
        let histograms: Vec<_> = self
            .layers
            .iter()
            .map(|l| l.resident().order().histogram())
            .collect();
        let bytes: Vec<u64> = self.layers.iter().map(Layer::slot_bytes).collect();
        let experts = self.layers.iter().map(Layer::experts).min().unwrap_or(0);
        let present = self.allocation();
        if let Some(next) = allocate(&histograms, &bytes, self.slots, experts, &present) {
            self.settle();
            self.apply(&next);
        }
    }

    /// gate, up and down of an expert that [`Experts::ready`] handed out.
    pub fn matrices(&self, row: usize, expert: u32) -> [Matrix<'_>; 3] {
        let layer = &self.layers[row];
        let guest = self.step.as_ref().and_then(|s| s.guest(expert));
        let above = || self.upper.as_ref()?.get(row, expert);
        let below = || guest.or_else(|| layer.resident().slots().get(expert));
        let held = above().or_else(below);
        layer.matrices(held.expect("matrices are asked of experts that are ready"))
    }

    /// Gives memory back that a change left over, or else reads an expert into a free
    /// slot; for idle time. Returns whether there was anything to do.
    pub fn fill(&mut self) -> Result<bool> {
        if self.transit.leaving_bytes() > 0 {
            self.transit.give_back(GIVING_BACK);
            return Ok(true);
        }
        self.settle();
        self.drop_preloads();
        let free = |r: &usize| self.layers[*r].resident().next_to_fill().is_some();
        let fullness = |r: &usize| self.layers[*r].resident().slots().len();
        let Some(row) = (0..self.layers.len()).filter(free).min_by_key(fullness) else {
            return Ok(false);
        };
        let Some(expert) = self.layers[row].resident().next_to_fill() else {
            return Ok(false);
        };
        self.fetch(row, expert)?;
        Ok(true)
    }

    /// Reads one expert into its slot.
    fn fetch(&mut self, row: usize, expert: u32) -> Result<()> {
        let layer = &mut self.layers[row];
        let sizes = source::sizes(&layer.source.layout);
        let held = self
            .transit
            .take(sizes)
            .ok_or_else(|| EngineError::OutOfMemory {
                what: format!("an expert slot of layer {}", layer.source.layer),
                bytes: layer.slot_bytes(),
            })?;
        self.reader.request(&layer.source, row, expert, 0, held);
        let arrival = loop {
            if let Some(arrival) = self.reader.next(std::time::Duration::from_secs(1)) {
                break arrival;
            }
        };
        if let Err(error) = arrival.result {
            self.transit.put(arrival.held);
            return Err(EngineError::ExpertRead(error));
        }
        layer.bytes_read += layer.slot_bytes();
        if let Some((_, out)) = layer.resident_mut().admit(expert, arrival.held) {
            self.transit.put(out);
        }
        Ok(())
    }

    /// Bytes of all filled slots.
    pub fn slot_bytes(&self) -> u64 {
        self.layers.iter().map(Layer::bytes).sum()
    }

    /// Bytes of slots that were given up which the system has not got back yet; tokens
    /// go on meanwhile, and nothing is added to them.
    pub fn leaving_bytes(&self) -> u64 {
        self.transit.leaving_bytes()
    }

    /// Bytes of one slot, on average over the layers.
    pub fn mean_slot_bytes(&self) -> u64 {
        let layers = self.layers.len().max(1) as u64;
        self.layer_slot_bytes() / layers
    }

    /// Bytes of one slot in every layer.
    pub fn layer_slot_bytes(&self) -> u64 {
        self.layers.iter().map(Layer::slot_bytes).sum()
    }

    /// Bytes of experts that are on their way or whose buffers wait for the next.
    pub fn transit_bytes(&self) -> u64 {
        let size = |row: usize| self.layers[row].slot_bytes();
        self.transit.bytes() + self.reader.bytes(size) + self.preloads.bytes()
    }

    /// Bytes that every expert together would take.
    pub fn all_bytes(&self) -> u64 {
        let all = |l: &Layer| l.experts() as u64 * l.slot_bytes();
        self.layers.iter().map(all).sum()
    }

    pub fn residency(&self) -> Vec<LayerResidency> {
        let rows = self.layers.iter().enumerate();
        rows.map(|(row, layer)| {
            let upper = self.upper.as_ref();
            let counts = upper.map_or((0, 0, 0), |u| u.counts(row));
            LayerResidency {
                cache_off: upper.is_some_and(|u| u.lost(row)),
                vram_slots: counts.0,
                vram_resident: counts.1,
                vram_hits: counts.2,
                ..layer.residency()
            }
        })
        .collect()
    }

    /// Counters per layer and expert since the model was loaded.
    pub fn counters(&self) -> impl Iterator<Item = &[ExpertCounters]> {
        self.layers.iter().map(Layer::counters)
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals {
            tokens: self.tokens,
            computed_bytes: self.computed_bytes,
            ..Totals::default()
        };
        self.layers
            .iter()
            .for_each(|layer| layer.add_to(&mut totals));
        totals
    }

    fn preloading(&self) -> Preloading {
        if !self.preloads.allowed {
            Preloading::Off
        } else if self.preloads.lost() {
            Preloading::Slower
        } else {
            Preloading::On
        }
    }

    pub fn telemetry(&self) -> Telemetry {
        let [p50, p95] = self.latencies.percentiles([0.5, 0.95]);
        Telemetry {
            swap_p50_us: p50,
            swap_p95_us: p95,
            queue_depth: self.reader.mean_depth(),
            direct_io: self.direct,
            profile_tokens: self.profile_tokens(),
            look_ahead: self.mean_look_ahead(),
            preloading: self.preloading(),
            leaving: self.leaving_bytes(),
            ..Telemetry::default()
        }
    }

    /// One byte per expert, rows x experts: bit 7 resident in RAM, bit 6 in VRAM, low
    /// six bits recency.
    pub fn heat(&self) -> Vec<u8> {
        let rows = self.layers.iter().enumerate();
        let upper = self.upper.as_ref().filter(|u| u.vram().is_some());
        let above = |row, e| upper.is_some_and(|u| u.holds(row, e));
        rows.flat_map(|(row, layer)| {
            let heat = layer.heat(self.tokens).zip(0..);
            heat.map(move |(heat, e)| heat | if above(row, e) { 0x40 } else { 0 })
        })
        .collect()
    }
}

/// Microseconds since `start`.
fn micros(start: Instant) -> u64 {
    start.elapsed().as_micros() as u64
}
