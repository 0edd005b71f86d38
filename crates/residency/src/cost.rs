//! What a token costs, learned from tokens that were timed.

/// A mean in which old values fade once there are enough of them.
#[derive(Debug, Clone, Copy)]
pub struct Mean {
    value: f64,
    weight: f64,
    most: f64,
}

impl Mean {
    /// Remembers about the latest `most` values.
    pub fn new(most: f64) -> Mean {
        Mean {
            value: 0.0,
            weight: 0.0,
            most,
        }
    }

    pub fn add(&mut self, value: f64) {
        self.weight = (self.weight + 1.0).min(self.most);
        self.value += (value - self.value) / self.weight;
    }

    pub fn get(&self) -> Option<f64> {
        (self.weight > 0.0).then_some(self.value)
    }

    /// How many values it stands for.
    pub fn weight(&self) -> f64 {
        self.weight
    }
}

/// Steps of a layer that a mean of times stands for, and tokens. Few enough to follow
/// a machine that gets warm, or busy with other things.
const STEPS: f64 = 400.0;
const TOKENS: f64 = 48.0;
/// A time this many times the mean is a disturbance from outside.
const OUTLIER: f64 = 8.0;
/// Variance of the misses of a token, in their mean, up to which they belong together.
const USUAL_SPREAD: f64 = 4.0;
/// Observations after which a mean is worth as much as the line through all.
const TRUST: f64 = 16.0;

/// Seconds of a layer's experts by the number of them that had to be read, and of
/// everything else in a token, by all that had to be read in it.
///
/// The whole curve is measured rather than computed from bandwidths, because
/// reads overlap with each other and with computing, and the time is not
/// proportional to misses. Counts that never occurred lie on the line through
/// those that did.
#[derive(Debug, Clone)]
pub struct StepTimes {
    by_misses: Vec<Mean>,
    rest: Mean,
    /// Misses of the tokens that `rest` stands for.
    misses: Mean,
    /// Means of what the product of both differences between two tokens in a row was, and
    /// of the square of that of the misses: what one miss adds to the rest. Neighbours
    /// share the moods of the machine.
    together: Mean,
    apart: Mean,
    /// Misses and rest of the token before.
    last: Option<(f64, f64)>,
    /// Misses of the token under way, and what its layers usually take.
    under_way: (f64, f64),
    /// Seconds to read one expert, while no two counts of misses were seen.
    read: f64,
}

impl StepTimes {
    /// `read` is a first guess of the seconds that reading one expert takes.
    pub fn new(per_token: usize, read: f64) -> StepTimes {
        StepTimes {
            by_misses: vec![Mean::new(STEPS); per_token + 1],
            rest: Mean::new(TOKENS),
            misses: Mean::new(TOKENS),
            together: Mean::new(STEPS),
            apart: Mean::new(STEPS),
            last: None,
            under_way: (0.0, 0.0),
            read,
        }
    }

    /// A token is about to be decoded.
    pub fn begin_token(&mut self) {
        self.under_way = (0.0, 0.0);
    }

    /// Notes the seconds of one layer's experts in it.
    pub fn add_layer(&mut self, misses: usize, seconds: f64) {
        add(&mut self.by_misses[misses], seconds);
        self.under_way.0 += misses as f64;
        self.under_way.1 += self.by_misses[misses].get().unwrap_or(seconds);
    }

    /// Notes the seconds of the whole token.
    pub fn end_token(&mut self, seconds: f64) {
        let (misses, layers) = std::mem::take(&mut self.under_way);
        let rest = (seconds - layers).max(0.0);
        add(&mut self.rest, rest);
        self.misses.add(misses);
        let Some((misses_before, rest_before)) = self.last.replace((misses, rest)) else {
            return;
        };
        let usual = self.misses.get().unwrap_or(misses) + 1.0;
        let apart = misses - misses_before;
        // Wider apart are two sizes, and the machine's mood may have changed with them.
        if apart.powi(2) <= USUAL_SPREAD * usual {
            let most = self.rest.get().unwrap_or(rest) / 2.0;
            self.together
                .add(apart * (rest - rest_before).clamp(-most, most));
            self.apart.add(apart.powi(2));
        }
    }

    /// Seconds that one more miss adds outside of the experts; towards 0 while few
    /// tokens were seen.
    fn slope(&self) -> Option<f64> {
        let tokens = self.apart.weight();
        let doubt = TRUST * 2.0 * (self.misses.get()? + 1.0);
        let slope = self.together.get()? * tokens / (self.apart.get()? * tokens + doubt);
        Some(slope.max(0.0))
    }

    /// What has been learned so far; `None` before anything was timed.
    pub fn token(&self) -> Option<TokenTimes> {
        Some(TokenTimes {
            layer: self.layer()?,
            rest: self.rest.get()?,
            misses: self.misses.get()?,
            slope: self.slope().unwrap_or(0.0),
        })
    }

    /// Seconds of one layer's experts for every number of misses.
    fn layer(&self) -> Option<Vec<f64>> {
        let (start, slope) = self.line()?;
        let mut times: Vec<f64> = self
            .by_misses
            .iter()
            .enumerate()
            .map(|(misses, mean)| {
                let line = start + slope * misses as f64;
                let seen = mean.get().unwrap_or(line);
                (seen * mean.weight() + line * TRUST) / (mean.weight() + TRUST)
            })
            .collect();
        // More misses never take less: what looks so is noise.
        for misses in 1..times.len() {
            times[misses] = times[misses].max(times[misses - 1]);
        }
        Some(times)
    }

