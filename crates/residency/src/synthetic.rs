//! Made-up routing with known properties, for tests and measurements.

use crate::trace::Trace;

/// A small generator of pseudo-random numbers (SplitMix64, Steele et al. 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How near in the past the next use of an expert lies: points (share of a
/// layer's experts, hit rate of per-layer LRU slots for that share), rising.
#[derive(Debug, Clone)]
pub struct Locality(pub Vec<(f64, f64)>);

impl Locality {
    /// Published for 512 experts of which 10 are used (imp #2061).
    pub fn published() -> Locality {
        Locality(vec![
            (0.06, 0.435),
            (0.12, 0.62),
            (0.18, 0.72),
            (0.24, 0.79),
            (0.33, 0.85),
            (1.0, 1.0),
        ])
    }

    /// The share of experts within which a use lies that the share `u` of uses
    /// lies within: the inverse of the hit curve.
    fn share(&self, u: f64) -> f64 {
        let mut from = (0.0, 0.0);
        for &(share, hits) in &self.0 {
            if u < hits {
                let within = (u - from.1) / (hits - from.1);
                return from.0 + within * (share - from.0);
            }
            from = (share, hits);
        }
        1.0
    }
}

/// Routing in which per-layer LRU slots hit as `locality` says: every expert is
/// drawn by how many others were used since its own last use.
pub fn local(
    layers: usize,
    experts: usize,
    per_token: usize,
    tokens: usize,
    locality: &Locality,
    seed: u64,
) -> Trace {
    let mut random = Random::new(seed);
    let mut trace = Trace::new(layers, experts, per_token);
    // Most recently used first.
    let mut stacks: Vec<Vec<u32>> = (0..layers)
        .map(|_| shuffled(experts, &mut random))
        .collect();
    for _ in 0..tokens {
        let mut ids = Vec::with_capacity(layers * per_token);
        for stack in &mut stacks {
            let first = ids.len();
            while ids.len() < first + per_token {
                let at = locality.share(random.unit()) * experts as f64;
                let expert = stack[(at as usize).min(experts - 1)];
                if !ids[first..].contains(&expert) {
                    ids.push(expert);
                }
            }
            // In the order of expert numbers, as ties of recency are broken.
            let mut used = ids[first..].to_vec();
            used.sort_unstable();
            stack.retain(|e| !used.contains(e));
            stack.splice(0..0, used);
        }
        trace.push(ids);
    }
    trace
}

/// Every expert is as likely as any other.
pub fn uniform(layers: usize, experts: usize, per_token: usize, tokens: usize, seed: u64) -> Trace {
    let even = Locality(vec![(1.0, 1.0)]);
    local(layers, experts, per_token, tokens, &even, seed)
}

/// Every token uses those experts that were not used for longest, so that no
/// cache that learns from the past ever hits.
pub fn adversarial(layers: usize, experts: usize, per_token: usize, tokens: usize) -> Trace {
    let mut trace = Trace::new(layers, experts, per_token);
    for token in 0..tokens {
        let of_layer = |_| (0..per_token).map(move |i| ((token * per_token + i) % experts) as u32);
        trace.push((0..layers).flat_map(of_layer));
    }
    trace
}

fn shuffled(count: usize, random: &mut Random) -> Vec<u32> {
    let mut all: Vec<u32> = (0..count as u32).collect();
    for i in (1..count).rev() {
        all.swap(i, random.below(i + 1));
    }
    all
}
