//! Slots for experts in the GPU's memory, filled beside the main stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use moestro_kernels::Format;

use crate::driver::Address;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::matrix::Matrix;
use crate::memory::{Buffer, granted};

/// Parts begin at multiples of this, so that any number in them can be read whole.
const ALIGNMENT: usize = 256;

/// Bytes by which slots are freed, at least and at most.
const CHUNK: [usize; 2] = [16 << 20, 80 << 20];

/// Slots of equal size, each with the gate, up and down matrix of an expert.
///
/// Only numbers and events connect it with the GPU's queues: a slot that is used in
/// the main stream is waited for there, one that is written over is first used up.
pub struct Slots {
    gpu: Gpu,
    parts: [usize; 3],
    slot_bytes: usize,
    /// Of a whole chunk.
    chunk_slots: usize,
    chunks: Vec<Chunk>,
    states: Vec<State>,
}

struct Chunk {
    buffer: Buffer,
    slots: usize,
}

/// No copy or use so far.
const NEVER: u64 = u64::MAX;

struct State {
    /// Number of the last copy into it.
    copy: u64,
    /// Does the main stream know of that copy?
    awaited: AtomicBool,
    /// Number of the last use of it.
    used: AtomicU64,
}

impl Slots {
    /// `slots` slots whose parts have room for `parts` bytes.
    pub fn new(gpu: &Gpu, slots: usize, parts: [usize; 3]) -> Result<Slots> {
        let sizes = parts.map(|bytes| bytes.next_multiple_of(ALIGNMENT));
        let slot_bytes = sizes.iter().sum();
        let mut new = Slots {
            gpu: gpu.clone(),
            parts,
            slot_bytes,
            chunk_slots: chunk_slots(slot_bytes),
            chunks: Vec::new(),
            states: Vec::new(),
        };
        new.resize(slots)?;
        Ok(new)
    }

    /// Slots.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// No slot at all?
    pub fn is_empty(&self) -> bool {
        self.states.is_empty()
    }

