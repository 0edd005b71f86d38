//! One size of expert memory, measured once or many times, beside what was foretold
//! of it each time just before it was set.

use std::time::Instant;

use anyhow::{Context, Result};
use moestro_engine::protocol::{Forecast, MemorySettings};
use moestro_engine::{Engine, hardware};
use serde_json::{Value, json};

use super::decode::Decode;

/// What one visit found.
#[derive(Clone, Copy)]
pub struct Visit {
    pub measured: f64,
    pub hit_rate: f64,
    /// `None` where nothing was known yet.
    pub foretold: Option<Foretold>,
}

#[derive(Clone, Copy)]
pub struct Foretold {
    pub tokens_per_second: f64,
    pub hit_rate: f64,
    /// What would have been said had the hits been known: the rest of the error is
    /// that of the time.
    pub with_real_hits: f64,
}

/// All visits of one RAM budget.
pub struct Position {
    pub budget: u64,
    pub slots: usize,
    pub resident: u64,
    pub visits: Vec<Visit>,
}

/// Tokens before each measurement, and in it.
#[derive(Clone, Copy)]
pub struct Length {
    pub settle: usize,
    pub tokens: usize,
}

impl Position {
    pub fn new(budget: u64) -> Position {
        Position {
            budget,
            slots: 0,
            resident: 0,
            visits: Vec::new(),
        }
    }

    /// Foretells this size from how things are now, sets it, and measures.
    pub fn visit(
        &mut self,
        engine: &mut Engine,
        decode: &mut Decode,
        settings: &MemorySettings,
        length: Length,
    ) -> Result<()> {
        let known = "too few tokens for a forecast; measure more with --tokens";
        let curves = engine.forecast().context(known)?;
        let times = engine.experts().token_times().context(known)?;
        let settings = MemorySettings {
            ram_budget: Some(self.budget),
            ..settings.clone()
        };
        let foretold = on_the_curve(engine, &curves, &settings);
        engine.configure(&settings)?;
        let (visit, steps) = self.measure(engine, decode, length)?;
        let really = steps.iter().enumerate();
        let really = really.flat_map(|(m, n)| std::iter::repeat_n(m as f64, *n as usize));
        let with_real_hits = 1.0 / times.mean(really, length.tokens).0;
        let foretold = foretold.map(|(tokens_per_second, hit_rate)| Foretold {
            tokens_per_second,
            hit_rate,
            with_real_hits,
        });
        self.visits.push(Visit { foretold, ..visit });
        Ok(())
    }

    /// Measures without a forecast.
    pub fn first(
        &mut self,
        engine: &mut Engine,
        decode: &mut Decode,
        length: Length,
    ) -> Result<()> {
        let (visit, _) = self.measure(engine, decode, length)?;
        self.visits.push(visit);
        Ok(())
    }

    /// The steps are those that missed 0, 1, ... experts.
    fn measure(
        &mut self,
        engine: &mut Engine,
        decode: &mut Decode,
        length: Length,
    ) -> Result<(Visit, Vec<u64>)> {
        // Slots fill as they would between two questions.
        while engine.fill_slots()? {}
        decode.tokens(engine, length.settle)?;
        let before = engine.experts().totals();
        let steps_before = engine.experts().steps_by_misses().to_vec();
        let start = Instant::now();
        decode.tokens(engine, length.tokens)?;
        let seconds = start.elapsed().as_secs_f64();
        let after = engine.experts().totals();
        let (hits, misses) = (after.hits - before.hits, after.misses - before.misses);
        let steps = engine.experts().steps_by_misses().iter();
        let steps = steps.zip(&steps_before).map(|(now, then)| now - then);
        let visit = Visit {
            measured: length.tokens as f64 / seconds,
            hit_rate: hits as f64 / (hits + misses).max(1) as f64,
            foretold: None,
        };
        self.slots = engine.placement().experts_per_layer;
        self.resident = self.resident.max(hardware::process_bytes());
        Ok((visit, steps.collect()))
    }

    pub fn measured(&self) -> f64 {
        median(self.visits.iter().map(|v| v.measured)).unwrap_or(0.0)
    }

    pub fn hit_rate(&self) -> f64 {
        median(self.visits.iter().map(|v| v.hit_rate)).unwrap_or(0.0)
    }

    /// The median of one number of what was foretold.
    pub fn foretold(&self, number: fn(&Foretold) -> f64) -> Option<f64> {
        median(
            self.visits
                .iter()
                .filter_map(|v| v.foretold.as_ref())
                .map(number),
        )
    }

    /// The error of the median speed foretold against the median measured.
    pub fn error(&self) -> Option<f64> {
        let foretold = self.foretold(|f| f.tokens_per_second)?;
        Some(foretold / self.measured() - 1.0)
    }

    /// Of each visit, a foretold speed against the one measured there; rising.
    pub fn errors(&self, number: fn(&Foretold) -> f64) -> Vec<f64> {
        let error = |v: &Visit| Some(number(v.foretold.as_ref()?) / v.measured - 1.0);
        let mut errors: Vec<f64> = self.visits.iter().filter_map(error).collect();
        errors.sort_unstable_by(f64::total_cmp);
        errors
    }

    pub fn json(&self) -> Value {
        let visits = self.visits.iter().map(|v| {
            json!({
                "tokens_per_second": v.measured, "hit_rate": v.hit_rate,
                "predicted": v.foretold.map(|f| f.tokens_per_second),
                "predicted_hit_rate": v.foretold.map(|f| f.hit_rate),
                "predicted_with_real_hits": v.foretold.map(|f| f.with_real_hits),
            })
        });
        json!({
            "ram_budget": self.budget, "slots": self.slots, "resident_bytes": self.resident,
            "tokens_per_second": self.measured(), "hit_rate": self.hit_rate(),
            "predicted": self.foretold(|f| f.tokens_per_second),
            "predicted_hit_rate": self.foretold(|f| f.hit_rate),
            "error_percent": self.error().map(|e| 100.0 * e),
            "visits": visits.collect::<Vec<_>>(),
        })
    }
}

/// Speed and hit rate that the curve of the size of now says of a budget.
fn on_the_curve(
    engine: &Engine,
    curves: &Forecast,
    settings: &MemorySettings,
) -> Option<(f64, f64)> {
    let slots = engine.plan(settings).experts_per_layer;
    let after = curves.ram.iter().position(|p| p.slots >= slots)?;
    let b = curves.ram[after];
    let a = curves.ram[after.saturating_sub(1)];
    let share = match b.slots - a.slots {
        0 => 1.0,
        between => (slots - a.slots) as f64 / between as f64,
    };
    let mix = |a: f64, b: f64| a + share * (b - a);
    Some((
        mix(a.tokens_per_second, b.tokens_per_second),
        mix(a.hit_rate, b.hit_rate),
    ))
}

/// `None` of nothing.
pub fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (above, below) = (sorted.get(sorted.len() / 2)?, (sorted.len() - 1) / 2);
    Some((above + sorted[below]) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_errors() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        let mut position = Position::new(1);
        for (foretold, measured) in [(11.0, 10.0), (12.0, 20.0), (8.0, 5.0)] {
            position.visits.push(Visit {
                measured,
                hit_rate: 0.5,
                foretold: Some(Foretold {
                    tokens_per_second: foretold,
                    hit_rate: 0.5,
                    with_real_hits: foretold,
                }),
            });
        }
        assert!((position.error().unwrap() - 0.1).abs() < 1e-9);
        let paired = position.errors(|f| f.tokens_per_second);
        assert!((median(paired.into_iter()).unwrap() - 0.1).abs() < 1e-9);
    }
}
