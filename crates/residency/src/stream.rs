//! Which experts of a piece of a prompt are copied up to be computed there: those
//! with so many tokens that a copy is quicker than computing them below.

use crate::cost::Mean;
use crate::offload::Link;

/// Tokens whose computing takes as long as reading the weights once.
const TOKENS_PER_READ: f64 = 8.0;
/// Pieces that the measured speeds stand for.
const LATEST: f64 = 16.0;

/// What both sides take, as it was expected and as it was seen.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Seconds of reading an expert below, and of a copy.
    read: f64,
    copy: f64,
    /// Seconds seen, over those expected.
    slower_below: Mean,
    slower_copy: Mean,
}

impl Stream {
    /// `copy` is the seconds of one copy when nothing else is done.
    pub fn new(link: Link, copy: f64) -> Stream {
        Stream {
            read: link.below,
            copy,
            slower_below: Mean::new(LATEST),
            slower_copy: Mean::new(LATEST),
        }
    }

    fn expected_below(&self, tokens: usize) -> f64 {
        self.read * (tokens as f64 / TOKENS_PER_READ).max(1.0)
    }

    /// How many of the experts to copy up, the first ones of `tokens`, which says
    /// how many tokens each has, most first. Both sides work at the same time, so
    /// that many that neither waits long for the other.
    pub fn split(&self, tokens: &[usize]) -> usize {
        let scale = self.slower_below.get().unwrap_or(1.0);
        let below = |t: usize| self.expected_below(t) * scale;
        let copy = self.copy * self.slower_copy.get().unwrap_or(1.0);
        let mut left: f64 = tokens.iter().map(|t| below(*t)).sum();
        let mut sent = 0.0;
        for (n, t) in tokens.iter().enumerate() {
            let (next_sent, next_left) = (sent + copy, left - below(*t));
            if next_sent.max(next_left) >= left.max(sent) {
                return n;
            }
            (sent, left) = (next_sent, next_left);
        }
        tokens.len()
    }

    /// Notes what computing experts with so many tokens each took below.
    pub fn took_below(&mut self, tokens: impl Iterator<Item = usize>, seconds: f64) {
        let expected: f64 = tokens.map(|t| self.expected_below(t)).sum();
        if expected > 0.0 {
            self.slower_below.add(seconds / expected);
        }
    }

    /// Notes what so many copies took.
    pub fn took_copies(&mut self, copies: usize, seconds: f64) {
        if copies > 0 {
            self.slower_copy.add(seconds / (self.copy * copies as f64));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link() -> Link {
        Link {
            sync: 0.0,
            below: 30e-6,
            above: 2e-6,
            copy: 0.0,
        }
    }

    #[test]
    fn few_tokens_stay_below_and_many_go_up() {
        let stream = Stream::new(link(), 70e-6);
        assert_eq!(stream.split(&[]), 0);
        assert_eq!(stream.split(&[1]), 0, "a copy takes longer than computing");
        assert_eq!(stream.split(&[400]), 1);
        // Alone each would be quicker up; together both sides share them.
        let sent = stream.split(&[40; 100]);
        assert!((60..80).contains(&sent), "{sent}");
    }

    #[test]
    fn what_is_seen_moves_the_split() {
        let tokens = [20; 100];
        let mut stream = Stream::new(link(), 70e-6);
        let before = stream.split(&tokens);
        stream.took_copies(10, 10.0 * 700e-6);
        let slow_bus = stream.split(&tokens);
        stream.took_below([20; 10].into_iter(), 10.0 * 3e-3);
        let slow_both = stream.split(&tokens);
        assert!(
            slow_bus < before && slow_both > slow_bus,
            "{before} {slow_bus} {slow_both}"
        );
    }
}
