//! How deep in the order an expert stood when it was wanted. An expert at depth d
//! would have been found by every cache of more than d slots, so one pass over
//! the routing tells the hits of every size.

/// Depth of one wanted expert: its rank just before, and whether that was its
/// first use, which a cache that began empty misses whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth(u16);

const FIRST: u16 = 1 << 15;

impl Depth {
    /// `rank` counts from 0 and is below 32,768.
    pub fn new(rank: usize, first: bool) -> Depth {
        debug_assert!(rank < FIRST as usize);
        Depth(rank as u16 | if first { FIRST } else { 0 })
    }

    pub fn rank(self) -> usize {
        (self.0 & !FIRST) as usize
    }

    pub fn first(self) -> bool {
        self.0 & FIRST != 0
    }

    /// Found by a cache of `slots` slots that is full.
    pub fn hits(self, slots: usize) -> bool {
        self.rank() < slots
    }

    /// Found by a cache of `slots` slots that began empty.
    pub fn hits_cold(self, slots: usize) -> bool {
        !self.first() && self.rank() < slots
    }
}

/// Wanted experts by depth; old ones count less.
#[derive(Debug, Clone)]
pub struct DepthHistogram {
    counts: Vec<f32>,
    weight: f32,
    total: f32,
}

impl DepthHistogram {
    /// Tokens after which an observation weighs half.
    const HALF_LIFE: f32 = 1024.0;

    pub fn new(experts: usize) -> DepthHistogram {
        DepthHistogram {
            counts: vec![0.0; experts],
            weight: 1.0,
            total: 0.0,
        }
    }

    /// Adds the wanted experts of one token.
    pub fn add(&mut self, depths: impl IntoIterator<Item = usize>) {
        for rank in depths {
            self.counts[rank] += self.weight;
            self.total += self.weight;
        }
        // Later observations weigh more, instead of touching all earlier ones.
        self.weight *= 2.0_f32.powf(1.0 / Self::HALF_LIFE);
        if self.weight > 1e6 {
            self.counts.iter_mut().for_each(|c| *c /= self.weight);
            self.total /= self.weight;
            self.weight = 1.0;
        }
    }

    /// Wanted experts per observed token that the slot after `slots` would add,
    /// averaged over `width` slots.
    pub fn gain(&self, slots: usize, width: usize) -> f32 {
        let end = (slots + width).min(self.counts.len());
        let sum: f32 = self.counts[slots.min(end)..end].iter().sum();
        sum / width.max(1) as f32 / self.total.max(f32::MIN_POSITIVE)
    }

    /// Share of wanted experts that `slots` slots would have found.
    pub fn hit_rate(&self, slots: usize) -> f32 {
        if self.total == 0.0 {
            return 0.0;
        }
        let slots = slots.min(self.counts.len());
        self.counts[..slots].iter().sum::<f32>() / self.total
    }

    pub fn is_empty(&self) -> bool {
        self.total == 0.0
    }
}

/// Depths of the latest tokens, `[tokens, layers, per_token]`, to ask what
/// another number of slots would have done with them.
#[derive(Debug, Clone)]
pub struct DepthLog {
    layers: usize,
    per_token: usize,
    most: usize,
    depths: Vec<Depth>,
    /// Tokens ever added.
    tokens: usize,
}

impl DepthLog {
    /// Keeps the latest `most` tokens.
    pub fn new(layers: usize, per_token: usize, most: usize) -> DepthLog {
        DepthLog {
            layers,
            per_token,
            most: most.max(1),
            depths: Vec::new(),
            tokens: 0,
        }
    }

    /// Tokens that are kept.
    pub fn len(&self) -> usize {
        self.tokens.min(self.most)
    }

    pub fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// Adds a token, `[layers, per_token]`.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn push(&mut self, depths: &[Depth]) {
        let width = self.layers * self.per_token;
        assert_eq!(depths.len(), width);
        let at = self.tokens % self.most * width;
        if self.depths.len() == at {
            self.depths.extend_from_slice(depths);
        } else {
            self.depths[at..at + width].copy_from_slice(depths);
        }
        self.tokens += 1;
    }

    pub fn clear(&mut self) {
        self.depths.clear();
        self.tokens = 0;
    }

    /// For each kept token and layer, how many wanted experts `slots[layer]` full
    /// slots would have missed.
    pub fn misses<'a>(&'a self, slots: &'a [usize]) -> impl Iterator<Item = usize> + 'a {
        let rows = self.depths.chunks_exact(self.per_token);
        rows.zip(slots.iter().cycle())
            .map(|(row, slots)| row.iter().filter(|d| !d.hits(*slots)).count())
    }

    /// Share of wanted experts that `slots[layer]` full slots would have found.
    pub fn hit_rate(&self, slots: &[usize]) -> f64 {
        let misses: usize = self.misses(slots).sum();
        1.0 - misses as f64 / self.depths.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_keeps_the_latest() {
        let mut log = DepthLog::new(1, 2, 2);
        for rank in [9, 1, 3] {
            log.push(&[Depth::new(rank, false), Depth::new(rank + 1, true)]);
        }
        assert_eq!(log.len(), 2);
        let mut misses: Vec<usize> = log.misses(&[4]).collect();
        misses.sort_unstable();
        assert_eq!(misses, [0, 1]);
        assert_eq!(log.hit_rate(&[4]), 0.75);
    }

    #[test]
    fn the_present_outweighs_the_past() {
        let mut h = DepthHistogram::new(8);
        (0..20_000).for_each(|_| h.add([7]));
        (0..4_000).for_each(|_| h.add([0]));
        assert!(h.hit_rate(1) > 0.9, "{}", h.hit_rate(1));
        assert!((h.hit_rate(8) - 1.0).abs() < 1e-3);
        assert!(h.gain(0, 1) > h.gain(7, 1) && h.gain(1, 4) == 0.0);
    }
}
