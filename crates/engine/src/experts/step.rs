//! The experts of one layer for one step: those in slots at once, the others as
//! they come in from disk.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

use moestro_residency::OffloadStep;

use super::buffer::Held;
use super::preload::Guessed;
use super::source::sizes;
use super::{Experts, micros};
use crate::cancel::Cancel;
use crate::error::{EngineError, Result};

/// How long a wait for the disk goes on before cancelling is looked at.
pub const LOOK: Duration = Duration::from_millis(50);

pub struct Step {
    row: usize,
    ticket: u64,
    /// Position of each wanted expert.
    positions: HashMap<u32, usize>,
    /// In slots, not yet handed out.
    hits: Option<Vec<u32>>,
    /// Not yet asked for.
    queue: VecDeque<u32>,
    /// Being read.
    coming: usize,
    /// Being read since a layer ago, on a guess.
    guessed: HashSet<u32>,
    /// Handed out, from buffers of their own.
    guests: HashMap<u32, Held>,
    misses: usize,
    decode: bool,
    /// What a tier above does in this step.
    offload: Option<OffloadStep>,
    start: Instant,
}

impl Experts {
    /// Floats for the results of a step, of any values; to be given back with
    /// [`Experts::keep_outputs`].
    pub fn take_outputs(&mut self, len: usize) -> Vec<f32> {
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.resize(len, 0.0);
        outputs
    }

    pub fn keep_outputs(&mut self, outputs: Vec<f32>) {
        self.outputs = outputs;
    }

    /// Starts a step of a layer, which wants these distinct experts. Reading of
    /// those that are missing begins at once.
    pub fn begin(&mut self, row: usize, wanted: &[u32]) {
        self.settle();
        self.ticket += 1;
        let layer = &mut self.layers[row];
        let upper = self.upper.as_mut();
        let offload = upper.and_then(|u| u.step(row, wanted, self.tokens, self.decoding));
        let mut found = match &offload {
            Some(step) => layer.look_up(&step.below),
            None => layer.look_up(wanted),
        };
        // What stands in for a device is computed by the processor.
        let stands_in = self.upper.as_ref().is_some_and(|u| u.vram().is_none());
        if let Some(step) = offload.as_ref().filter(|_| stands_in) {
            found.hits.extend(&step.above);
        }
        found.hits.sort_unstable();
        // In the order of the file.
        found.misses.sort_unstable();
        let misses = found.misses.len();
        let (mut guests, mut guessed) = (HashMap::new(), HashSet::new());
        found.misses.retain(|expert| {
            match self.preloads.take(row, *expert) {
                None => return true,
                Some(Guessed::Coming) => {
                    guessed.insert(*expert);
                }
                Some(Guessed::Here(held)) => {
                    guests.insert(*expert, held);
                }
            }
            false
        });
        found.hits.extend(guests.keys());
        for held in self.preloads.give_up(row) {
            self.transit.put(held);
        }
        self.computed_bytes += wanted.len() as u64 * layer.slot_bytes();
        self.step = Some(Step {
            row,
            ticket: self.ticket,
            positions: wanted.iter().enumerate().map(|(i, e)| (*e, i)).collect(),
            misses,
            queue: found.misses.into(),
            hits: Some(found.hits),
            coming: 0,
            guessed,
            guests,
            decode: self.decoding,
            offload,
            start: Instant::now(),
        });
        // A lack of memory comes up again when the experts are waited for.
        let _ = self.ask_for_more();
    }

    /// Those of the wanted experts that a GPU computes in this step.
    pub fn on_gpu(&self) -> &[u32] {
        let in_vram = self.upper.as_ref().is_some_and(|u| u.vram().is_some());
        let offload = self.step.as_ref().and_then(|s| s.offload.as_ref());
        offload
            .filter(|_| in_vram)
            .map_or(&[], |step| step.above.as_slice())
    }

    /// The positions among the wanted experts, those of [`Experts::on_gpu`] aside,
    /// whose matrices can be used now, until
    /// the next call; `None` when all have been handed out.
    ///
    /// Errors: a read that failed, no memory, `Cancelled`. The step is over then.
    pub fn ready(&mut self, cancel: &Cancel) -> Result<Option<Vec<usize>>> {
        let next = cancel.check().and_then(|()| self.next_ready(cancel));
        if next.is_err() {
            self.settle();
        }
        next
    }

