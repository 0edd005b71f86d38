//! What a token spends its time on, in one sentence with the best way out.

/// Seconds of an average token.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Shares {
    /// Waited for experts that were still being read.
    pub reading: f64,
    /// Computing experts.
    pub experts: f64,
    /// Everything else.
    pub rest: f64,
}

/// The part that takes most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bottleneck {
    Disk,
    Experts,
    Rest,
}

/// Share of the time from which reading is called the bottleneck even if
/// computing takes longer: it is the part that memory can take away.
const WORTH_NAMING: f64 = 0.25;

impl Shares {
    pub fn total(&self) -> f64 {
        self.reading + self.experts + self.rest
    }

    pub fn bottleneck(&self) -> Bottleneck {
        if self.reading >= WORTH_NAMING * self.total() {
            Bottleneck::Disk
        } else if self.experts >= self.rest {
            Bottleneck::Experts
        } else {
            Bottleneck::Rest
        }
    }

    /// Percent of a token that a part takes.
    pub fn percent(&self, of: Bottleneck) -> f64 {
        let part = match of {
            Bottleneck::Disk => self.reading,
            Bottleneck::Experts => self.experts,
            Bottleneck::Rest => self.rest,
        };
        100.0 * part / self.total().max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_is_named_before_it_is_the_largest() {
        let mut s = Shares {
            reading: 3.0,
            experts: 5.0,
            rest: 2.0,
        };
        assert_eq!(s.bottleneck(), Bottleneck::Disk);
        assert!((s.percent(Bottleneck::Disk) - 30.0).abs() < 1e-9);
        s.reading = 1.0;
        assert_eq!(s.bottleneck(), Bottleneck::Experts);
        s.rest = 6.0;
        assert_eq!(s.bottleneck(), Bottleneck::Rest);
    }
}
