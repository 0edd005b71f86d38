//! A tier above RAM that holds copies of experts and computes them beside the CPU.
//! RAM stays the tier below: what is not here is computed there, so nothing ever
//! waits for a copy.

use std::collections::HashMap;
use std::time::Instant;

use moestro_cuda::CudaError;
use moestro_residency::{Link, Offload, OffloadStep};

use super::buffer::{Buffer, Held, bytes};
use super::vram::Vram;
use crate::error::{EngineError, Result};

/// Where the copies are.
pub enum Tier {
    StandIn(StandIn),
    Vram(Vram),
}

impl Tier {
    /// Is a whole copy there?
    fn has(&self, row: usize, expert: u32) -> bool {
        match self {
            Tier::StandIn(tier) => tier.get(row, expert).is_some(),
            Tier::Vram(tier) => tier.has(row, expert),
        }
    }
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

impl StandIn {
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
}

/// An upper tier with the decisions of every layer.
pub struct Upper {
    tier: Tier,
    /// Of each row, if it has slots.
    rows: Vec<Option<Offload>>,
    /// The row under way since when, for the clock of the device.
    began: Option<(usize, Instant)>,
    /// Slots of each row that has some.
    slots: usize,
    /// Experts computed above.
    hits: Vec<u64>,
    /// Seconds of all decoded tokens' experts on the clock of the stand-in, and what
    /// they would be without it.
    pub seconds: f64,
    pub plain: f64,
}

/// Copies per layer and token, at most.
const COPIES: usize = 2;
/// Copies into free slots per layer and piece of a prompt, at most.
const FILLED: usize = 4;

impl Upper {
    /// `slots` of each row that `has` some. `link` is what things are
    /// thought to take.
    pub fn new(
        tier: Tier,
        has: &[bool],
        slots: usize,
        experts: usize,
        per_token: usize,
        link: Link,
    ) -> Upper {
        let offload = || Offload::new(experts, slots, per_token, COPIES, link);
        Upper {
            tier,
            rows: has.iter().map(|has| has.then(offload)).collect(),
            began: None,
            slots,
            hits: vec![0; has.len()],
            seconds: 0.0,
            plain: 0.0,
        }
    }

    /// Uses the tier though it may be slower.
    pub fn insist(&mut self) {
        self.rows.iter_mut().flatten().for_each(Offload::insist);
    }

    pub fn vram(&self) -> Option<&Vram> {
        match &self.tier {
            Tier::Vram(vram) => Some(vram),
            Tier::StandIn(_) => None,
        }
    }

    /// Notes what a prompt's tokens use, the first of which is number `now`.
    pub fn seed(&mut self, row: usize, ids: &[u32], per_token: usize, now: u64) {
        if let Some(offload) = &mut self.rows[row] {
            for (token, ids) in ids.chunks_exact(per_token).enumerate() {
                offload.seed(ids, now + token as u64);
            }
        }
    }

    /// Divides the distinct experts of a step between above and below; `None` if all
    /// are computed below. Only a single decoded token, number `now`, changes what is
    /// held.
    pub fn step(
        &mut self,
        row: usize,
        wanted: &[u32],
        now: u64,
        decoding: bool,
    ) -> Option<OffloadStep> {
        self.note_time(row, decoding);
        let offload = self.rows[row].as_mut()?;
        let mut step = match (&self.tier, decoding) {
            (_, true) => offload.step(wanted, now),
            (Tier::StandIn(_), false) => return None,
            (Tier::Vram(_), false) if offload.lost() => return None,
            (Tier::Vram(_), false) => OffloadStep {
                above: wanted.to_vec(),
                ..OffloadStep::default()
            },
        };
        // A copy that did not find room, or is still on its way, is computed below.
        let (above, not_here): (Vec<u32>, Vec<u32>) = std::mem::take(&mut step.above)
            .into_iter()
            .partition(|e| self.tier.has(row, *e));
        self.hits[row] += above.len() as u64;
        step.above = above;
        step.below.extend(not_here);
        Some(step)
    }

    /// On a device a row takes from its router's choice to that of the next row: the
    /// processor waits for both.
    fn note_time(&mut self, row: usize, decoding: bool) {
        if matches!(self.tier, Tier::StandIn(_)) {
            return;
        }
        if let Some((before, since)) = self.began.take()
            && let Some(offload) = self.rows[before].as_mut()
            && before + 1 == row
            && decoding
        {
            offload.took(since.elapsed().as_secs_f64());
        }
        self.began = decoding.then(|| (row, Instant::now()));
    }

