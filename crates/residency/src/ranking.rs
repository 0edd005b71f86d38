//! The order in which the experts of a layer deserve their slots.

use serde::{Deserialize, Serialize};

/// How slots are given away; what the person chooses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The experts of the profile, else the first that came, stay for good.
    Static,
    /// The most recently used stay.
    Lru,
    /// Uses count, and fade; how fast is learned for each layer.
    #[default]
    Learned,
}

/// What an expert's place in the order is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// The order in which experts were first used, or that of a profile.
    Fixed,
    /// The token of the last use.
    Recent,
    /// Uses, each fading by this factor with every token, in (0, 1].
    Fading(f64),
}

/// A total order over the experts of one layer.
///
/// The order between two experts changes only when one of them is used. That is
/// what makes hits for every number of slots predictable in one pass (Mattson et
/// al. 1970, "Evaluation techniques for storage hierarchies"). So a fading score
/// is kept as the logarithm of the sum of `decay^-t` over the uses: the common
/// factor `decay^now` never enters, and no rounding depends on the time of asking.
#[derive(Debug, Clone)]
pub struct Ranking {
    rule: Rule,
    /// Higher deserves a slot more; negative infinity before the first use.
    keys: Vec<f64>,
    /// Token of the last use, 0 before the first.
    last: Vec<u64>,
    /// Experts used so far, for `Rule::Fixed`.
    seen: usize,
}

impl Ranking {
    pub fn new(rule: Rule, experts: usize) -> Ranking {
        Ranking {
            rule,
            keys: vec![f64::NEG_INFINITY; experts],
            last: vec![0; experts],
            seen: 0,
        }
    }

    pub fn rule(&self) -> Rule {
        self.rule
    }

    pub fn experts(&self) -> usize {
        self.keys.len()
    }

    /// Notes a use at token `now`, counted from 1.
    pub fn record(&mut self, expert: u32, now: u64) {
        let e = expert as usize;
        match self.rule {
            Rule::Recent => self.keys[e] = now as f64,
            Rule::Fading(decay) => {
                self.keys[e] = log_sum(self.keys[e], now as f64 * -decay.ln());
            }
            Rule::Fixed => {
                if self.keys[e] == f64::NEG_INFINITY {
                    self.seen += 1;
                    self.keys[e] = -(self.seen as f64);
                }
            }
        }
        self.last[e] = now;
    }

    /// Starts from the uses of an earlier run, as if they had been spread evenly
    /// over `tokens` tokens before the first. Later uses outweigh them soon.
    pub fn seed(&mut self, uses: &[u32], tokens: u64) {
        let mut order: Vec<usize> = (0..self.keys.len().min(uses.len()))
            .filter(|e| uses[*e] > 0)
            .collect();
        order.sort_by_key(|e| (std::cmp::Reverse(uses[*e]), *e));
        for (place, e) in order.into_iter().enumerate() {
            self.keys[e] = match self.rule {
                // Between never (negative infinity) and the first token.
                Rule::Recent => -1.0 - place as f64,
                // Uses at an even rate, seen from token 0: a geometric series.
                Rule::Fading(decay) => {
                    let rate = f64::from(uses[e]) / tokens.max(1) as f64;
                    let span = if decay < 1.0 {
                        (1.0 - decay.powf(tokens as f64)) / (1.0 - decay)
                    } else {
                        tokens as f64
                    };
                    (rate * span).ln()
                }
                Rule::Fixed => {
                    self.seen += 1;
                    -(self.seen as f64)
                }
            };
        }
    }

    /// Does `a` deserve a slot more than `b`? Ties go to the later use, then to
    /// the lower number.
    #[inline]
    pub fn better(&self, a: u32, b: u32) -> bool {
        let (i, j) = (a as usize, b as usize);
        match self.keys[i].total_cmp(&self.keys[j]) {
            std::cmp::Ordering::Equal => {
                (self.last[i], std::cmp::Reverse(a)) > (self.last[j], std::cmp::Reverse(b))
            }
            order => order.is_gt(),
        }
    }

    /// Place in the order, 0 being best.
    pub fn rank(&self, expert: u32) -> usize {
        let key = self.keys[expert as usize];
        let above = self.keys.iter().filter(|k| **k > key).count();
        let equal = self.keys.iter().filter(|k| **k == key).count();
        if equal == 1 {
            return above;
        }
        let ahead = (0..self.keys.len() as u32)
            .filter(|e| self.keys[*e as usize] == key && self.better(*e, expert));
        above + ahead.count()
    }

    /// Was it ever used, in this run or the one it was seeded from?
    pub fn known(&self, expert: u32) -> bool {
        self.keys[expert as usize] > f64::NEG_INFINITY
    }

    /// How many experts are [`known`](Self::known); they rank before all others.
    pub fn known_experts(&self) -> usize {
        self.keys.iter().filter(|k| **k > f64::NEG_INFINITY).count()
    }

    /// All experts, best first.
    pub fn order(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.keys.len() as u32).collect();
        order.sort_by(|a, b| match (self.better(*a, *b), a == b) {
            (_, true) => std::cmp::Ordering::Equal,
            (true, _) => std::cmp::Ordering::Less,
            (false, _) => std::cmp::Ordering::Greater,
        });
        order
    }

    /// Token of the last use, 0 before the first.
    pub fn last_used(&self, expert: u32) -> u64 {
        self.last[expert as usize]
    }
}

/// `ln(e^a + e^b)` without overflow.
fn log_sum(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY {
        high
    } else {
        high + (low - high).exp().ln_1p()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_use_outlives_one_recent_use_and_fades() {
        let mut r = Ranking::new(Rule::Fading(0.95), 3);
        (1..=5).for_each(|t| r.record(0, t));
        r.record(1, 10);
        assert!(r.better(0, 1), "five uses against one five tokens later");
        r.record(1, 60);
        assert!(r.better(1, 0), "old habits fade");
        assert!(r.better(0, 2) && !r.known(2));
    }

    #[test]
    fn the_order_of_unused_experts_never_changes() {
        let mut r = Ranking::new(Rule::Fading(0.98), 40);
        for t in 1..2000u64 {
            r.record((t * t % 31) as u32, t);
        }
        let before = r.order();
        // A hundred thousand tokens in which only expert 39 is used.
        (2000..102_000).step_by(1000).for_each(|t| r.record(39, t));
        let after: Vec<u32> = r.order().into_iter().filter(|e| *e != 39).collect();
        let before: Vec<u32> = before.into_iter().filter(|e| *e != 39).collect();
        assert_eq!(after, before);
    }

    #[test]
    fn ranks_number_the_order() {
        for rule in [Rule::Fixed, Rule::Recent, Rule::Fading(0.9)] {
            let mut r = Ranking::new(rule, 20);
            r.seed(&[0, 5, 5, 1], 10);
            for t in 1..9u64 {
                r.record((t * 7 % 20) as u32, t.div_ceil(2));
            }
            for (place, expert) in r.order().into_iter().enumerate() {
                assert_eq!(r.rank(expert), place, "{rule:?}");
            }
        }
    }

    #[test]
    fn a_profile_counts_until_the_present_outweighs_it() {
        for rule in [Rule::Recent, Rule::Fading(0.98)] {
            let mut r = Ranking::new(rule, 4);
            r.seed(&[100, 50, 0, 0], 1000);
            assert_eq!(r.order(), [0, 1, 2, 3]);
            (1..200).for_each(|t| r.record(3, t));
            assert_eq!(r.order()[0], 3, "{rule:?}");
        }
    }
}
