//! Numbers over the whole vocabulary: what runs once per token over all logits.

/// A token and its (penalised) logit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Candidate {
    pub token: u32,
    pub logit: f32,
}

impl Candidate {
    /// Likelier first; of equals the lower id.
    fn before(&self, other: &Candidate) -> bool {
        self.logit > other.logit || (self.logit == other.logit && self.token < other.token)
    }
}

/// Independent lanes, so that the compiler can use vectors.
const LANES: usize = 16;

/// Makes every logit usable: not-a-number counts as impossible, infinity as very
/// large. Returns the largest, which is minus infinity if no token is possible.
pub fn clean(logits: &mut [f32]) -> f32 {
    for logit in logits.iter_mut() {
        let number = if logit.is_nan() {
            f32::NEG_INFINITY
        } else {
            *logit
        };
        *logit = if number > f32::MAX { f32::MAX } else { number };
    }
    largest(logits)
}

/// The largest of clean logits.
pub fn largest(logits: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut blocks = logits.chunks_exact(LANES);
    for block in &mut blocks {
        for (lane, &logit) in lanes.iter_mut().zip(block) {
            *lane = larger(*lane, logit);
        }
    }
    lanes
        .iter()
        .chain(blocks.remainder())
        .copied()
        .fold(f32::NEG_INFINITY, larger)
}

/// The first token with the largest logit.
pub fn argmax(logits: &[f32]) -> u32 {
    let max = largest(logits);
    logits.iter().position(|&logit| logit == max).unwrap_or(0) as u32
}

/// The sum of `exp((logit - max) * scale)`; no logit may be above `max`.
pub fn sum_exp(logits: &[f32], max: f32, scale: f32) -> f64 {
    let term = |logit: f32| exp_of_difference((logit - max) * scale);
    let mut total = 0f64;
    // The f32 sums of a block are exact enough.
    for block in logits.chunks(4096) {
        let mut sums = [0f32; LANES];
        let mut parts = block.chunks_exact(LANES);
        for part in &mut parts {
            for (sum, &logit) in sums.iter_mut().zip(part) {
                *sum += term(logit);
            }
        }
        let rest: f32 = parts.remainder().iter().map(|&logit| term(logit)).sum();
        total += f64::from(sums.iter().sum::<f32>() + rest);
    }
    total
}

/// e^x for x <= 0, within 3e-7 of the true value; 0 below -87, where a term no
/// longer counts. 2^f on [-1/2, 1/2] is its Taylor series.
#[inline(always)]
fn exp_of_difference(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    /// Adding 1.5 * 2^23 rounds to the nearest integer, which is then in the low
    /// bits, two's complement.
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let rounded = clamped * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let scale = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    if x < -87.0 { 0.0 } else { p * scale }
}

/// The `count` likeliest possible tokens, likeliest first. Does not sort the
/// vocabulary: after a few hundred logits nearly all fail one comparison.
pub fn top(logits: &[f32], count: usize, out: &mut Vec<Candidate>) {
    out.clear();
    let count = count.min(logits.len());
    if count == 0 {
        return;
    }
    let room = (2 * count).max(256);
    let mut threshold = f32::NEG_INFINITY;
    for (start, block) in (0..).step_by(LANES).zip(logits.chunks(LANES)) {
        if !block
            .iter()
            .fold(false, |any, &logit| any | (logit > threshold))
        {
            continue;
        }
        for (token, &logit) in (start..).zip(block) {
            if logit > threshold {
                out.push(Candidate { token, logit });
            }
        }
        if out.len() >= room {
            keep_best(out, count);
            // Later tokens with the same logit have a higher id and lose.
            threshold = out[count - 1].logit;
        }
    }
    if out.len() > count {
        keep_best(out, count);
    }
    out.sort_unstable_by(order);
}

/// Leaves the best `count`, with the least of them last.
fn keep_best(candidates: &mut Vec<Candidate>, count: usize) {
    candidates.select_nth_unstable_by(count - 1, order);
    candidates.truncate(count);
}

fn order(a: &Candidate, b: &Candidate) -> std::cmp::Ordering {
    if a == b {
        std::cmp::Ordering::Equal
    } else if a.before(b) {
        std::cmp::Ordering::Less
    } else {
        std::cmp::Ordering::Greater
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_close() {
        for i in 0..=870_000 {
            let x = -(i as f32) / 10_000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp_of_difference(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "{x}: {error}");
        }
        assert_eq!(exp_of_difference(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn the_best_are_those_a_sort_gives() {
        let mut state = 1u32;
        for count in [1, 5, 20, 300, 999, 2000] {
            // Few different values, so that many are equal.
            let logits: Vec<f32> = (0..1000)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 26) as f32
                })
                .collect();
            let mut sorted: Vec<u32> = (0..1000).collect();
            sorted.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]));
            sorted.truncate(count);
            let mut best = Vec::new();
            top(&logits, count, &mut best);
            assert_eq!(best.iter().map(|c| c.token).collect::<Vec<_>>(), sorted);
        }
    }
}