    /// After the step: what was chosen goes up, from where it is held below.
    ///
    /// Errors: the device failed.
    pub fn finish<'a>(
        &mut self,
        row: usize,
        step: &OffloadStep,
        decoding: bool,
        below: impl Fn(u32) -> Option<&'a Held>,
    ) -> Result<()> {
        let Some(offload) = self.rows[row].as_mut() else {
            return Ok(());
        };
        match &mut self.tier {
            Tier::StandIn(tier) => {
                step.dropped.iter().for_each(|e| tier.remove(row, *e));
                for expert in &step.copies {
                    if let Some(held) = below(*expert) {
                        tier.put(row, *expert, held);
                    }
                }
                let link = tier.link;
                let seconds = link.seconds(step.above.len(), step.below.len(), step.copies.len());
                self.seconds += seconds;
                self.plain += link.seconds(0, step.above.len() + step.below.len(), 0);
                offload.took(seconds);
            }
            Tier::Vram(tier) => {
                step.dropped.iter().for_each(|e| tier.remove(row, *e));
                for expert in &step.copies {
                    copy_up(tier, offload, row, *expert, &below)?;
                }
                for _ in 0..if decoding { 0 } else { FILLED } {
                    let Some(expert) = offload.fill() else { break };
                    copy_up(tier, offload, row, expert, &below)?;
                }
            }
        }
        Ok(())
    }

    /// Changes the slots of the rows that have some. A device without memory for more
    /// leaves them as they are, see [`Upper::slots`].
    ///
    /// Errors: the device failed.
    pub fn resize(&mut self, slots: usize) -> Result<()> {
        let Tier::Vram(tier) = &mut self.tier else {
            return Ok(());
        };
        if slots == self.slots {
            return Ok(());
        }
        if slots > self.slots {
            match tier.resize(slots) {
                Err(EngineError::Gpu(CudaError::OutOfMemory { .. })) => return Ok(()),
                done => done?,
            }
        }
        for (row, offload) in self.rows.iter_mut().enumerate() {
            for expert in offload.iter_mut().flat_map(|o| o.resize(slots)) {
                tier.remove(row, expert);
            }
        }
        if slots < self.slots {
            tier.resize(slots)?;
        }
        self.slots = slots;
        Ok(())
    }

    /// Slots of each row that has some.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// With this many slots in VRAM, the share of a token's experts that would have
    /// been there, and the seconds that all rows with slots would have taken.
    pub fn foretell(&self, slots: usize) -> (f64, f64) {
        let rows = self.rows.iter().flatten();
        let each: Vec<(f64, f64)> = rows.map(|offload| offload.foretell(slots)).collect();
        let hits: f64 = each.iter().map(|(hit_rate, _)| hit_rate).sum();
        let seconds = each.iter().map(|(_, seconds)| seconds).sum();
        (hits / each.len().max(1) as f64, seconds)
    }

    /// Host memory that stands for a copy.
    pub fn get(&self, row: usize, expert: u32) -> Option<&Held> {
        match &self.tier {
            Tier::StandIn(tier) => tier.get(row, expert),
            Tier::Vram(_) => None,
        }
    }

    /// Is this layer's cache off because it was slower?
    pub fn lost(&self, row: usize) -> bool {
        self.rows[row].as_ref().is_some_and(Offload::lost)
    }

    /// Slots, experts held and experts computed above, of a row.
    pub fn counts(&self, row: usize) -> (usize, usize, u64) {
        let held = match &self.tier {
            Tier::StandIn(_) => 0,
            Tier::Vram(tier) => tier.held(row),
        };
        let slots = self.rows[row].as_ref().map_or(0, Offload::slots);
        (slots, held, self.hits[row])
    }

    pub fn holds(&self, row: usize, expert: u32) -> bool {
        self.tier.has(row, expert)
    }

    /// Bytes in use; never more than the budget.
    pub fn bytes(&self) -> u64 {
        match &self.tier {
            Tier::StandIn(tier) => tier.used,
            Tier::Vram(tier) => tier.bytes(),
        }
    }
}

/// A copy that cannot be made now is forgotten: it stays below.
fn copy_up<'a>(
    tier: &mut Vram,
    offload: &mut Offload,
    row: usize,
    expert: u32,
    below: impl Fn(u32) -> Option<&'a Held>,
) -> Result<()> {
    let copied = match below(expert) {
        Some(held) => tier.put(row, expert, held)?,
        None => false,
    };
    if !copied {
        offload.lose(expert);
    }
    Ok(())
}