    fn next_ready(&mut self, cancel: &Cancel) -> Result<Option<Vec<usize>>> {
        if self.step.as_ref().is_some_and(|s| s.hits.is_none()) {
            self.admit_guests();
        }
        self.ask_for_more()?;
        let Some(step) = &mut self.step else {
            return Ok(None);
        };
        let positions = |step: &Step, experts: &mut dyn Iterator<Item = u32>| {
            Some(experts.map(|e| step.positions[&e]).collect())
        };
        if let Some(hits) = step.hits.take() {
            return Ok(positions(step, &mut hits.into_iter()));
        }
        if step.coming + step.guessed.len() + step.queue.len() == 0 {
            self.end_step();
            return Ok(None);
        }
        let waiting = Instant::now();
        let mut patience = LOOK;
        loop {
            match self.reader.next(patience) {
                Some(arrival) => {
                    self.arrive(arrival)?;
                    self.ask_for_more()?;
                    // Whatever else is there already comes along.
                    patience = Duration::ZERO;
                }
                None if patience.is_zero() && self.has_guests() => break,
                None => {
                    cancel.check()?;
                    patience = LOOK;
                }
            }
        }
        let Some(step) = &self.step else {
            return Ok(None);
        };
        self.layers[step.row].wait_us += micros(waiting);
        Ok(positions(step, &mut step.guests.keys().copied()))
    }

    fn has_guests(&self) -> bool {
        self.step.as_ref().is_some_and(|s| !s.guests.is_empty())
    }

    /// Books in what was read.
    fn arrive(&mut self, arrival: super::reader::Arrival) -> Result<()> {
        let layer = &mut self.layers[arrival.row];
        if arrival.result.is_ok() {
            layer.bytes_read += layer.slot_bytes();
        }
        let wanted = match &mut self.step {
            Some(step) => {
                let guessed = step.row == arrival.row && step.guessed.remove(&arrival.expert);
                let asked = step.ticket == arrival.ticket;
                step.coming -= usize::from(asked);
                (asked || guessed).then_some(step)
            }
            None => None,
        };
        let Some(step) = wanted else {
            // A guess that its layer has not asked for yet, or does not want.
            let (row, expert, read) = (arrival.row, arrival.expert, arrival.result.is_ok());
            let back = self.preloads.keep(row, expert, arrival.held, read);
            back.into_iter().for_each(|held| self.transit.put(held));
            return Ok(());
        };
        if let Err(error) = arrival.result {
            self.transit.put(arrival.held);
            return Err(EngineError::ExpertRead(error));
        }
        self.latencies.add(arrival.took);
        layer.latencies.add(arrival.took);
        step.guests.insert(arrival.expert, arrival.held);
        Ok(())
    }

    /// What was handed out has been used: it gets a slot if it deserves one.
    fn admit_guests(&mut self) {
        let Some(step) = &mut self.step else { return };
        let layer = &mut self.layers[step.row];
        for (expert, held) in step.guests.drain() {
            if let Some((_, out)) = layer.resident_mut().admit(expert, held) {
                self.transit.put(out);
            }
        }
    }

    /// Asks for missing experts while there are buffers for them.
    fn ask_for_more(&mut self) -> Result<()> {
        let Some(step) = &mut self.step else {
            return Ok(());
        };
        let source = &self.layers[step.row].source;
        let taken = self.preloads.len() + step.guessed.len();
        while step.coming + step.guests.len() + taken < self.transit.most() {
            let Some(expert) = step.queue.pop_front() else {
                break;
            };
            let Some(held) = self.transit.take(sizes(&source.layout)) else {
                step.queue.push_front(expert);
                if step.coming + step.guessed.len() > 0 {
                    break;
                }
                return Err(EngineError::OutOfMemory {
                    what: format!("an expert of layer {}", source.layer),
                    bytes: sizes(&source.layout).iter().map(|b| *b as u64).sum(),
                });
            };
            step.coming += 1;
            self.reader
                .request(source, step.row, expert, step.ticket, held);
        }
        Ok(())
    }

    fn end_step(&mut self) {
        if let Some(step) = self.step.take() {
            self.to_copy = step.offload.map(|offload| (step.row, offload));
            if step.decode {
                let seconds = step.start.elapsed().as_secs_f64();
                self.times.add_layer(step.misses, seconds);
                self.steps_by_misses[step.misses] += 1;
            }
        }
    }

    /// After a step and before the next one: sends up what was chosen to be there.
    /// Takes a while, so it is to be called when the GPU has something to do.
    ///
    /// Errors: the GPU failed.
    pub fn copy_up(&mut self) -> Result<()> {
        let (Some(upper), Some((row, offload))) = (&mut self.upper, self.to_copy.take()) else {
            return Ok(());
        };
        let slots = self.layers[row].resident().slots();
        upper.finish(row, &offload, self.decoding, |expert| slots.get(expert))
    }

    /// Ends a step that was given up, and waits for its reads: nothing is freed
    /// under a read, and no buffer is lost.
    pub(super) fn settle(&mut self) {
        self.admit_guests();
        if let Some(step) = &mut self.step {
            step.queue.clear();
        }
        while self
            .step
            .as_ref()
            .is_some_and(|s| s.coming + s.guessed.len() > 0)
        {
            if let Some(arrival) = self.reader.next(LOOK) {
                // Its failure is that of a step that was given up.
                let _ = self.arrive(arrival);
            }
            self.admit_guests();
        }
        self.step = None;
    }
}

impl Step {
    /// What is held of an expert that was read for this step.
    pub fn guest(&self, expert: u32) -> Option<&Held> {
        self.guests.get(&expert)
    }
}
