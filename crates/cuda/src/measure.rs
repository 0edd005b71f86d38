//! What this GPU does with what is measured in a moment: the figures that decide
//! where an expert is computed.

use std::time::Instant;

use crate::error::Result;
use crate::gpu::Gpu;
use crate::ops;
use crate::pinned::Pinned;

/// Rates of a GPU and its bus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Bytes per second from pinned memory to the GPU.
    pub upload: f64,
    /// Seconds from a launch to the end of waiting for it.
    pub launch: f64,
}

impl Gpu {
    /// Measures for a few milliseconds, in which nothing else should be queued. Of
    /// several trials the best counts: only disturbances make one slower.
    pub fn measure(&self) -> Result<Rates> {
        const BYTES: usize = 16 << 20;
        const TRIALS: usize = 4;
        const LAUNCHES: usize = 32;
        let data = vec![0; BYTES];
        let target = self.bytes(BYTES)?;
        let mut pinned = Pinned::new(self.context(), BYTES)?;
        let mut upload = f64::INFINITY;
        for _ in 0..TRIALS {
            // The copy into pinned memory comes before the clock.
            pinned.fill(&data);
            self.wait()?;
            let start = Instant::now();
            pinned.resend(BYTES, target.address(), self.copies())?;
            self.copies().wait()?;
            upload = upload.min(start.elapsed().as_secs_f64());
        }
        let mut x = self.zeros(1)?;
        let y = self.zeros(1)?;
        let mut launch = f64::INFINITY;
        for _ in 0..LAUNCHES {
            self.wait()?;
            let start = Instant::now();
            ops::add(self, &mut x, &y)?;
            self.wait()?;
            launch = launch.min(start.elapsed().as_secs_f64());
        }
        Ok(Rates {
            upload: BYTES as f64 / upload.max(1e-9),
            launch,
        })
    }
}
