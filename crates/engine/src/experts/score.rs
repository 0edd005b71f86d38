//! How likely an expert is to be used again: a count of its uses that decays with
//! every token. Keeping what was used often *and* lately beats plain LRU on
//! published routing traces at a fraction of the reads.

/// Weight that a use keeps after one more token.
const DECAY: f32 = 0.98;

/// Decayed use count of one expert, brought up to date only when it is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Score {
    value: f32,
    /// Token count at the last use; 0 before the first.
    last: u64,
}

impl Score {
    pub fn record(&mut self, now: u64) {
        self.value = self.at(now) + 1.0;
        self.last = now;
    }

    /// The score at token `now`.
    pub fn at(&self, now: u64) -> f32 {
        let age = now.saturating_sub(self.last).min(10_000) as i32;
        self.value * DECAY.powi(age)
    }

    pub fn last_used(&self) -> u64 {
        self.last
    }

    /// 63 for a use in this very token, fading to 1; 0 if never used.
    pub fn heat(&self, now: u64) -> u8 {
        if self.last == 0 {
            return 0;
        }
        let age = now.saturating_sub(self.last).min(1_000) as i32;
        if age == 0 {
            63
        } else {
            (62.0 * 0.93_f32.powi(age)).ceil().max(1.0) as u8
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_use_outlives_one_recent_use() {
        let mut often = Score::default();
        (1..=5).for_each(|t| often.record(t));
        let mut once = Score::default();
        once.record(10);
        assert!(often.at(10) > once.at(10));
        assert!(often.at(200) < once.at(10), "old habits fade");
    }

    #[test]
    fn heat_fades_but_remembers() {
        let mut s = Score::default();
        assert_eq!(s.heat(5), 0);
        s.record(5);
        assert_eq!(s.heat(5), 63);
        assert!(s.heat(6) < 63 && s.heat(6) > s.heat(20));
        assert_eq!(s.heat(1_000_000), 1);
    }
}
