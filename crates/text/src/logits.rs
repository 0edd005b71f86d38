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

/// Makes every logit usable: not-a-number counts as impossible, infinity as very
/// large. Returns whether any token is possible.
pub fn clean(logits: &mut [f32]) -> bool {
    let mut any = false;
    for logit in logits {
        if logit.is_nan() {
            *logit = f32::NEG_INFINITY;
        }
        *logit = logit.min(f32::MAX);
        any |= *logit > f32::NEG_INFINITY;
    }
    any
}

/// The logarithm of the sum of exponentials, for logits of which at least one is
/// possible.
pub fn log_sum_exp(logits: &[f32]) -> f32 {
    let max = argmax(logits).logit;
    max + sum_exp(logits, max, 1.0).ln() as f32
}

/// The sum of `exp((logit - max) * scale)`; no logit may be above `max`.
pub fn sum_exp(logits: &[f32], max: f32, scale: f32) -> f64 {
    const LANES: usize = 16;
    let term = |logit: f32| exp_of_difference((logit - max) * scale);
    let mut total = 0f64;
    // Blocks keep the f32 sums exact enough and let the compiler use vectors.
    for block in logits.chunks(4096) {
        let mut sums = [0f32; LANES];
        let mut lanes = block.chunks_exact(LANES);
        for lane in &mut lanes {
            for (sum, &logit) in sums.iter_mut().zip(lane) {
                *sum += term(logit);
            }
        }
        let rest: f32 = lanes.remainder().iter().map(|&logit| term(logit)).sum();
        total += f64::from(sums.iter().sum::<f32>() + rest);
    }
    total
}

/// e^x for x <= 0, within 2e-7 of the true value; 0 below -87, where a term no
/// longer counts. 2^f on [-1/2, 1/2] is its Taylor series.
#[inline(always)]
fn exp_of_difference(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.max(-87.0);
    // Adding and taking away 1.5 * 2^23 rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let n = (clamped * LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let p = 1.0 / 720.0;
    let p = p * r + 1.0 / 120.0;
    let p = p * r + 1.0 / 24.0;
    let p = p * r + 1.0 / 6.0;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let scale = f32::from_bits(((n as i32 + 127) as u32) << 23);
    if x < -87.0 { 0.0 } else { p * scale }
}

/// The likeliest token, of equals the one with the lowest id.
pub fn argmax(logits: &[f32]) -> Candidate {
    let mut best = Candidate {
        token: 0,
        logit: f32::NEG_INFINITY,
    };
    for (token, &logit) in logits.iter().enumerate() {
        if logit > best.logit {
            best = Candidate {
                token: token as u32,
                logit,
            };
        }
    }
    best
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
    for (token, &logit) in logits.iter().enumerate() {
        if logit > threshold {
            out.push(Candidate {
                token: token as u32,
                logit,
            });
            if out.len() == room {
                keep_best(out, count);
                // Later tokens with the same logit have a higher id and lose.
                threshold = out[count - 1].logit;
            }
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
