//! Speed over the positions of a slider.

/// What one position buys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Position of the slider, in its own unit.
    pub value: u64,
    /// Slots per layer that it leads to.
    pub slots: usize,
    pub hit_rate: f64,
    pub tokens_per_second: f64,
}

/// Points by rising value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Curve {
    pub points: Vec<Point>,
}

impl Curve {
    /// Evenly spaced positions from `least` to `most`, both included, without
    /// repetition.
    pub fn positions(least: u64, most: u64, count: usize) -> Vec<u64> {
        let most = most.max(least);
        let step = |i: usize| {
            let share = i as f64 / (count.max(2) - 1) as f64;
            least + ((most - least) as f64 * share).round() as u64
        };
        let mut all: Vec<u64> = (0..count.max(2)).map(step).collect();
        all.dedup();
        all
    }

    /// Tokens per second at a value between the points, which is held within them.
    pub fn at(&self, value: u64) -> Option<f64> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let value = value.clamp(first.value, last.value);
        let after = self.points.partition_point(|p| p.value < value);
        let b = self.points[after];
        if after == 0 || b.value == value {
            return Some(b.tokens_per_second);
        }
        let a = self.points[after - 1];
        let share = (value - a.value) as f64 / (b.value - a.value) as f64;
        Some(a.tokens_per_second + share * (b.tokens_per_second - a.tokens_per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_points_lies_the_line() {
        let point = |value, tokens_per_second| Point {
            value,
            slots: 0,
            hit_rate: 0.0,
            tokens_per_second,
        };
        let curve = Curve {
            points: vec![point(10, 1.0), point(20, 3.0)],
        };
        let at: Vec<f64> = [0, 10, 15, 20, 99].map(|v| curve.at(v).unwrap()).into();
        assert_eq!(at, [1.0, 1.0, 2.0, 3.0, 3.0]);
        assert_eq!(Curve::default().at(3), None);
        assert_eq!(Curve::positions(0, 4, 5), [0, 1, 2, 3, 4]);
        assert_eq!(Curve::positions(3, 4, 5), [3, 4]);
        assert_eq!(Curve::positions(7, 7, 5), [7]);
    }
}
