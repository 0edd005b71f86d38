//! The GPU's memory: every byte counted and under a budget; buffers of activations
//! are kept when freed and used again.
//!
//! All operations on pooled buffers are in the order of one stream, so a buffer may
//! have a new owner while the GPU still works for the old one: what the new owner
//! queues comes later.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::context::{Context, Stream};
use crate::driver::Address;
use crate::error::{CudaError, Result};

/// Bytes that a small allocation is rounded up to.
const GRAIN: u64 = 256;
/// A page of the GPU. From half of one on, the driver gives whole pages.
const PAGE: u64 = 2 << 20;

/// Bytes of VRAM that an allocation takes.
pub fn granted(bytes: u64) -> u64 {
    let grain = if bytes < PAGE / 2 { GRAIN } else { PAGE };
    bytes
        .max(1)
        .checked_next_multiple_of(grain)
        .unwrap_or(u64::MAX)
}

pub(crate) struct Memory {
    context: Arc<Context>,
    budget: u64,
    /// From the driver, idle buffers included.
    used: u64,
    /// Idle buffers by size.
    idle: BTreeMap<u64, Vec<Address>>,
    idle_bytes: u64,
}

/// A buffer of `bytes`, which is what it counts for.
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    pub(crate) address: Address,
    pub(crate) bytes: u64,
}

impl Memory {
    pub(crate) fn new(context: Arc<Context>, budget: u64) -> Memory {
        Memory {
            context,
            budget,
            used: 0,
            idle: BTreeMap::new(),
            idle_bytes: 0,
        }
    }

    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    pub(crate) fn set_budget(&mut self, bytes: u64) {
        self.budget = bytes;
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(crate) fn idle(&self) -> u64 {
        self.idle_bytes
    }

    /// A buffer with undefined contents for at least `bytes`, from the idle ones if
    /// there is one of its class.
    pub(crate) fn take(&mut self, bytes: u64, main: &Stream) -> Result<Buffer> {
        let bytes = class(bytes);
        if let Some(addresses) = self.idle.get_mut(&bytes)
            && let Some(address) = addresses.pop()
        {
            self.idle_bytes -= bytes;
            return Ok(Buffer { address, bytes });
        }
        self.allocate(bytes, main)
    }

    /// Keeps a buffer from [`Memory::take`] for its next use.
    pub(crate) fn give(&mut self, buffer: Buffer) {
        self.idle
            .entry(buffer.bytes)
            .or_default()
            .push(buffer.address);
        self.idle_bytes += buffer.bytes;
    }

    /// A buffer of at least `bytes`, to be freed with [`Memory::free`].
    pub(crate) fn allocate(&mut self, bytes: u64, main: &Stream) -> Result<Buffer> {
        let bytes = granted(bytes);
        if self.used.saturating_add(bytes) > self.budget {
            self.trim(main)?;
            if self.used.saturating_add(bytes) > self.budget {
                return Err(self.refuse(bytes));
            }
        }
        let mut address = self.context.allocate(bytes as usize)?;
        if address.is_none() && self.idle_bytes > 0 {
            self.trim(main)?;
            address = self.context.allocate(bytes as usize)?;
        }
        let address = address.ok_or_else(|| self.refuse(bytes))?;
        self.used += bytes;
        Ok(Buffer { address, bytes })
    }

    /// Gives a buffer back that no stream uses any more.
    pub(crate) fn free(&mut self, buffer: Buffer) -> Result<()> {
        self.used -= buffer.bytes;
        self.context.free(buffer.address)
    }

    /// Gives idle buffers back, when the stream is done with them.
    pub(crate) fn trim(&mut self, main: &Stream) -> Result<()> {
        if self.idle_bytes == 0 {
            return Ok(());
        }
        main.wait()?;
        self.idle_bytes = 0;
        for (bytes, addresses) in std::mem::take(&mut self.idle) {
            for address in addresses {
                self.free(Buffer { address, bytes })?;
            }
        }
        Ok(())
    }

    fn refuse(&self, wanted: u64) -> CudaError {
        CudaError::OutOfMemory {
            wanted,
            used: self.used,
            budget: self.budget,
            free: self.context.memory().map_or(0, |(free, _)| free),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for address in std::mem::take(&mut self.idle).into_values().flatten() {
            // An error has nowhere to go.
            let _ = self.context.free(address);
        }
    }
}

/// Sizes of buffers: four to each doubling, so that at most a fifth is wasted, and a
/// page.
fn class(bytes: u64) -> u64 {
    let bytes = bytes.max(1);
    let step = (1 << bytes.ilog2().saturating_sub(2)).max(GRAIN);
    granted(bytes.checked_next_multiple_of(step).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::{class, granted};

    #[test]
    fn the_driver_gives_pages() {
        assert_eq!(granted(0), 256);
        assert_eq!(granted(300), 512);
        assert_eq!(granted(1 << 20), 2 << 20);
        assert_eq!(granted((4 << 20) + 1), 6 << 20);
        assert_eq!(granted(u64::MAX), u64::MAX);
    }

    #[test]
    fn classes_waste_little() {
        assert_eq!(class(0), 256);
        assert_eq!(class(256), 256);
        assert_eq!(class(257), 512);
        assert_eq!(class(1000 << 10), 2 << 20);
        assert_eq!(class((16 << 20) + 1), 20 << 20);
        for bytes in [2000, 5000, 12345, 100_000_000, 1 << 30, 3 << 30] {
            assert!(class(bytes) >= bytes && class(bytes) <= bytes + bytes / 4);
        }
        assert_eq!(class(u64::MAX), u64::MAX);
    }
}
