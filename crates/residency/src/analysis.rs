//! What a recording says about a layer's routing.

use crate::ranking::Policy;
use crate::simulate;
use crate::trace::Trace;

/// Shares of a layer's experts for which hits are reported.
pub const SHARES: [f64; 7] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8];

/// Figures of one layer over a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerAnalysis {
    /// Experts that were used at all.
    pub used: usize,
    /// Share of the uses that the most used tenth of the experts got.
    pub skew: f64,
    /// Share of a token's experts that the token before used too.
    pub reuse: f64,
}

/// Hit rates over all layers, one for each of [`SHARES`], after the first quarter
/// of the recording has filled the slots.
#[derive(Debug, Clone, PartialEq)]
pub struct HitCurve {
    pub policy: Policy,
    pub hit_rates: Vec<f64>,
}

pub fn layers(trace: &Trace) -> Vec<LayerAnalysis> {
    (0..trace.layers()).map(|row| layer(trace, row)).collect()
}

fn layer(trace: &Trace, row: usize) -> LayerAnalysis {
    let mut uses = vec![0usize; trace.experts()];
    let mut again = 0;
    for token in 0..trace.tokens() {
        let ids = trace.at(token, row);
        ids.iter().for_each(|e| uses[usize::from(*e)] += 1);
        if token > 0 {
            let before = trace.at(token - 1, row);
            again += ids.iter().filter(|e| before.contains(e)).count();
        }
    }
    let used = uses.iter().filter(|u| **u > 0).count();
    let total: usize = uses.iter().sum();
    uses.sort_unstable_by(|a, b| b.cmp(a));
    let tenth: usize = uses[..uses.len().div_ceil(10)].iter().sum();
    let pairs = trace.tokens().saturating_sub(1) * trace.per_token();
    LayerAnalysis {
        used,
        skew: tenth as f64 / total.max(1) as f64,
        reuse: again as f64 / pairs.max(1) as f64,
    }
}

pub fn curves(trace: &Trace) -> Vec<HitCurve> {
    let policies = [Policy::Static, Policy::Lru, Policy::Learned];
    policies.map(|policy| curve(trace, policy)).into()
}

fn curve(trace: &Trace, policy: Policy) -> HitCurve {
    let hit_rate = |share: &f64| {
        let slots = ((trace.experts() as f64 * share).round() as usize).max(1);
        let outcome = simulate::hits(trace, &vec![slots; trace.layers()], policy);
        let warm = trace.tokens() / 4 * trace.layers();
        let misses: usize = outcome.misses[warm..].iter().sum();
        let wanted = (outcome.misses.len() - warm) * trace.per_token();
        1.0 - misses as f64 / wanted.max(1) as f64
    };
    HitCurve {
        policy,
        hit_rates: SHARES.iter().map(hit_rate).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_skew_and_reuse_apart() {
        let mut skewed = Trace::new(1, 100, 2);
        (0..200u32).for_each(|t| skewed.push([t % 2 * 5 + t % 5, 50 + t % 3]));
        let mut even = Trace::new(1, 100, 2);
        (0..200u32).for_each(|t| even.push([t * 2 % 100, (t * 2 + 1) % 100]));
        let (a, b) = (layers(&skewed)[0].clone(), layers(&even)[0].clone());
        assert!(a.skew > 0.7 && a.used < 15, "{a:?}");
        assert!(b.skew < 0.15 && b.used == 100 && b.reuse == 0.0, "{b:?}");
        assert_eq!(curves(&even)[1].hit_rates[0], 0.0);
    }
}
