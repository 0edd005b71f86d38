//! What slots bring a model of which nothing was measured yet: routing made up
//! with published locality, played against slots once for all their numbers.

use crate::depth::DepthLog;
use crate::ranking::Policy;
use crate::simulate::hits;
use crate::synthetic::{Locality, local};

/// Tokens that are made up; before the first that counts, the order has formed.
const TOKENS: usize = 1024;
const SETTLE: usize = 256;

/// One layer, standing for all of a model.
#[derive(Debug, Clone)]
pub struct Expected {
    log: DepthLog,
    experts: usize,
    per_token: usize,
}

impl Expected {
    /// `None` if a token uses no experts, or more than there are.
    pub fn published(experts: usize, per_token: usize) -> Option<Expected> {
        if per_token == 0 || per_token > experts {
            return None;
        }
        let locality = Locality::published();
        let trace = local(1, experts, per_token, SETTLE + TOKENS, &locality, 1);
        let outcome = hits(&trace, &[experts], Policy::Lru);
        Some(Expected {
            log: outcome.log(&trace, TOKENS),
            experts,
            per_token,
        })
    }

    /// Share of the wanted experts that `slots` slots of a layer find.
    pub fn hit_rate(&self, slots: usize) -> f64 {
        self.log.outlook(self.experts).hit_rate(&[slots])
    }

    /// Share of tokens of which `slots` slots miss 0, 1, ... wanted experts; as
    /// many shares as that, and one.
    pub fn misses(&self, slots: usize) -> Vec<f64> {
        let mut shares = vec![0.0; self.per_token + 1];
        let each = 1.0 / self.log.len() as f64;
        for misses in self.log.outlook(self.experts).misses(&[slots]) {
            // Of an average, the numbers on both sides of it get their parts.
            let (below, part) = (misses as usize, misses.fract());
            shares[below] += each * (1.0 - part);
            shares[(below + 1).min(self.per_token)] += each * part;
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hit_as_was_published() {
        let expected = Expected::published(512, 10).unwrap();
        for (share, hits) in [(0.06, 0.435), (0.12, 0.62), (0.24, 0.79), (0.33, 0.85)] {
            let found = expected.hit_rate((512.0 * share) as usize);
            assert!((found - hits).abs() < 0.02, "{share}: {found}");
        }
        assert_eq!(expected.hit_rate(512), 1.0);
        let shares = expected.misses(61);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let missed: f64 = shares.iter().enumerate().map(|(m, s)| m as f64 * s).sum();
        assert!((1.0 - missed / 10.0 - expected.hit_rate(61)).abs() < 1e-9);
    }

    #[test]
    fn what_cannot_route_expects_nothing() {
        assert!(Expected::published(0, 0).is_none());
        assert!(Expected::published(4, 5).is_none());
        assert!(Expected::published(4, 4).is_some());
    }
}
