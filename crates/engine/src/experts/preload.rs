//! Experts read before their layer has asked for them, because the layer before
//! guessed them. Only while the disk is idle, and only as long as tokens come
//! faster with it than without.

use moestro_residency::{Choice, Trial};

use super::Experts;
use super::buffer::Held;
use super::source::sizes;

/// What reads carry that no step has asked for; steps count from 1.
pub const TICKET: u64 = 0;

/// An expert on its way, or there and waiting for its layer.
struct Preload {
    row: usize,
    expert: u32,
    held: Option<Held>,
}

/// What became of a guess when its layer asked.
pub enum Guessed {
    Here(Held),
    Coming,
}

#[derive(Default)]
pub struct Preloads {
    /// Does the person allow it?
    pub allowed: bool,
    list: Vec<Preload>,
    trial: Trial,
    now: Option<Choice>,
    /// Reads that were asked for, and those that their layer wanted.
    pub asked: u64,
    pub used: u64,
}

impl Preloads {
    /// Decides for the token that begins.
    pub fn begin_token(&mut self) {
        self.now = self.allowed.then(|| self.trial.choose(true));
    }

    /// Notes what the token took.
    pub fn end_token(&mut self, seconds: f64) {
        if let Some(choice) = self.now.take() {
            self.trial.record(choice, seconds);
        }
    }

    pub fn on(&self) -> bool {
        self.now == Some(Choice::With)
    }

    /// Was it tried, and slower?
    pub fn lost(&self) -> bool {
        self.allowed && self.trial.lost()
    }

    /// Buffers that are taken.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn bytes(&self) -> u64 {
        let held = self.list.iter().filter_map(|p| p.held.as_ref());
        held.map(super::buffer::bytes).sum()
    }

    /// Takes a guess out of the list.
    pub fn take(&mut self, row: usize, expert: u32) -> Option<Guessed> {
        let is = |p: &Preload| (p.row, p.expert) == (row, expert);
        let found = self.list.swap_remove(self.list.iter().position(is)?);
        self.used += 1;
        Some(found.held.map_or(Guessed::Coming, Guessed::Here))
    }

    /// Wrong guesses for a row whose choice is known; their buffers come back.
    pub fn give_up(&mut self, row: usize) -> Vec<Held> {
        let (done, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.list)
            .into_iter()
            .partition(|p| p.row == row && p.held.is_some());
        self.list = left;
        done.into_iter().filter_map(|p| p.held).collect()
    }

    /// Keeps an arrival for its layer; gives it back if nobody waits for it.
    pub fn keep(&mut self, row: usize, expert: u32, held: Held, read: bool) -> Option<Held> {
        let is = |p: &Preload| (p.row, p.expert) == (row, expert) && p.held.is_none();
        let Some(at) = self.list.iter().position(is) else {
            return Some(held);
        };
        if read {
            self.list[at].held = Some(held);
            None
        } else {
            self.list.swap_remove(at);
            Some(held)
        }
    }
}

impl Experts {
    /// Begins to read what a row was guessed to want, best first, while nothing
    /// else is being read and half of the buffers stay free for the layer at work.
    pub(super) fn preload(&mut self, row: usize, guess: &[u32]) {
        if !self.preloads.on() || self.reader.under_way() > 0 {
            return;
        }
        let layer = &self.layers[row];
        for expert in guess {
            if self.preloads.len() >= self.transit.most() / 2 {
                break;
            }
            if layer.resident().slots().holds(*expert) {
                continue;
            }
            let Some(held) = self.transit.take(sizes(&layer.source.layout)) else {
                break;
            };
            self.preloads.asked += 1;
            self.preloads.list.push(Preload {
                row,
                expert: *expert,
                held: None,
            });
            let source = &layer.source;
            self.reader.request(source, row, *expert, TICKET, held);
        }
    }

    /// Lets go of all guesses, waiting for those that are being read.
    pub(super) fn drop_preloads(&mut self) {
        while self.reader.under_way() > 0 {
            if let Some(arrival) = self.reader.next(super::step::LOOK) {
                self.transit.put(arrival.held);
            }
        }
        for held in self.preloads.list.drain(..).filter_map(|p| p.held) {
            self.transit.put(held);
        }
    }
}
