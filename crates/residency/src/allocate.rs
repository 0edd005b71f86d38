//! How many slots each layer gets from a common budget.

use crate::depth::DepthHistogram;

/// Slots are moved between layers in blocks of this many, so that the noise of
/// single depths does not decide.
const BLOCK: usize = 8;
/// Share of the present misses that a new allocation must save to be taken.
const WORTH: f32 = 0.03;
/// No layer falls below this share of its even part.
const FLOOR: f32 = 0.5;

/// Slots of each layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allocation {
    pub slots: Vec<usize>,
}

impl Allocation {
    /// The same number in every layer.
    pub fn even(layers: usize, slots: usize) -> Allocation {
        Allocation {
            slots: vec![slots; layers],
        }
    }

    pub fn total(&self) -> usize {
        self.slots.iter().sum()
    }
}

/// Spreads the bytes of `slots` slots in every layer by what one more slot would
/// add in each, most hits per byte first. `bytes[layer]` is the size of a slot.
/// `None` if the present allocation is as good: moving experts costs reads.
pub fn allocate(
    histograms: &[&DepthHistogram],
    bytes: &[u64],
    slots: usize,
    experts: usize,
    present: &Allocation,
) -> Option<Allocation> {
    let layers = histograms.len();
    if histograms.iter().any(|h| h.is_empty()) || layers < 2 || slots == 0 {
        return None;
    }
    let floor = ((slots as f32 * FLOOR) as usize).max(1);
    let mut budget: u64 = bytes.iter().map(|b| b * (slots - floor) as u64).sum();
    let mut next = Allocation::even(layers, floor);
    loop {
        let affordable = |l: &usize| bytes[*l] <= budget && next.slots[*l] < experts;
        let value = |l: usize| block_gain(histograms[l], next.slots[l]) / bytes[l] as f32;
        let best = (0..layers)
            .filter(affordable)
            .reduce(|a, b| if value(b) > value(a) { b } else { a });
        let Some(best) = best else { break };
        let block = BLOCK
            .min(experts - next.slots[best])
            .min((budget / bytes[best]) as usize);
        next.slots[best] += block;
        budget -= bytes[best] * block as u64;
    }
    let misses = |a: &Allocation| -> f32 {
        let of = |(h, slots): (&&DepthHistogram, &usize)| 1.0 - h.hit_rate(*slots);
        histograms.iter().zip(&a.slots).map(of).sum()
    };
    let (now, then) = (misses(present), misses(&next));
    let over = present.slots.iter().zip(bytes).map(|(s, b)| *s as u64 * b);
    let fits = over.sum::<u64>() <= bytes.iter().map(|b| b * slots as u64).sum();
    (!fits || then < now * (1.0 - WORTH)).then_some(next)
}

/// Gain per slot of the best run of blocks from here on, because a curve may be
/// flat at first and steep later.
fn block_gain(histogram: &DepthHistogram, slots: usize) -> f32 {
    (1..=4)
        .map(|blocks| histogram.gain(slots, blocks * BLOCK))
        .fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A layer whose uses spread evenly over the first `depth` ranks.
    fn layer(depth: usize) -> DepthHistogram {
        let mut h = DepthHistogram::new(256);
        (0..2048).for_each(|i| h.add([i % depth]));
        h
    }

    #[test]
    fn slots_go_where_they_hit() {
        let (narrow, wide) = (layer(32), layer(128));
        let even = Allocation::even(2, 64);
        let to = allocate(&[&narrow, &wide], &[10, 10], 64, 256, &even).unwrap();
        assert_eq!(to.slots[0], 32);
        assert_eq!(to.total(), 128);
        // It is not worth moving again, and equal layers are left alone.
        assert!(allocate(&[&narrow, &wide], &[10, 10], 64, 256, &to).is_none());
        assert!(allocate(&[&wide, &wide], &[10, 10], 64, 256, &even).is_none());
    }

    #[test]
    fn the_bytes_of_the_budget_are_kept() {
        let (narrow, wide) = (layer(16), layer(200));
        let bytes = [14, 10];
        for slots in [1, 3, 50, 100, 256] {
            let even = Allocation::even(2, slots);
            if let Some(to) = allocate(&[&narrow, &wide], &bytes, slots, 256, &even) {
                let used: u64 = to.slots.iter().zip(bytes).map(|(s, b)| *s as u64 * b).sum();
                assert!(used <= 24 * slots as u64);
                assert!(to.slots.iter().all(|s| *s >= 1 && *s <= 256));
            }
        }
    }

    #[test]
    fn an_allocation_over_the_budget_is_always_replaced() {
        let h = layer(64);
        let present = Allocation::even(2, 100);
        let to = allocate(&[&h, &h], &[10, 10], 20, 256, &present).unwrap();
        assert!(to.total() <= 40);
    }
}
