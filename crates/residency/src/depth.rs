//! How deep in the order an expert stood when it was wanted. An expert at depth d
//! would have been found by every cache of more than d slots, so one pass over
//! the routing tells the hits of every size.

/// Depth of one wanted expert: its rank just before. Of a first use only a bound is
/// known, the number of experts that had been used by then; a cache that began empty
/// misses it whatever its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth(u16);

const FIRST: u16 = 1 << 15;

impl Depth {
    /// `rank` counts from 0 and is below 32,768.
    pub fn new(rank: usize, first: bool) -> Depth {
        debug_assert!(rank < FIRST as usize);
        Depth(rank as u16 | if first { FIRST } else { 0 })
    }

    /// Of a first use, the least that it may have been.
    pub fn rank(self) -> usize {
        (self.0 & !FIRST) as usize
    }

    pub fn first(self) -> bool {
        self.0 & FIRST != 0
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

    /// What the kept depths say of full slots.
    pub fn outlook(&self, experts: usize) -> Outlook<'_> {
        let row = |row| Survival::new(self.of_layer(row), experts);
        Outlook {
            log: self,
            layers: (0..self.layers).map(row).collect(),
        }
    }

    fn of_layer(&self, row: usize) -> impl Iterator<Item = Depth> + Clone {
        let rows = self.depths.chunks_exact(self.per_token);
        rows.skip(row).step_by(self.layers).flatten().copied()
    }
}

/// How many wanted experts full slots will miss, after the latest tokens.
///
/// What is used for the first time since loading stood at a depth that nobody knows,
/// somewhere below all that was used by then. It counts as likely to be a miss as the
/// uses whose depths are known make it.
#[derive(Debug, Clone)]
pub struct Outlook<'a> {
    log: &'a DepthLog,
    layers: Vec<Survival>,
}

impl Outlook<'_> {
    /// For each kept token and layer, how many wanted experts `slots[layer]` full
    /// slots would have missed.
    pub fn misses<'a>(&'a self, slots: &'a [usize]) -> impl Iterator<Item = f64> + 'a {
        let rows = self.log.depths.chunks_exact(self.log.per_token);
        let layers = self.layers.iter().zip(slots).cycle();
        rows.zip(layers)
            .map(|(row, (layer, slots))| row.iter().map(|d| layer.miss(*d, *slots)).sum())
    }

    /// Share of wanted experts that `slots[layer]` full slots would have found.
    pub fn hit_rate(&self, slots: &[usize]) -> f64 {
        let misses: f64 = self.misses(slots).sum();
        1.0 - misses / self.log.depths.len().max(1) as f64
    }
}

/// The share of a layer's uses that lie deeper than 0, 1, ... slots, from depths of
/// which some are only bounds (Kaplan and Meier 1958, "Nonparametric estimation from
/// incomplete observations").
#[derive(Debug, Clone)]
struct Survival(Vec<f64>);

impl Survival {
    fn new(depths: impl Iterator<Item = Depth> + Clone, experts: usize) -> Survival {
        let (mut known, mut bounds) = (vec![0u32; experts + 1], vec![0u32; experts + 1]);
        for depth in depths.clone() {
            let of = if depth.first() {
                &mut bounds
            } else {
                &mut known
            };
            of[depth.rank().min(experts)] += 1;
        }
        // Beyond what was seen nothing is known but that all experts are hits.
        let seen = |of: &[u32]| of.iter().rposition(|n| *n > 0);
        let deepest = seen(&known).map(|rank| rank + 1).max(seen(&bounds));
        let end = deepest.unwrap_or(experts).min(experts);
        let mut at_risk = depths.count() as f64;
        let mut deeper = vec![1.0];
        for slots in 0..experts {
            let last = deeper[slots];
            at_risk -= f64::from(bounds[slots]);
            deeper.push(if slots < end {
                last * (1.0 - f64::from(known[slots]) / at_risk.max(1.0))
            } else {
                deeper[end] * (experts - slots - 1) as f64 / (experts - end) as f64
            });
            at_risk -= f64::from(known[slots]);
        }
        Survival(deeper)
    }

    /// How likely `slots` full slots miss a use of this depth.
    fn miss(&self, depth: Depth, slots: usize) -> f64 {
        let rank = depth.rank();
        match (slots <= rank, depth.first()) {
            (true, _) => 1.0,
            (false, false) => 0.0,
            (false, true) => {
                let least = self.0[rank.min(self.0.len() - 1)];
                let deeper = self.0.get(slots).copied().unwrap_or(0.0);
                if least > 0.0 { deeper / least } else { 0.0 }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Locality, Policy, hits, local};

    #[test]
    fn the_log_keeps_the_latest() {
        let mut log = DepthLog::new(1, 2, 2);
        for rank in [9, 1, 3] {
            log.push(&[Depth::new(rank, false), Depth::new(rank + 1, false)]);
        }
        assert_eq!(log.len(), 2);
        let outlook = log.outlook(10);
        let mut misses: Vec<f64> = outlook.misses(&[4]).collect();
        misses.sort_unstable_by(f64::total_cmp);
        assert_eq!(misses, [0.0, 1.0]);
        assert_eq!(outlook.hit_rate(&[4]), 0.75);
        assert_eq!(outlook.hit_rate(&[10]), 1.0);
    }

    /// Of what is used for the first time only a bound is known: four of ten uses lie
    /// at 5 and six beyond 4, so of these most lie beyond 5 too.
    #[test]
    fn first_uses_lie_as_deep_as_the_others_make_likely() {
        let mut log = DepthLog::new(1, 1, 100);
        let depth = |rank, first| [Depth::new(rank, first)];
        (0..4).for_each(|_| log.push(&depth(5, false)));
        (0..4).for_each(|_| log.push(&depth(8, true)));
        (0..2).for_each(|_| log.push(&depth(3, true)));
        let outlook = log.outlook(16);
        let sum = |slots| outlook.misses(&[slots]).sum::<f64>();
        assert_eq!((sum(3), sum(16)), (10.0, 0.0));
        assert!((sum(5) - 10.0).abs() < 1e-9, "nothing known lies above 5");
        // Half of those that are known to reach 5 end there; so half of the two.
        assert!((sum(6) - 5.0).abs() < 1e-9, "{}", sum(6));
        assert!((sum(12) - 2.5).abs() < 1e-9, "{}", sum(12));
    }

    /// Soon after loading, when most uses are the first ones.
    #[test]
    fn the_first_tokens_tell_of_the_later_ones() {
        let trace = local(4, 512, 10, 1024, &Locality::published(), 3);
        let once = hits(&trace, &[1; 4], Policy::Lru);
        let mut early = DepthLog::new(4, 10, 64);
        once.depths.chunks(40).take(64).for_each(|t| early.push(t));
        let outlook = early.outlook(512);
        for slots in [32, 64, 105, 138, 200, 300, 400] {
            let later = hits(&trace, &[slots; 4], Policy::Lru);
            let misses: usize = later.misses[400 * 4..].iter().sum();
            let really = 1.0 - misses as f64 / (624 * 40) as f64;
            let told = outlook.hit_rate(&[slots; 4]);
            assert!((told - really).abs() < 0.02, "{slots}: {told} {really}");
        }
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
