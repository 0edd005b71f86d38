//! Experts of one layer in a faster tier above one that can compute them too, as
//! VRAM above RAM: hits are computed above while misses are computed below, and
//! copies go up beside the work, never in its way.

use crate::layer::Resident;
use crate::ranking::Policy;
use crate::trial::{Choice, Trial};

/// Seconds that things take between the two tiers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Starting work above and waiting for its end, per layer.
    pub sync: f64,
    /// Computing one expert below.
    pub below: f64,
    /// Computing one expert above.
    pub above: f64,
    /// What one copy takes from the computing below, by sharing its memory.
    pub copy: f64,
}

impl Link {
    /// A GPU on a bus of `bus` bytes per second beside RAM of `ram`, with VRAM of
    /// `vram`, for experts of `bytes`. A copy takes the bandwidth of the RAM that it
    /// uses away from the computing there.
    pub fn bus(bytes: u64, bus: f64, ram: f64, vram: f64, sync: f64) -> Link {
        let bytes = bytes as f64;
        Link {
            sync,
            below: bytes / ram,
            above: bytes / vram,
            copy: bytes / bus * (bus / ram).min(1.0),
        }
    }

    /// Seconds of a layer's experts with this many of each.
    pub fn seconds(&self, above: usize, below: usize, copies: usize) -> f64 {
        self.mean_seconds(above as f64, below as f64) + self.copy * copies as f64
    }

    /// The same for averages, and without copies.
    fn mean_seconds(&self, above: f64, below: f64) -> f64 {
        let sync = if above > 0.0 { self.sync } else { 0.0 };
        sync + (self.above * above).max(self.below * below)
    }
}

/// What to do with the experts of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffloadStep {
    /// Computed above.
    pub above: Vec<u32>,
    /// Computed below.
    pub below: Vec<u32>,
    /// To be copied up beside the computing; held above from now on.
    pub copies: Vec<u32>,
    /// Dropped above to make room; never one of this step.
    pub dropped: Vec<u32>,
}

/// Expected uses per token and slot from which a copy is worth it are compared
/// over this many tokens.
const HORIZON: f64 = 64.0;
/// Gain that an estimate must promise before anything is copied.
const PROMISE: f64 = 0.05;

/// The slots of one layer in the upper tier, on or off.
#[derive(Debug)]
pub struct Offload {
    resident: Resident<u32>,
    trial: Trial,
    choice: Choice,
    /// Most copies per step.
    cap: usize,
    per_token: usize,
    link: Link,
    /// In use whatever it costs.
    always: bool,
}

impl Offload {
    pub fn new(experts: usize, slots: usize, per_token: usize, cap: usize, link: Link) -> Offload {
        Offload {
            resident: Resident::new(experts, slots, Policy::Learned),
            trial: Trial::default(),
            choice: Choice::Without,
            cap,
            per_token,
            link,
            always: false,
        }
    }

    /// Uses the upper tier though it may be slower, for measurements.
    pub fn insist(&mut self) {
        self.always = true;
    }

    /// Is it in use?
    pub fn on(&self) -> bool {
        self.always || self.trial.on()
    }

    /// Was it turned off because it was slower?
    pub fn lost(&self) -> bool {
        !self.always && self.trial.lost()
    }

    pub fn slots(&self) -> usize {
        self.resident.slots().capacity()
    }

    pub fn holds(&self, expert: u32) -> bool {
        self.resident.slots().holds(expert)
    }

    /// Times of the link as they are measured.
    pub fn set_link(&mut self, link: Link) {
        self.link = link;
    }

    /// Changes the slots; returns the experts that left.
    pub fn resize(&mut self, slots: usize) -> Vec<u32> {
        self.resident.resize(slots)
    }

    /// The copy of an expert is gone.
    pub fn lose(&mut self, expert: u32) {
        self.resident.release(expert);
    }

    /// Notes the experts of a prompt's token, number `now`: what it uses will be used
    /// again.
    pub fn seed(&mut self, ids: &[u32], now: u64) {
        self.resident.record(ids, now);
    }

    /// An expert worth copying into a free slot, if there is one; held from now on.
    pub fn fill(&mut self) -> Option<u32> {
        if self.lost() {
            return None;
        }
        let used = |e: &u32| self.resident.ranking().last_used(*e) > 0;
        let next = self.resident.next_to_fill().filter(used)?;
        self.resident.admit(next, next);
        Some(next)
    }

    /// Divides the distinct experts of a decoded token, number `now`.
    pub fn step(&mut self, wanted: &[u32], now: u64) -> OffloadStep {
        self.choice = match self.always {
            true => Choice::With,
            false => self.trial.choose(self.promising()),
        };
        self.resident.depths(wanted);
        let found = self.resident.look_up(wanted);
        self.resident.record(wanted, now);
        self.resident.reconsider();
        let mut step = OffloadStep::default();
        match self.choice {
            Choice::Without => step.below = wanted.to_vec(),
            Choice::With => {
                step.above = found.hits;
                step.below = found.misses;
            }
        }
        if self.on() {
            self.choose_copies(wanted, &mut step);
        }
        step
    }

    /// Notes the seconds that the step's experts took.
    pub fn took(&mut self, seconds: f64) {
        self.trial.record(self.choice, seconds);
    }

    /// Copies the best ranked of the missing that pay, within the cap.
    fn choose_copies(&mut self, wanted: &[u32], step: &mut OffloadStep) {
        let ranking = self.resident.ranking();
        let mut missing: Vec<u32> = wanted.iter().copied().filter(|e| !self.holds(*e)).collect();
        missing.sort_by_key(|e| ranking.rank(*e));
        for expert in missing {
            if step.copies.len() == self.cap || !(self.always || self.pays(expert)) {
                break;
            }
            match self.resident.admit(expert, expert) {
                // Not even a place among the held; those after it rank lower still.
                Some((out, _)) if out == expert => break,
                Some((out, _)) => step.dropped.push(out),
                None => {}
            }
            step.copies.push(expert);
        }
    }

    /// Do the uses expected of the slot that it would get outweigh its copy?
    fn pays(&self, expert: u32) -> bool {
        let saved = self.link.below - self.link.above;
        let order = self.resident.order();
        let rank = order.ranking().rank(expert);
        let rate = f64::from(order.histogram().gain(rank, 8)) * self.per_token as f64;
        rate * HORIZON * saved > self.link.copy
    }

    /// On the routing seen so far, the share of experts that this many slots would
    /// have held, and the seconds that a token's would have taken.
    pub fn foretell(&self, slots: usize) -> (f64, f64) {
        let histogram = self.resident.order().histogram();
        let hit_rate = f64::from(histogram.hit_rate(slots));
        let k = self.per_token as f64;
        let seconds = self.link.mean_seconds(hit_rate * k, (1.0 - hit_rate) * k);
        (hit_rate, seconds.min(self.link.below * k))
    }

    /// Would these slots have been faster on the routing seen so far?
    fn promising(&self) -> bool {
        let histogram = self.resident.order().histogram();
        let hit_rate = f64::from(histogram.hit_rate(self.slots()));
        let k = self.per_token as f64;
        let (above, below) = (hit_rate * k, (1.0 - hit_rate) * k);
        let plain = self.link.below * k;
        // At most one copy per miss and no more than the cap, once it has filled.
        let copies = below.min(self.cap as f64);
        let with = self.link.mean_seconds(above, below) + self.link.copy * copies;
        with < plain * (1.0 - PROMISE)
    }
}
