//! What other numbers of slots would do, from the routing of the latest tokens and
//! the times that were measured.

use moestro_residency::Shares;

use super::Experts;

/// Decoded tokens from which on something is foretold.
const LEAST: usize = 24;

/// A view of the experts that can answer "what if".
pub struct Forecaster<'a> {
    experts: &'a Experts,
    /// Seconds of a layer by misses.
    layer: Vec<f64>,
    rest: f64,
}

impl Experts {
    /// Notes a decoded token that took `seconds` altogether, of which its experts
    /// took `experts`.
    pub fn note_token(&mut self, seconds: f64, experts: f64) {
        self.times.add_rest((seconds - experts).max(0.0));
        self.preloads.end_token(seconds);
    }

    /// Seconds that all steps so far took.
    pub fn step_seconds(&self) -> f64 {
        self.expert_seconds
    }

    /// `None` until enough tokens were decoded.
    pub fn forecaster(&self) -> Option<Forecaster<'_>> {
        if self.log.len() < LEAST {
            return None;
        }
        Some(Forecaster {
            experts: self,
            layer: self.times.layer()?,
            rest: self.times.rest()?,
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
        let log = &self.experts.log;
        let most = self.layer.len() - 1;
        let experts: f64 = log
            .misses(&of_layers)
            .map(|misses| self.layer[misses.min(most)])
            .sum();
        let seconds = self.rest + experts / log.len() as f64;
        (seconds, log.hit_rate(&of_layers))
    }

    /// What a token spends its time on with the slots of now.
    pub fn shares(&self) -> Shares {
        let (seconds, _) = self.at(self.experts.slots);
        let rows = self.experts.layers.len() as f64;
        let computing = self.layer[0] * rows;
        Shares {
            reading: (seconds - self.rest - computing).max(0.0),
            experts: computing.min(seconds - self.rest),
            rest: self.rest,
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
