//! A switch that ends a fetch from outside; what was fetched stays on the disk.

use std::sync::Arc;

use tokio::sync::watch;

/// Clones switch together.
#[derive(Debug, Clone)]
pub struct Stop(Arc<watch::Sender<bool>>);

impl Default for Stop {
    fn default() -> Self {
        Stop(Arc::new(watch::Sender::new(false)))
    }
}

impl Stop {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }

    pub fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns when the switch is thrown.
    pub async fn stopped(&self) {
        let mut switch = self.0.subscribe();
        // The sender lives in `self`, so this cannot end in an error.
        let _ = switch.wait_for(|stopped| *stopped).await;
    }
}
