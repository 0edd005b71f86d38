//! Speed and hit rate over the last second of work, for the live display.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::protocol::Totals;

const WINDOW: Duration = Duration::from_secs(1);

/// Samples of running counters.
#[derive(Default)]
pub struct Meter {
    samples: VecDeque<(Instant, u64, Totals)>,
    decoded: u64,
}

impl Meter {
    /// Notes that a token was decoded.
    pub fn token(&mut self, totals: Totals) {
        self.decoded += 1;
        self.sample(Instant::now(), totals);
    }

    /// Notes the counters without a token, as after a prefill step.
    pub fn work(&mut self, totals: Totals) {
        self.sample(Instant::now(), totals);
    }

    pub fn clear(&mut self) {
        self.samples.clear();
    }

    fn sample(&mut self, now: Instant, totals: Totals) {
        self.samples.push_back((now, self.decoded, totals));
        // One sample older than the window stays as the base line.
        while self.samples.len() > 2 && now - self.samples[1].0 > WINDOW {
            self.samples.pop_front();
        }
    }

    /// Tokens per second; 0 if nothing was decoded lately.
    pub fn tokens_per_second(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(a), Some(b)) if b.0 > a.0 && b.0.elapsed() < 2 * WINDOW => {
                (b.1 - a.1) as f64 / (b.0 - a.0).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// Experts read, bytes per second.
    pub fn disk_bytes_per_second(&self) -> f64 {
        self.rate(|t| t.bytes_read)
    }

    /// Experts computed, bytes per second.
    pub fn ram_bytes_per_second(&self) -> f64 {
        self.rate(|t| t.computed_bytes)
    }

    fn rate(&self, of: impl Fn(&Totals) -> u64) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(a), Some(b)) if b.0 > a.0 && b.0.elapsed() < 2 * WINDOW => {
                (of(&b.2) - of(&a.2)) as f64 / (b.0 - a.0).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// Share of expert fetches that found a slot, 1 if there were none.
    pub fn hit_rate(&self) -> f64 {
        match (self.samples.front(), self.samples.back()) {
            (Some(a), Some(b)) => {
                let hits = b.2.hits - a.2.hits;
                let fetches = hits + b.2.misses - a.2.misses;
                if fetches == 0 {
                    1.0
                } else {
                    hits as f64 / fetches as f64
                }
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_cover_the_last_second() {
        let mut meter = Meter::default();
        let start = Instant::now();
        let totals = |hits, misses| Totals {
            hits,
            misses,
            ..Totals::default()
        };
        for i in 0..=20u64 {
            meter.decoded = i;
            let (hits, misses) = if i <= 10 { (0, i) } else { (i - 10, 10) };
            meter.sample(start + Duration::from_millis(i * 100), totals(hits, misses));
        }
        assert!(meter.samples.len() <= 12);
        let rate = (meter.samples.back().unwrap().1 - meter.samples[0].1) as f64;
        assert!((9.0..=11.0).contains(&rate), "{rate}");
        assert!(meter.hit_rate() > 0.8);
    }

    #[test]
    fn nothing_yet_is_zero() {
        assert_eq!(Meter::default().tokens_per_second(), 0.0);
        assert_eq!(Meter::default().hit_rate(), 0.0);
    }
}
