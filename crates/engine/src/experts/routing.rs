//! What the router chose: noted, recorded, replayed, and guessed a layer early.

use std::sync::Arc;

use moestro_residency::{Mean, Trace};

use super::Experts;
use super::layer::Layer;
use crate::error::{EngineError, Result};

/// Decoded tokens between two in which look-ahead is measured.
const LOOK_AHEAD: u64 = 16;

impl Experts {
    /// Notes which experts the router chose, `[tokens, per_token]`, and lets the
    /// clock of recency tick once per token. While a recording is replayed, its
    /// experts take their place.
    pub fn record_routing(&mut self, row: usize, ids: &mut [u32], per_token: usize) {
        let tokens = ids.len() / per_token;
        self.replay_into(row, ids, per_token);
        self.check_guess(row, ids, per_token);
        if row == 0 {
            self.tokens += tokens as u64;
            self.decoding = tokens == 1;
            self.depths.clear();
            if self.decoding {
                self.preloads.begin_token();
                self.times.begin_token();
            }
        }
        let before = self.tokens - tokens as u64;
        if let Some(upper) = self.upper.as_mut().filter(|_| !self.decoding) {
            upper.seed(row, ids, per_token, before + 1);
        }
        let depths = self.layers[row].record(ids, per_token, before);
        self.depths.extend(depths.into_iter().flatten());
        if let Some(routes) = &mut self.routes {
            routes[row].extend_from_slice(ids);
        }
        if row + 1 == self.layers.len() && self.decoding {
            self.after_decoded_token();
        }
    }

    fn after_decoded_token(&mut self) {
        // Layers of different numbers of experts per token cannot be logged together.
        if self.depths.len() == self.layers.len() * self.per_token {
            self.log.push(&self.depths);
        }
        self.decoded += 1;
    }

    /// Starts keeping every routing decision, dropping what was kept before.
    pub fn record_routes(&mut self) {
        self.routes = Some(vec![Vec::new(); self.layers.len()]);
    }

    /// Ends recording. One list per row, `[tokens, experts_per_token]`, best first.
    pub fn take_routes(&mut self) -> Vec<Vec<u32>> {
        self.routes.take().unwrap_or_default()
    }

    /// Lets a recording take the place of the router, for measurements; answers
    /// make no sense then. It starts over at its end. `None` ends it.
    ///
    /// Errors: a recording of another shape.
    pub fn replay(&mut self, trace: Option<Arc<Trace>>) -> Result<()> {
        if let Some(t) = &trace {
            let fits = t.layers() == self.layers.len()
                && t.per_token() == self.per_token
                && self.layers.iter().all(|l| l.experts() == t.experts());
            if !fits || t.tokens() == 0 {
                return Err(EngineError::Request(format!(
                    "the recording has {} layers of {} experts with {} per token, over {} tokens; \
                     this model has {} layers of {} with {}",
                    t.layers(),
                    t.experts(),
                    t.per_token(),
                    t.tokens(),
                    self.layers.len(),
                    self.layers.first().map_or(0, Layer::experts),
                    self.per_token,
                )));
            }
        }
        self.replay = trace.map(|t| (t, 0));
        Ok(())
    }

    fn replay_into(&mut self, row: usize, ids: &mut [u32], per_token: usize) {
        let rows = self.layers.len();
        let Some((trace, at)) = &mut self.replay else {
            return;
        };
        for (token, ids) in ids.chunks_exact_mut(per_token).enumerate() {
            let from = trace.at((*at + token) % trace.tokens(), row);
            ids.iter_mut()
                .zip(from)
                .for_each(|(id, e)| *id = u32::from(*e));
        }
        if row + 1 == rows {
            *at = (*at + ids.len() / per_token) % trace.tokens();
        }
    }

    /// For each row, the share of its experts that its router named one layer
    /// early; `None` where that was not measured.
    pub fn look_ahead(&self) -> Vec<Option<f64>> {
        self.foresight.iter().map(Mean::get).collect()
    }

    pub(super) fn mean_look_ahead(&self) -> Option<f64> {
        let known: Vec<f64> = self.look_ahead().into_iter().flatten().collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
    }

    /// Should the next layer's experts be guessed in this step? Always while
    /// somebody records, else now and then: a guess costs a router's bandwidth.
    pub fn looks_ahead(&self) -> bool {
        let sampled = self.tokens.is_multiple_of(LOOK_AHEAD) || self.preloads.on();
        self.replay.is_none() && (self.decoding && sampled || self.routes.is_some())
    }

    /// Notes what a row will want, guessed one layer early, `[tokens, per_token]`.
    pub fn foresee(&mut self, row: usize, guess: &[u32]) {
        self.guess = Some((row, guess.to_vec()));
        if self.decoding {
            self.preload(row, guess);
        }
    }

    /// Compares the guess with what the router chose.
    fn check_guess(&mut self, row: usize, ids: &[u32], per_token: usize) {
        let Some((_, guess)) = self.guess.take().filter(|(of, _)| *of == row) else {
            return;
        };
        for (guess, ids) in guess.chunks(per_token).zip(ids.chunks(per_token)) {
            let right = ids.iter().filter(|e| guess.contains(e)).count();
            self.foresight[row].add(right as f64 / per_token as f64);
        }
    }
}