    /// Weighted least squares through the means: seconds without misses, and
    /// seconds for each.
    fn line(&self) -> Option<(f64, f64)> {
        let points = || {
            let means = self.by_misses.iter().enumerate();
            means.filter_map(|(m, mean)| Some((m as f64, mean.get()?, mean.weight().sqrt())))
        };
        let weight: f64 = points().map(|(_, _, w)| w).sum();
        if weight == 0.0 {
            return None;
        }
        let x = points().map(|(x, _, w)| x * w).sum::<f64>() / weight;
        let y = points().map(|(_, y, w)| y * w).sum::<f64>() / weight;
        let spread: f64 = points().map(|(a, _, w)| w * (a - x).powi(2)).sum();
        let slope = if spread > 0.0 {
            points().map(|(a, b, w)| w * (a - x) * (b - y)).sum::<f64>() / spread
        } else {
            self.read
        };
        let slope = slope.max(0.0);
        Some(((y - slope * x).max(0.0), slope))
    }
}

/// What a token takes, as of one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenTimes {
    /// Seconds of one layer's experts by misses, never falling.
    layer: Vec<f64>,
    /// Seconds of what is not experts, with as many misses, and what one more adds.
    rest: f64,
    misses: f64,
    slope: f64,
}

/// Of the rest, what fewer misses leave at least.
const LEAST_REST: f64 = 0.5;

impl TokenTimes {
    /// Seconds of one layer's experts for a number of misses that may be an average:
    /// it lies on the line between the two around it.
    pub fn layer(&self, misses: f64) -> f64 {
        let most = self.layer.len() - 1;
        let misses = misses.clamp(0.0, most as f64);
        let below = misses as usize;
        let above = (below + 1).min(most);
        let (a, b) = (self.layer[below], self.layer[above]);
        a + (misses - below as f64) * (b - a)
    }

    /// Seconds of what is not experts in a token with so many misses.
    pub fn rest(&self, misses: f64) -> f64 {
        let rest = self.rest + self.slope * (misses - self.misses);
        rest.max(self.rest * LEAST_REST)
    }

    /// Seconds of a token of `tokens` whose layers missed as often as `misses` says:
    /// all of it, and what is not experts.
    pub fn mean(&self, misses: impl Iterator<Item = f64>, tokens: usize) -> (f64, f64) {
        let tokens = tokens.max(1) as f64;
        let (mut layers, mut all) = (0.0, 0.0);
        for misses in misses {
            layers += self.layer(misses);
            all += misses;
        }
        let rest = self.rest(all / tokens);
        (rest + layers / tokens, rest)
    }
}

fn add(mean: &mut Mean, seconds: f64) {
    let seconds = match mean.get() {
        Some(usual) if mean.weight() >= 8.0 => seconds.min(usual * OUTLIER),
        _ => seconds,
    };
    mean.add(seconds);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_follows() {
        let mut m = Mean::new(10.0);
        assert_eq!(m.get(), None);
        (0..100).for_each(|_| m.add(1.0));
        (0..60).for_each(|_| m.add(3.0));
        assert!((m.get().unwrap() - 3.0).abs() < 0.01);
    }

    #[test]
    fn what_was_not_seen_lies_on_the_line() {
        let mut times = StepTimes::new(10, 1.0);
        assert_eq!(times.token(), None);
        for _ in 0..100 {
            times.begin_token();
            times.add_layer(1, 2.0);
            times.add_layer(3, 4.0);
            times.end_token(11.0);
        }
        let token = times.token().unwrap();
        for misses in [0.0, 1.0, 2.5, 10.0] {
            assert!((token.layer(misses) - misses - 1.0).abs() < 1e-9);
        }
        assert_eq!(token.layer(99.0), token.layer(10.0));
        let (mean, rest) = token.mean([1.0, 3.0, 0.0, 0.0].into_iter(), 2);
        assert!((mean - 9.0).abs() < 1e-9 && (rest - 5.0).abs() < 1e-9);
    }

    /// Reading may slow down what comes after it, too. The machine gets slower and
    /// faster at the same time, which must not be mistaken for it.
    #[test]
    fn misses_may_cost_outside_of_the_experts() {
        let mut random = crate::Random::new(5);
        for cost in [0.0, 0.2] {
            let mut times = StepTimes::new(9, 1.0);
            for token in 0..600 {
                let mood = if token / 60 % 2 == 0 { 30.0 } else { 40.0 };
                let misses = if token / 60 % 2 == 0 { 2 } else { 4 };
                times.begin_token();
                let mut all = 0;
                for _ in 0..8 {
                    let misses = misses + random.below(4);
                    times.add_layer(misses, misses as f64);
                    all += misses;
                }
                let noise = 4.0 * random.unit() - 2.0;
                let rest = mood + noise + cost * all as f64;
                times.end_token(all as f64 + rest);
            }
            let token = times.token().unwrap();
            let more = token.rest(44.0) - token.rest(4.0);
            assert!((more - cost * 40.0).abs() < 1.5, "{cost}: {more}");
        }
    }

    #[test]
    fn one_point_takes_the_first_guess_and_disturbances_are_cut() {
        let mut times = StepTimes::new(4, 0.5);
        (0..50).for_each(|_| times.add_layer(0, 1.0));
        assert!((times.layer().unwrap()[2] - 2.0).abs() < 1e-9);
        times.add_layer(0, 1000.0);
        assert!(times.layer().unwrap()[0] < 1.2);
    }

    #[test]
    fn more_misses_never_take_less() {
        let mut times = StepTimes::new(3, 0.0);
        for (misses, seconds) in [(0, 3.0), (1, 2.0), (2, 4.0), (3, 3.5)] {
            (0..40).for_each(|_| times.add_layer(misses, seconds));
        }
        assert!(times.layer().unwrap().is_sorted());
    }
}
