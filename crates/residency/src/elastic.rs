//! Gives memory back when other programs need it, and takes it again later.

/// The machine's memory at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pressure {
    /// Bytes that could be taken now without swapping.
    pub available: u64,
    /// Share of the last ten seconds in which some program waited for memory, 0
    /// to 1; 0 where the system does not tell.
    pub stalled: f64,
}

/// Decides how many bytes of slots to hold back.
#[derive(Debug, Clone)]
pub struct Elastic {
    /// Bytes to leave to others.
    reserve: u64,
    held_back: u64,
    /// Since when there has been room to grow, in seconds.
    calm_since: Option<f64>,
}

/// Seconds of calm before slots come back.
const PATIENCE: f64 = 10.0;
/// Stalls above this count as pressure.
const STALLED: f64 = 0.1;

impl Elastic {
    pub fn new(reserve: u64) -> Elastic {
        Elastic {
            reserve,
            held_back: 0,
            calm_since: None,
        }
    }

    /// Bytes held back now.
    pub fn held_back(&self) -> u64 {
        self.held_back
    }

    /// Looks at the machine at `now` (seconds). Returns the bytes to hold back from
    /// the slots. Below half of the reserve it gives up what is missing to the
    /// whole of it at once; back it takes slowly, and only far above the reserve,
    /// so that two programs do not push each other to and fro.
    pub fn look(&mut self, now: f64, memory: Pressure, slot_bytes: u64) -> u64 {
        let short = memory.available < self.reserve / 2
            || (memory.stalled > STALLED && memory.available < self.reserve);
        if short {
            let missing = self.reserve - memory.available.min(self.reserve);
            self.held_back += missing.min(slot_bytes);
            self.calm_since = None;
            return self.held_back;
        }
        let comfortable = self.reserve + self.reserve / 2;
        let room = memory.available.saturating_sub(comfortable);
        if self.held_back == 0 || room == 0 || memory.stalled > STALLED {
            self.calm_since = None;
            return self.held_back;
        }
        let since = *self.calm_since.get_or_insert(now);
        if now - since >= PATIENCE {
            self.held_back -= (room / 2).max(1).min(self.held_back);
            self.calm_since = Some(now);
        }
        self.held_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn free(available: u64) -> Pressure {
        Pressure {
            available,
            stalled: 0.0,
        }
    }

    #[test]
    fn gives_at_once_and_takes_back_slowly() {
        let mut e = Elastic::new(2 * GIB);
        assert_eq!(e.look(0.0, free(2 * GIB), 8 * GIB), 0);
        assert_eq!(e.look(1.0, free(GIB / 2), 8 * GIB), GIB + GIB / 2);
        // Enough is free again, but not so much that growing would be safe.
        assert_eq!(e.look(60.0, free(2 * GIB), 6 * GIB), GIB + GIB / 2);
        for second in 61..70 {
            let held = e.look(f64::from(second), free(6 * GIB), 6 * GIB);
            assert_eq!(held, GIB + GIB / 2, "patience at {second}");
        }
        assert_eq!(e.look(71.5, free(6 * GIB), 6 * GIB), 0);
    }

    #[test]
    fn never_holds_back_more_than_there_is() {
        let mut e = Elastic::new(2 * GIB);
        assert_eq!(e.look(0.0, free(0), GIB), GIB);
        assert_eq!(e.look(1.0, free(0), 0), GIB);
    }

    #[test]
    fn stalls_count_before_memory_is_gone() {
        let stalled = Pressure {
            available: GIB + GIB / 2,
            stalled: 0.3,
        };
        let mut e = Elastic::new(2 * GIB);
        assert_eq!(e.look(0.0, stalled, 8 * GIB), GIB / 2);
    }

    /// Another program that takes and returns 3 GiB over and over.
    #[test]
    fn does_not_swing_with_a_busy_neighbour() {
        let mut e = Elastic::new(2 * GIB);
        let (total, mut changes, mut last) = (16 * GIB, 0, 0);
        for second in 0..600 {
            let neighbour = if second / 5 % 2 == 0 {
                5 * GIB
            } else {
                2 * GIB
            };
            let slots = 11 * GIB - e.held_back().min(11 * GIB);
            let available = (total - neighbour).saturating_sub(slots);
            let held = e.look(f64::from(second), free(available), slots);
            changes += i32::from(held != last);
            last = held;
        }
        assert!(changes <= 3, "{changes} changes in ten minutes");
        assert!(last > 0);
    }
}
