//! Plays routing against slots, token by token: what the one-pass prediction is
//! checked against, and what answers questions it cannot.

use crate::depth::{Depth, DepthLog};
use crate::layer::Resident;
use crate::ranking::Policy;
use crate::trace::Trace;

/// What a simulation counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Misses of each token and layer, `[tokens, layers]`.
    pub misses: Vec<usize>,
    /// Depths of each use, `[tokens, layers, per_token]`, under the rule in force.
    pub depths: Vec<Depth>,
    /// Times a layer's rule of fading changed.
    pub changes: usize,
}

impl Outcome {
    pub fn hit_rate(&self, per_token: usize) -> f64 {
        let wanted = self.misses.len() * per_token;
        1.0 - self.misses.iter().sum::<usize>() as f64 / wanted.max(1) as f64
    }
}

/// Plays `trace` against `slots[layer]` slots that begin empty.
pub fn hits(trace: &Trace, slots: &[usize], policy: Policy) -> Outcome {
    let mut layers: Vec<Resident<()>> = slots
        .iter()
        .map(|slots| Resident::new(trace.experts(), *slots, policy))
        .collect();
    let mut outcome = Outcome::default();
    for token in 0..trace.tokens() {
        for (row, layer) in layers.iter_mut().enumerate() {
            let wanted = trace.wide(token, row);
            let found = layer.look_up(&wanted);
            outcome.depths.extend(layer.depths(&wanted));
            layer.record(&wanted, token as u64 + 1);
            for expert in &found.misses {
                layer.admit(*expert, ());
            }
            outcome.misses.push(found.misses.len());
            outcome.changes += usize::from(layer.reconsider());
        }
    }
    outcome
}

impl Outcome {
    /// The latest depths, to ask for other numbers of slots.
    pub fn log(&self, trace: &Trace, most: usize) -> DepthLog {
        let mut log = DepthLog::new(trace.layers(), trace.per_token(), most);
        let width = trace.layers() * trace.per_token();
        self.depths.chunks_exact(width).for_each(|t| log.push(t));
        log
    }
}
