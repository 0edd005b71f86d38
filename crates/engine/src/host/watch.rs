//! How often whoever watches is told about memory: as often as they asked while there
//! is something to do, now and then while there is not, because every telling wakes
//! three processes.

use std::time::{Duration, Instant};

/// After so long without work nothing changes any more, rates have fallen to zero.
const CALM_AFTER: Duration = Duration::from_secs(4);
/// Time between two tellings then.
const CALM: Duration = Duration::from_secs(4);

pub struct Watch {
    /// Time between two tellings that was asked for.
    pub period: Duration,
    /// When it was told last.
    pub sent: Option<Instant>,
}

impl Watch {
    /// When the next one is due, if there was work at `worked` last.
    pub fn due(&self, worked: Instant) -> Instant {
        let Some(sent) = self.sent else { return worked };
        if sent.saturating_duration_since(worked) < CALM_AFTER {
            sent + self.period
        } else {
            sent + (10 * self.period).max(CALM)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_change_is_told_rarely() {
        let worked = Instant::now();
        let period = Duration::from_millis(250);
        let due = |after: Option<u64>| {
            let sent = after.map(|seconds| worked + Duration::from_secs(seconds));
            Watch { period, sent }.due(worked).duration_since(worked)
        };
        assert_eq!(due(None), Duration::ZERO, "at once");
        assert_eq!(due(Some(3)), Duration::from_millis(3250));
        assert_eq!(due(Some(9)), Duration::from_secs(9) + CALM);
        let before = Watch {
            period,
            sent: Some(worked),
        };
        let again = worked + Duration::from_secs(1);
        assert_eq!(before.due(again), worked + period, "work has begun again");
    }
}
