//! What other numbers of slots would do, from the routing of the latest tokens and
//! the times that were measured.

use moestro_residency::{Outlook, Shares, TokenTimes};

use super::Experts;
use super::layer::Layer;

/// Decoded tokens from which on something is foretold.
const LEAST: usize = 24;

/// A view of the experts that can answer "what if".
pub struct Forecaster<'a> {
    experts: &'a Experts,
    outlook: Outlook<'a>,
    times: TokenTimes,
}

impl Experts {
    /// Notes a decoded token that took `seconds` altogether.
    pub fn note_token(&mut self, seconds: f64) {
        self.times.end_token(seconds);
        self.preloads.end_token(seconds);
    }

    /// What a token takes as of now; `None` before one was timed.
    pub fn token_times(&self) -> Option<TokenTimes> {
        self.times.token()
    }

    /// Steps of decoded tokens so far that missed 0, 1, ... experts.
    pub fn steps_by_misses(&self) -> &[u64] {
        &self.steps_by_misses
    }

    /// `None` until enough tokens were decoded.
    pub fn forecaster(&self) -> Option<Forecaster<'_>> {
        if self.log.len() < LEAST {
            return None;
        }
        let experts = self.layers.iter().map(Layer::experts).max()?;
        Some(Forecaster {
            experts: self,
            outlook: self.log.outlook(experts),
            times: self.times.token()?,
        })
    }
}

impl Forecaster<'_> {
    /// Tokens it comes from.
    pub fn tokens(&self) -> usize {
        self.experts.log.len()
    }

    /// Seconds per token and hit rate with this many slots per layer, spread over
    /// the layers as they are now.
    pub fn at(&self, slots: usize) -> (f64, f64) {
        let of_layers = self.spread(slots);
        let misses = self.outlook.misses(&of_layers);
        let (seconds, _) = self.times.mean(misses, self.tokens());
        (seconds, self.outlook.hit_rate(&of_layers))
    }

    /// What a token spends its time on with the slots of now.
    pub fn shares(&self) -> Shares {
        let of_layers = self.spread(self.experts.slots);
        let misses = self.outlook.misses(&of_layers);
        let (seconds, rest) = self.times.mean(misses, self.tokens());
        let rows = self.experts.layers.len() as f64;
        let computing = self.times.layer(0.0) * rows;
        Shares {
            reading: (seconds - rest - computing).max(0.0),
            experts: computing.min(seconds - rest),
            rest,
        }
    }

    fn spread(&self, slots: usize) -> Vec<usize> {
        let e = self.experts;
        let scale = slots as f64 / e.slots.max(1) as f64;
        let scaled = |row: usize| {
            let now = e.slots(row) as f64;
            ((now * scale).round() as usize).min(e.layers[row].experts())
        };
        (0..e.layers.len()).map(scaled).collect()
    }
}
