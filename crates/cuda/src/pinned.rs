//! Host memory that the GPU reads and writes by itself, and what travels through it.

use std::sync::Arc;

use crate::context::{Context, Event, Stream};
use crate::driver::Address;
use crate::error::{CudaError, Result};

/// Pinned memory, freed when dropped.
pub(crate) struct Pinned {
    context: Arc<Context>,
    start: *mut u8,
    len: usize,
}

// SAFETY: it owns its memory, as a `Vec<u8>` does.
unsafe impl Send for Pinned {}

impl Pinned {
    /// `len` bytes of undefined contents; none at all take no memory.
    pub(crate) fn new(context: &Arc<Context>, len: usize) -> Result<Pinned> {
        let start = match len {
            0 => std::ptr::null_mut(),
            _ => {
                let start = context
                    .pin(len)?
                    .ok_or(CudaError::PinnedMemory { wanted: len as u64 })?;
                // SAFETY: `len` fresh bytes; cleared, they are initialised.
                unsafe { start.write_bytes(0, len) };
                start
            }
        };
        Ok(Pinned {
            context: context.clone(),
            start,
            len,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Queues a copy of `data` to the GPU by way of the bytes from `at` on. These must
    /// not be in use by an earlier copy, and are until the stream has done this one.
    pub(crate) fn send(
        &mut self,
        at: usize,
        data: &[u8],
        to: Address,
        stream: &Stream,
    ) -> Result<()> {
        assert!(
            at + data.len() <= self.len,
            "pinned memory: a copy beyond its end"
        );
        if data.is_empty() {
            return Ok(());
        }
        // SAFETY: inside the memory, which is borrowed exclusively. Whoever holds it
        // waits for the stream before it uses these bytes again or drops them.
        unsafe {
            let from = self.start.add(at);
            std::ptr::copy_nonoverlapping(data.as_ptr(), from, data.len());
            self.context.copy_in(to, from, data.len(), stream)
        }
    }

    /// Writes the first bytes.
    pub(crate) fn fill(&mut self, data: &[u8]) {
        assert!(data.len() <= self.len, "pinned memory: beyond its end");
        // SAFETY: inside the memory, which is borrowed exclusively.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.start, data.len()) }
    }

    /// Queues a copy of the first `len` bytes to the GPU, as [`Pinned::send`].
    pub(crate) fn resend(&mut self, len: usize, to: Address, stream: &Stream) -> Result<()> {
        assert!(len <= self.len, "pinned memory: a copy beyond its end");
        // SAFETY: as in `send`.
        unsafe { self.context.copy_in(to, self.start, len, stream) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if !self.start.is_null() {
            // SAFETY: from `pin`; owners wait for their streams before they drop it.
            // An error has nowhere to go.
            let _ = unsafe { self.context.unpin(self.start) };
        }
    }
}

/// Pinned memory for copies to the host.
pub(crate) struct Reads {
    memory: Pinned,
    /// Behind the last copy.
    end: Event,
}

impl Reads {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Reads> {
        Ok(Reads {
            memory: Pinned::new(context, 0)?,
            end: Event::new(context)?,
        })
    }

    /// Queues copies of all `(address, bytes)`, one after the other, has `meanwhile`
    /// queue more, and waits for the copies.
    pub(crate) fn receive<E: From<CudaError>>(
        &mut self,
        from: &[(Address, usize)],
        stream: &Stream,
        meanwhile: impl FnOnce() -> Result<(), E>,
    ) -> Result<&[u8], E> {
        let total: usize = from.iter().map(|(_, bytes)| bytes).sum();
        if total > self.memory.len {
            self.memory = Pinned::new(&self.memory.context, total.next_power_of_two())?;
        }
        let queued = self
            .queue(from, stream)
            .map_err(E::from)
            .and_then(|()| meanwhile());
        let waited = match &queued {
            Ok(()) => self.end.wait(),
            // What was queued must not write later.
            Err(_) => stream.wait(),
        };
        queued?;
        waited?;
        if total == 0 {
            return Ok(&[]);
        }
        // SAFETY: initialised bytes, and no copy is under way.
        Ok(unsafe { std::slice::from_raw_parts(self.memory.start, total) })
    }

    fn queue(&mut self, from: &[(Address, usize)], stream: &Stream) -> Result<()> {
        let (context, start) = (&self.memory.context, self.memory.start);
        let mut at = 0;
        for (address, bytes) in from.iter().filter(|(_, bytes)| *bytes > 0) {
            // SAFETY: inside the memory, borrowed exclusively until the wait in
            // `receive`.
            unsafe { context.copy_out(start.add(at), *address, *bytes, stream)? };
            at += bytes;
        }
        self.end.record(stream)
    }
}

/// The bytes of numbers.
pub(crate) fn bytes_of<T: Plain>(values: &[T]) -> &[u8] {
    // SAFETY: plain numbers have no padding, and every byte is valid.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// Numbers without padding.
///
/// # Safety
/// All bytes of a value are initialised.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: a primitive number.
unsafe impl Plain for f32 {}
// SAFETY: a primitive number.
unsafe impl Plain for u32 {}
// SAFETY: a primitive number.
unsafe impl Plain for u64 {}
// SAFETY: numbers, whose sizes add up to that of the structure.
unsafe impl Plain for crate::arguments::Piece {}

/// A ring of pinned memory for copies to the GPU on one stream: a writer waits only
/// for what was written a whole turn ago.
pub(crate) struct Ring {
    memory: Pinned,
    /// At the end of each segment's copies, once it is full.
    ends: Vec<Event>,
    /// Segment in use, and bytes of it that are.
    segment: usize,
    used: usize,
}

impl Ring {
    const SEGMENT: usize = 1 << 20;
    const SEGMENTS: usize = 8;

    pub(crate) fn new(context: &Arc<Context>) -> Result<Ring> {
        let ends = (0..Self::SEGMENTS).map(|_| Event::new(context));
        Ok(Ring {
            memory: Pinned::new(context, Self::SEGMENT * Self::SEGMENTS)?,
            ends: ends.collect::<Result<_>>()?,
            segment: 0,
            used: 0,
        })
    }

    /// Queues a copy to the GPU and returns at once, unless the data is larger than
    /// the ring. All calls are for the same stream.
    pub(crate) fn send(&mut self, data: &[u8], to: Address, stream: &Stream) -> Result<()> {
        let mut sent = 0;
        while sent < data.len() {
            if self.used == Self::SEGMENT {
                self.turn(stream)?;
            }
            let rest = data.len() - sent;
            if rest <= Self::SEGMENT && rest > Self::SEGMENT - self.used {
                self.turn(stream)?;
            }
            let len = rest.min(Self::SEGMENT - self.used);
            let at = self.segment * Self::SEGMENT + self.used;
            let to = to + sent as Address;
            self.memory.send(at, &data[sent..sent + len], to, stream)?;
            sent += len;
            // The next begins on a cache line.
            self.used = (self.used + len).next_multiple_of(64).min(Self::SEGMENT);
        }
        Ok(())
    }

    fn turn(&mut self, stream: &Stream) -> Result<()> {
        self.ends[self.segment].record(stream)?;
        self.segment = (self.segment + 1) % Self::SEGMENTS;
        self.ends[self.segment].wait()?;
        self.used = 0;
        Ok(())
    }
}
