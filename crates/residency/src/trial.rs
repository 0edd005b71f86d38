//! Uses something only while it pays: compares the time with and without it, in
//! place, and stays away from what lost, for longer after every loss.

use crate::cost::Mean;

/// What to do in the next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    Without,
    With,
}

/// Steps at the start of a trial that do not count: caches fill.
const WARM_UP: u64 = 24;
/// Steps that a verdict takes.
const JUDGED: u64 = 24;
/// Time lost, in steps without, at which a trial ends before its verdict.
const MOST_LOST: f64 = 16.0;
/// Steps between two looks at the time without, while it is in use.
const REFERENCE: u64 = 128;
const FIRST_WAIT: u64 = 256;
const LONGEST_WAIT: u64 = 16_384;

#[derive(Debug, Clone)]
pub struct Trial {
    with: Mean,
    without: Mean,
    on: bool,
    /// Steps since it was last turned on or off.
    steps: u64,
    wait: u64,
    losses: u64,
    /// Time that the running trial took beyond that without, in steps without.
    lost: f64,
}

impl Default for Trial {
    fn default() -> Trial {
        Trial {
            with: Mean::new(64.0),
            without: Mean::new(64.0),
            on: false,
            steps: 0,
            wait: 0,
            losses: 0,
            lost: 0.0,
        }
    }
}

impl Trial {
    /// In use now (a step for reference aside)?
    pub fn on(&self) -> bool {
        self.on
    }

    /// Was it tried and turned off because it lost?
    pub fn lost(&self) -> bool {
        !self.on && self.losses > 0
    }

    /// Chooses for the next step. `promising` tells whether an estimate speaks for
    /// a trial now.
    pub fn choose(&mut self, promising: bool) -> Choice {
        self.steps += 1;
        if !self.on && promising && self.without.weight() >= 8.0 && self.steps > self.wait {
            self.on = true;
            self.steps = 1;
            self.lost = 0.0;
            self.with = Mean::new(64.0);
        }
        if self.on && !self.steps.is_multiple_of(REFERENCE) {
            Choice::With
        } else {
            Choice::Without
        }
    }

    /// Notes what the step took, in any unit of time.
    pub fn record(&mut self, choice: Choice, time: f64) {
        match choice {
            Choice::Without => self.without.add(time),
            Choice::With => {
                let without = self.without.get().unwrap_or(time);
                self.lost = (self.lost + time / without.max(f64::MIN_POSITIVE) - 1.0).max(0.0);
                if self.steps > WARM_UP {
                    self.with.add(time);
                }
            }
        }
        if self.on && (self.steps >= WARM_UP + JUDGED || self.lost > MOST_LOST) {
            self.judge();
        }
    }

    fn judge(&mut self) {
        let slower = match (self.with.get(), self.without.get()) {
            (Some(with), Some(without)) => with > without,
            _ => false,
        };
        if slower || self.lost > MOST_LOST {
            self.on = false;
            self.steps = 0;
            self.losses += 1;
            self.wait = (self.wait * 4).clamp(FIRST_WAIT, LONGEST_WAIT);
        } else if self.steps > 16 * WARM_UP {
            // It has paid for long; an old loss no longer counts.
            self.wait = FIRST_WAIT;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Total time over `steps` steps, relative to never using it.
    fn play(steps: usize, with: impl Fn(usize) -> f64) -> (f64, Trial) {
        let mut trial = Trial::default();
        let mut total = 0.0;
        for step in 0..steps {
            let choice = trial.choose(true);
            let time = match choice {
                Choice::With => with(step),
                Choice::Without => 1.0,
            };
            total += time;
            trial.record(choice, time);
        }
        (total / steps as f64, trial)
    }

    #[test]
    fn what_pays_is_used() {
        let (time, trial) = play(10_000, |_| 0.5);
        assert!(time < 0.51 && trial.on() && !trial.lost());
    }

    #[test]
    fn what_loses_costs_little() {
        let (time, trial) = play(10_000, |_| 1.5);
        assert!(time < 1.02, "{time}");
        assert!(!trial.on() && trial.lost());
    }

    #[test]
    fn what_stops_paying_is_turned_off_and_tried_again() {
        let (_, trial) = play(4_000, |step| if step < 2000 { 0.5 } else { 1.4 });
        assert!(!trial.on());
        let (time, trial) = play(20_000, |step| if step < 2000 { 1.4 } else { 0.5 });
        assert!(trial.on() && time < 0.8, "{time}");
    }

    #[test]
    fn without_promise_nothing_is_tried() {
        let mut trial = Trial::default();
        for _ in 0..1000 {
            assert_eq!(trial.choose(false), Choice::Without);
            trial.record(Choice::Without, 1.0);
        }
    }
}
