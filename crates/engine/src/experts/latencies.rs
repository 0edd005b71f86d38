//! How long the latest reads took.

use std::time::Duration;

/// Reads that are remembered.
const MOST: usize = 512;

#[derive(Default)]
pub struct Latencies {
    us: Vec<u32>,
    next: usize,
}

impl Latencies {
    pub fn add(&mut self, took: Duration) {
        let us = took.as_micros().min(u128::from(u32::MAX)) as u32;
        if self.us.len() < MOST {
            self.us.push(us);
        } else {
            self.us[self.next] = us;
        }
        self.next = (self.next + 1) % MOST;
    }

    /// Microseconds that these shares of the reads stayed below; 0 without reads.
    pub fn percentiles<const N: usize>(&self, shares: [f64; N]) -> [u64; N] {
        let mut sorted = self.us.clone();
        sorted.sort_unstable();
        shares.map(|share| {
            let last = sorted.len().saturating_sub(1) as f64;
            sorted
                .get((last * share).round() as usize)
                .map_or(0, |us| u64::from(*us))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_reads_count() {
        let mut l = Latencies::default();
        assert_eq!(l.percentiles([0.5, 0.95]), [0, 0]);
        (0..1000).for_each(|i| l.add(Duration::from_micros(i)));
        let [half, most] = l.percentiles([0.5, 0.95]);
        assert!((740..750).contains(&half) && (970..980).contains(&most));
    }
}
