//! Learns how fast uses should fade: several rates are followed side by side,
//! each with the hits it would have had, and the best one ranks.

use crate::depth::{Depth, DepthHistogram};
use crate::ranking::{Policy, Ranking, Rule};

/// Followed by [`Policy::Learned`]. Recency alone is the fastest fading. The first
/// is where it starts.
const RULES: [Rule; 4] = [
    Rule::Fading(0.95),
    Rule::Recent,
    Rule::Fading(0.98),
    Rule::Fading(0.997),
];
/// Tokens between two looks at the others.
const PATIENCE: u64 = 128;
/// Hit rate that another rule must add to take over.
const WORTH: f32 = 0.01;

/// The ranking of one layer under a policy.
#[derive(Debug)]
pub struct Learned {
    rankings: Vec<Ranking>,
    histograms: Vec<DepthHistogram>,
    active: usize,
    tokens: u64,
}

impl Learned {
    pub fn new(policy: Policy, experts: usize) -> Learned {
        let rules: &[Rule] = match policy {
            Policy::Static => &[Rule::Fixed],
            Policy::Lru => &[Rule::Recent],
            Policy::Learned => &RULES,
        };
        Learned {
            rankings: rules.iter().map(|r| Ranking::new(*r, experts)).collect(),
            histograms: rules.iter().map(|_| DepthHistogram::new(experts)).collect(),
            active: 0,
            tokens: 0,
        }
    }

    /// The order in force.
    pub fn ranking(&self) -> &Ranking {
        &self.rankings[self.active]
    }

    /// Depths under the rule in force.
    pub fn histogram(&self) -> &DepthHistogram {
        &self.histograms[self.active]
    }

    pub fn seed(&mut self, uses: &[u32], tokens: u64) {
        self.rankings.iter_mut().for_each(|r| r.seed(uses, tokens));
    }

    /// Depths of the experts that one token wants, before they are recorded.
    pub fn depths(&mut self, wanted: &[u32]) -> Vec<Depth> {
        for (i, (ranking, histogram)) in self.rankings.iter().zip(&mut self.histograms).enumerate()
        {
            if i != self.active {
                histogram.add(wanted.iter().map(|e| ranking.rank(*e)));
            }
        }
        let ranking = &self.rankings[self.active];
        self.histograms[self.active].add(wanted.iter().map(|e| ranking.rank(*e)));
        let depth = |e: &u32| match ranking.known(*e) {
            true => Depth::new(ranking.rank(*e), false),
            false => Depth::new(ranking.known_experts(), true),
        };
        wanted.iter().map(depth).collect()
    }

    pub fn record(&mut self, expert: u32, now: u64) {
        self.rankings.iter_mut().for_each(|r| r.record(expert, now));
    }

    /// Changes the rule if another would hit clearly more with `slots` slots.
    /// To be called once per token. Returns whether the order changed.
    pub fn reconsider(&mut self, slots: usize) -> bool {
        self.tokens += 1;
        if self.rankings.len() == 1 || !self.tokens.is_multiple_of(PATIENCE) {
            return false;
        }
        let hits = |i: usize| self.histograms[i].hit_rate(slots);
        let best = (0..self.rankings.len()).reduce(|a, b| if hits(b) > hits(a) { b } else { a });
        match best {
            Some(best) if hits(best) > hits(self.active) + WORTH => {
                self.active = best;
                true
            }
            _ => false,
        }
    }

    /// Hit rates that each followed rule would have with `slots` slots.
    pub fn compare(&self, slots: usize) -> impl Iterator<Item = (Rule, f32)> {
        let rule = move |(r, h): (&Ranking, &DepthHistogram)| (r.rule(), h.hit_rate(slots));
        self.rankings.iter().zip(&self.histograms).map(rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::Random;

    /// A few experts used every 32 tokens, among bursts of others that seldom come
    /// back: recency and quick fading are fooled, slow fading is not.
    #[test]
    fn finds_frequency_where_recency_is_fooled() {
        let mut layer = Learned::new(Policy::Learned, 1024);
        let mut random = Random::new(1);
        for t in 1..2000u64 {
            let burst = (0..8).map(|_| 32 + random.below(992) as u32);
            let mut wanted: Vec<u32> = burst.chain([(t % 32) as u32]).collect();
            wanted.sort_unstable();
            wanted.dedup();
            layer.depths(&wanted);
            wanted.iter().for_each(|e| layer.record(*e, t));
            layer.reconsider(40);
        }
        let rule = layer.ranking().rule();
        assert!(
            matches!(rule, Rule::Fading(decay) if decay > 0.95),
            "{rule:?}"
        );
        let hits: Vec<f32> = layer.compare(40).map(|(_, hits)| hits).collect();
        assert!(layer.histogram().hit_rate(40) > hits[1] + 0.05, "{hits:?}");
    }

    #[test]
    fn the_other_policies_have_nothing_to_learn() {
        for (policy, rule) in [(Policy::Static, Rule::Fixed), (Policy::Lru, Rule::Recent)] {
            let mut layer = Learned::new(policy, 8);
            (0..1000).for_each(|_| assert!(!layer.reconsider(4)));
            assert_eq!(layer.ranking().rule(), rule);
        }
    }
}
