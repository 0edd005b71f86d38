//! A bandwidth limit that all connections of a process share.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::locked;

/// Bytes per second, changeable at any moment.
#[derive(Debug, Default)]
pub struct RateLimit {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes_per_second: Option<u64>,
    /// When everything taken so far will have been paid for.
    paid: Option<Instant>,
}

/// What may be taken at once after a pause.
const BURST: Duration = Duration::from_millis(100);
/// Longest single wait, so that a new limit soon counts.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

impl RateLimit {
    /// `None` and 0 lift the limit.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let mut state = locked(&self.state);
        state.bytes_per_second = bytes_per_second.filter(|rate| *rate > 0);
        state.paid = None;
    }

    pub fn get(&self) -> Option<u64> {
        locked(&self.state).bytes_per_second
    }

    /// Counts `bytes` that were received and waits until they are within the limit.
    pub(crate) async fn took(&self, bytes: usize) {
        self.count(bytes);
        while let Some(wait) = self.wait() {
            tokio::time::sleep(wait).await;
        }
    }

    fn count(&self, bytes: usize) {
        let mut state = locked(&self.state);
        let Some(rate) = state.bytes_per_second else {
            return;
        };
        let now = Instant::now();
        let since = state
            .paid
            .unwrap_or(now)
            .max(now.checked_sub(BURST).unwrap_or(now));
        state.paid = Some(since + Duration::from_secs_f64(bytes as f64 / rate as f64));
    }

    fn wait(&self) -> Option<Duration> {
        let left = locked(&self.state)
            .paid?
            .checked_duration_since(Instant::now())?;
        (!left.is_zero()).then_some(left.min(LONGEST_WAIT))
    }
}