    /// Bytes of the GPU's memory that they take, which is more than
    /// [`Slots::slot_bytes`] each by a part of a chunk, 80 MiB at most.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.buffer.bytes).sum()
    }

    /// Bytes of a slot.
    pub fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// Changes their number. The first ones stay as they are; the memory of others is
    /// given back, for which it waits until nothing uses it.
    ///
    /// Errors: not enough memory; then the slots are those there were.
    pub fn resize(&mut self, slots: usize) -> Result<()> {
        let mut room: usize = self.chunks.iter().map(|chunk| chunk.slots).sum();
        let before = self.chunks.len();
        while room < slots {
            // At least one, exactly as many as are wanted in the last.
            let count = self.chunk_slots.min(slots - room);
            let bytes = count * self.slot_bytes;
            let buffer = self.gpu.memory().allocate(bytes as u64, self.gpu.main());
            match buffer {
                Ok(buffer) => self.chunks.push(Chunk {
                    buffer,
                    slots: count,
                }),
                Err(error) => {
                    self.free_chunks(before);
                    return Err(error);
                }
            }
            room += count;
        }
        self.states.resize_with(slots, || State {
            copy: NEVER,
            awaited: AtomicBool::new(true),
            used: AtomicU64::new(NEVER),
        });
        let mut needed = 0;
        let mut room = 0;
        while needed < self.chunks.len() && room < slots {
            room += self.chunks[needed].slots;
            needed += 1;
        }
        self.free_chunks(needed);
        Ok(())
    }

    /// Copies what is in slot `from` to slot `to`, behind the uploads and uses of both.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn relocate(&mut self, from: usize, to: usize) -> Result<()> {
        if from == to {
            return Ok(());
        }
        let [source, target] = [from, to].map(|slot| self.address(slot, 0));
        self.begin_use(from)?;
        self.begin_use(to)?;
        let (context, main) = (self.gpu.context(), self.gpu.main());
        context.copy_within(target, source, self.slot_bytes, main)?;
        let mark = self.gpu.uploads().mark(main)?;
        self.end_use(from, mark);
        self.states[to] = State {
            copy: self.states[from].copy,
            awaited: AtomicBool::new(true),
            used: AtomicU64::new(mark),
        };
        Ok(())
    }

    fn free_chunks(&mut self, from: usize) {
        for chunk in self.chunks.drain(from..) {
            self.gpu.release(chunk.buffer);
        }
    }

    /// Where a part of a slot is.
    fn address(&self, slot: usize, part: usize) -> Address {
        let mut left = slot;
        for chunk in &self.chunks {
            if left < chunk.slots {
                let before = self.parts[..part].iter();
                let before: usize = before.map(|b| b.next_multiple_of(ALIGNMENT)).sum();
                return chunk.buffer.address + (left * self.slot_bytes + before) as Address;
            }
            left -= chunk.slots;
        }
        panic!("slots: number {slot} of {}", self.len());
    }

    /// Fills a slot. Returns when the bytes are in pinned memory, at once if
    /// [`Slots::has_room`]; the copy to the GPU waits for what still uses the slot.
    ///
    /// # Panics
    /// If there is no such slot, or a part does not fit.
    pub fn upload(&mut self, slot: usize, parts: [&[u8]; 3]) -> Result<()> {
        assert!(slot < self.len(), "slots: number {slot} of {}", self.len());
        for (data, room) in parts.iter().zip(self.parts) {
            assert!(data.len() <= room, "slots: {} bytes in {room}", data.len());
        }
        let to = [0, 1, 2].map(|part| (parts[part], self.address(slot, part)));
        let used = self.states[slot].used.load(Ordering::Relaxed);
        let after = (used != NEVER).then_some(used);
        let copy = self.gpu.uploads().send(&to, after, self.gpu.copies())?;
        self.states[slot].copy = copy;
        self.states[slot].awaited = AtomicBool::new(false);
        Ok(())
    }

    /// Is a pinned buffer free, so that [`Slots::upload`] would not wait?
    pub fn has_room(&self) -> Result<bool> {
        self.gpu.uploads().has_room()
    }

    /// Is the last upload done? Does not wait; false if there was none.
    ///
    /// # Panics
    /// If there is no such slot.
    pub fn arrived(&self, slot: usize) -> Result<bool> {
        match self.states[slot].copy {
            NEVER => Ok(false),
            copy => self.gpu.uploads().has_arrived(copy),
        }
    }

    /// A matrix whose packed bytes begin part `part` of a slot. `None` if there is no
    /// such part, or it is too small.
    pub fn matrix(
        &self,
        slot: usize,
        part: usize,
        format: Format,
        rows: usize,
        cols: usize,
    ) -> Option<Matrix<'_>> {
        if slot >= self.len() || part >= self.parts.len() {
            return None;
        }
        let address = self.address(slot, part);
        Matrix::in_slot(format, rows, cols, address, self.parts[part], (self, slot))
    }

    /// Before operations in the main stream read a slot.
    pub(crate) fn begin_use(&self, slot: usize) -> Result<()> {
        let state = &self.states[slot];
        if state.copy != NEVER && !state.awaited.load(Ordering::Relaxed) {
            self.gpu.uploads().await_on(self.gpu.main(), state.copy)?;
            state.awaited.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Behind them: they end at `mark`.
    pub(crate) fn end_use(&self, slot: usize, mark: u64) {
        self.states[slot].used.store(mark, Ordering::Relaxed);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.free_chunks(0);
    }
}

impl std::fmt::Debug for Slots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slots({} of {} bytes)", self.len(), self.slot_bytes)
    }
}

/// As many as leave next to nothing of the pages that the driver gives for them.
fn chunk_slots(slot_bytes: usize) -> usize {
    let slot_bytes = slot_bytes.max(1);
    let [least, most] = CHUNK.map(|bytes| (bytes / slot_bytes).max(1));
    let wasted = |slots: &usize| {
        let bytes = (slots * slot_bytes) as u64;
        // In thousandths, so that of nearly equal ones the smaller is taken.
        1000 * (granted(bytes) - bytes) / bytes
    };
    (least.div_ceil(2)..=most)
        .min_by_key(wasted)
        .unwrap_or(least)
}

#[cfg(test)]
mod tests {
    use super::chunk_slots;
    use crate::memory::granted;

    #[test]
    fn chunks_fill_their_pages() {
        // Experts of Qwen3-Next in Q4_K, some with a down matrix in Q6_K; tiny ones, and
        // one that is larger than a chunk.
        for slot in [1_769_472, 2_039_808, 9_216, 256, 100 << 20] {
            let bytes = (chunk_slots(slot) * slot) as u64;
            assert!(granted(bytes) - bytes <= bytes / 500, "{slot}: {bytes}");
        }
        assert_eq!(chunk_slots(3 << 20), 4);
    }
}
