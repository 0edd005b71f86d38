//! What this GPU does with what is measured in a moment: the figures that decide
//! where an expert is computed.

use std::time::Instant;

use crate::error::{CudaError, Result};
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
    /// Bytes per second that the GPU reads from and writes to its memory.
    pub memory: f64,
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
        drop(target);
        Ok(Rates {
            upload: BYTES as f64 / upload.max(1e-9),
            launch,
            memory: self.memory_rate()?,
        })
    }

    /// By copies of more than any cache holds, if there is so much room.
    fn memory_rate(&self) -> Result<f64> {
        const TRIALS: usize = 4;
        let mut bytes = (128 << 20).min(self.info().total as usize / 64);
        let (from, to) = loop {
            let pair = self.bytes(bytes).and_then(|a| Ok((a, self.bytes(bytes)?)));
            match pair {
                Err(CudaError::OutOfMemory { .. }) if bytes > 1 << 20 => bytes /= 2,
                pair => break pair?,
            }
        };
        self.context().clear(from.address(), bytes, self.main())?;
        let mut best = f64::INFINITY;
        for _ in 0..TRIALS {
            self.wait()?;
            let start = Instant::now();
            let (context, main) = (self.context(), self.main());
            context.copy_within(to.address(), from.address(), bytes, main)?;
            self.wait()?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        Ok(2.0 * bytes as f64 / best.max(1e-9))
    }
}
